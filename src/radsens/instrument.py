"""Instruments as typed data, the geometry of their focal plane and its polarisation frame.

An instrument is one YAML file in which every number is written with its value, its status and its source.
`load` checks it, keeps the plain numbers as attributes and the sources in `Polarimeter.origins`.

Axes of the instrument: x along the columns, y along the rows, z the optical axis towards the ground; the
angle of polarisation χ is measured from +x towards +y, and a polariser at α passes light with χ = α.
Coordinates are those of the scene: a lens that turns the image by 180° changes no polarisation frame.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import yaml
from pydantic import Field, ValidationError, model_validator

from radsens.elementary import arctan
from radsens.schema import Fault, Frozen, Name

DEGREE = np.pi / 180
"""One degree [rad]."""

SHIPPED = Path(__file__).with_name("instruments")

Extinction = Annotated[float, Field(gt=1, le=1e9)]
Angle = Annotated[float, Field(ge=-180, le=180)]
Transmission = Annotated[float, Field(gt=0, le=10)]
Strength = Annotated[float, Field(gt=0, le=100)]
Exponent = Annotated[float, Field(gt=0, le=2)]
Number = int | float


class Sourced(Frozen):
    """A number of an instrument file, with where it comes from."""

    value: Number | tuple[Number | None, ...] = Field(description="the number, or its three or two values")
    status: Literal["verified", "recalled", "assumed"] = Field(
        description="verified: read in the source; recalled: from memory of the source; assumed: nobody published it"
    )
    source: str = Field(min_length=8, description="document and place, or the reason of an assumption")


class Origin(Sourced):
    """Where the number at `knob` of an instrument comes from."""

    knob: str


class FocalPlane(Frozen):
    """Rectilinear focal plane, centred on the optical axis: x = tan θ cos φ, y = tan θ sin φ."""

    rows: int = Field(ge=1, le=8192, description="detector rows, numbered along +y [1]")
    columns: int = Field(ge=1, le=8192, description="detector columns, numbered along +x [1]")
    pitch_row: float = Field(gt=0, le=1, description="distance between successive rows, along y [mm]")
    pitch_column: float = Field(gt=0, le=1, description="distance between successive columns, along x [mm]")
    focal_length: float = Field(gt=0, le=1e4, description="focal length [mm]")

    @property
    def size(self) -> int:
        """Number of detector elements [1]."""
        return self.rows * self.columns

    def coordinates(self, detector: np.ndarray | int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Place of detector elements in the field.

        Parameters
        ----------
        detector : (pixel,) addresses, row * columns + column [1]

        Returns
        -------
        x, y : (pixel,) focal-plane coordinates in units of the focal length [1]
        theta : (pixel,) field angle, arctan √(x² + y²) [rad]
        """
        x, y = self.place(*np.divmod(np.asarray(detector, dtype=np.int64), self.columns))
        return x, y, arctan(np.sqrt(x * x + y * y))

    def place(self, row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Focal-plane coordinates x and y [focal length] of rows and columns counted from 0, which need not be whole."""
        x = (column - (self.columns - 1) / 2) * (self.pitch_column / self.focal_length)
        y = (row - (self.rows - 1) / 2) * (self.pitch_row / self.focal_length)
        return x, y

    def element(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column, from 0 and not rounded, where `place` gives x and y [element]."""
        column = x * (self.focal_length / self.pitch_column) + (self.columns - 1) / 2
        row = y * (self.focal_length / self.pitch_row) + (self.rows - 1) / 2
        return row, column

    def every(self, step: int) -> np.ndarray:
        """Addresses of one row and one column out of `step`, in the order of the image."""
        rows, columns = (np.arange(n)[min(step, n) // 2 :: step] for n in (self.rows, self.columns))
        return (rows[:, None] * self.columns + columns).ravel()

    def spread(self, pixels: int) -> np.ndarray:
        """Addresses of `pixels` detector elements spread evenly over the field, from the central one on.

        A lattice whose strides along rows and columns are the fractions 1/g and 1/g² of the plastic number
        g = 1.3247…, the two-dimensional golden section (Roberts 2018, "The unreasonable effectiveness of
        quasirandom sequences"); a longer list begins with the shorter one, and no element comes twice.
        """
        stride = round(self.rows * 0.7548776662466927) * self.columns + round(self.columns * 0.5698402909980532)
        while math.gcd(stride, self.size) != 1:
            stride += 1
        centre = self.rows // 2 * self.columns + self.columns // 2
        return (centre + stride * np.arange(pixels, dtype=np.int64)) % self.size


class Platform(Frozen):
    """The satellite: its orbit, and how the instrument takes images from it."""

    altitude: float = Field(ge=100, le=40000, description="altitude over the equator [km]")
    inclination: float = Field(ge=0, le=180, description="inclination of the orbit [deg]")
    passing: Literal["ascending", "descending"] = Field(description="half of the orbit that the sun lights")
    local_time: float = Field(ge=0, lt=24, description="mean local solar time of the crossing of the equator on that half [h]")
    view_period: float = Field(gt=0, le=3600, description="time between two images of one band [s]")
    views: int = Field(ge=1, le=1000, description="images in which a target on the ground is seen at most [1]")
    heading: float = Field(
        ge=-180, le=180, description="angle from the flight direction to +y of the focal planes, positive towards +x [deg]"
    )


class Detector(Frozen):
    """A detector and its electronics, one chain for all of its bands."""

    name: Name = Field(description="name of the detector, the address of its non-linearity draw")
    focal_plane: FocalPlane
    bits: int = Field(ge=4, le=24, description="bits of the quantisation [1]")
    dark: float = Field(ge=0, description="dark signal and offset C [count]")
    read_noise: float = Field(ge=0, description="1-sigma read noise [count]")
    shot: float = Field(ge=0, description="variance of the shot noise per count of signal [count]")

    @property
    def full_scale(self) -> float:
        """Largest dark-free signal, 2^bits − 1 − C [count]."""
        return (1 << self.bits) - 1 - self.dark


class Band(Frozen):
    """One spectral band; the three polariser values are in the order −60, 0, +60 and absent when unpolarised."""

    name: Name = Field(description="name of the band")
    detector: Name = Field(description="name of its detector")
    polarised: bool = Field(description="whether the band is a triplet of polarisers")
    wavelength: float = Field(gt=200, lt=5000, description="central wavelength [nm]")
    width: float = Field(gt=0, lt=1000, description="full width at half maximum [nm]")
    saturation: float = Field(gt=0, le=100, description="unpolarised normalised radiance πL/E₀ that fills the scale [1]")
    integration_time: float = Field(gt=0, le=100, description="integration time t relative to the common one [1]")
    extinction_ratio: tuple[Extinction | None, Extinction | None, Extinction | None] | None = Field(
        None, description="T_max / T_min of each polariser, null for an ideal one [1]"
    )
    orientation: tuple[Angle, Angle, Angle] | None = Field(
        None, description="angle α_a of each polariser from +x towards +y, increasing [deg]"
    )
    relative_transmission: tuple[Transmission, Transmission, Transmission] | None = Field(
        None, description="transmission T_a relative to the middle polariser [1]"
    )
    optics_polarisation: tuple[float, float] = Field(
        description="(c2, c4) of the diattenuation ε(θ) = c2 θ² + c4 θ⁴, > 0 if the radial component passes better [1]"
    )
    low_frequency: tuple[float, float] = Field(description="(c2, c4) of the low-frequency gain P(θ) = 1 + c2 θ² + c4 θ⁴ [1]")
    high_frequency: float = Field(ge=0, le=0.2, description="standard deviation of the known inter-pixel coefficients g [1]")
    rayleigh_optical_thickness: float = Field(ge=0, le=5, description="vertical Rayleigh optical thickness [1]")
    gas: Literal["none", "oxygen", "water_vapour"] = Field("none", description="gas that absorbs in the band")
    gas_absorption: tuple[Strength, Exponent] | None = Field(
        None,
        description="(k, b) of the approximate two-way transmission exp(−k (m f)^b), m air mass, f share of the gas above [1]",
    )

    @model_validator(mode="after")
    def _triplet(self) -> Self:
        for knob in ("extinction_ratio", "orientation", "relative_transmission"):
            if (getattr(self, knob) is None) == self.polarised:
                raise ValueError(f"{knob} is given for a polarised band, and only for one")
        if self.orientation and not -90 <= self.orientation[0] < self.orientation[1] < self.orientation[2] < 90:
            raise ValueError("orientation must increase inside [-90, 90[, or the triplet cannot be inverted")
        if self.relative_transmission and self.relative_transmission[1] != 1:
            raise ValueError("relative_transmission of the middle polariser is 1 by definition")
        return self

    @model_validator(mode="after")
    def _absorption(self) -> Self:
        if (self.gas == "none") != (self.gas_absorption is None):
            raise ValueError("gas_absorption is given with a gas, and only with one")
        return self

    @property
    def efficiency(self) -> tuple[float, ...] | None:
        """Polarising efficiency of each polariser, η = (ER − 1) / (ER + 1) [1]."""
        if self.extinction_ratio is None:
            return None
        return tuple(1.0 if ratio is None else (ratio - 1) / (ratio + 1) for ratio in self.extinction_ratio)

    def optics_polarisation_at(self, theta: np.ndarray) -> np.ndarray:
        """Diattenuation of the optics ε(θ) at the field angle `theta` [rad]; same shape [1]."""
        return even_polynomial(self.optics_polarisation, theta)

    def low_frequency_at(self, theta: np.ndarray) -> np.ndarray:
        """Low-frequency gain P(θ), 1 on the axis, at the field angle `theta` [rad]; same shape [1]."""
        return 1 + even_polynomial(self.low_frequency, theta)


class Polarimeter(Frozen):
    """A wide-field imager whose polarised bands are triplets of polarisers."""

    name: Name = Field(description="name of the instrument, that of its file")
    title: str = Field(description="one line that presents it")
    model: Literal["polarimeter"] = Field(description="measurement model")
    platform: Platform
    detectors: tuple[Detector, ...] = Field(min_length=1, description="detectors, all on one optical axis")
    bands: tuple[Band, ...] = Field(min_length=1, description="spectral bands")
    origins: tuple[Origin, ...] = Field((), repr=False, description="status and source of every number")

    @model_validator(mode="after")
    def _named(self) -> Self:
        known = [detector.name for detector in self.detectors]
        if len(set(self.band_names)) < len(self.bands):
            raise ValueError("bands must have different names")
        if len(set(known)) < len(known):
            raise ValueError("detectors must have different names")
        for band in self.bands:
            if band.detector not in known:
                raise ValueError(f"bands.{band.name}.detector must be one of {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _physical(self) -> Self:
        for detector in self.detectors:
            if detector.full_scale <= 0:
                raise ValueError(f"detectors.{detector.name}.dark must be below the largest count, 2^bits - 1")
        for band in self.bands:
            theta = np.linspace(0, float(self.detector(band.name).focal_plane.coordinates(0)[2]), 101)
            if np.abs(band.optics_polarisation_at(theta)).max() >= 1:
                raise ValueError(f"bands.{band.name}.optics_polarisation must stay inside ]-1, 1[ over the field")
            if band.low_frequency_at(theta).min() <= 0:
                raise ValueError(f"bands.{band.name}.low_frequency must keep P(θ) > 0 over the field")
        return self

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands, in the order of the file."""
        return tuple(band.name for band in self.bands)

    def band(self, name: str) -> Band:
        """Band called `name`."""
        for band in self.bands:
            if band.name == name:
                return band
        raise Fault(f"bands: {self.name} has no band '{name}'; it has {', '.join(self.band_names)}")

    def detector(self, band: str) -> Detector:
        """Detector of the band called `band`."""
        wanted = self.band(band).detector
        return next(detector for detector in self.detectors if detector.name == wanted)

    def absolute_gain(self, name: str) -> float:
        """Absolute gain of a band, A = (2^bits − 1 − C) / (saturation t): full scale on the axis [count]."""
        band = self.band(name)
        return self.detector(name).full_scale / (band.saturation * band.integration_time)


def names(folder: Path = SHIPPED) -> list[str]:
    """Names of the instruments shipped."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load(name: str, folder: Path = SHIPPED) -> Polarimeter:
    """Instrument called `name`, read from its YAML file and checked."""
    if name not in names(folder):
        raise Fault(f"instrument: there is no '{name}'; those shipped are {', '.join(names(folder))}")
    where = f"instrument {name}"
    try:
        tree = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Fault(f"{where}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict) or "name" in tree or "origins" in tree:
        raise Fault(f"{where}: the file must be a mapping, without name and origins, which are the tool's")
    origins: list[Origin] = []
    values = _plain(tree, where, "", origins)
    try:
        return Polarimeter.model_validate({**values, "name": name, "origins": tuple(origins)}, strict=True)
    except ValidationError as error:
        raise _fault(where, "", error, values) from error


def _plain(node: Any, where: str, knob: str, origins: list[Origin]) -> Any:
    """Tree of plain numbers; the sources found on the way are appended to `origins`."""
    if isinstance(node, dict) and "value" in node:
        node = {key: tuple(item) if isinstance(item, list) else item for key, item in node.items()}
        try:
            origins.append(Origin.model_validate({**node, "knob": knob}, strict=True))
        except ValidationError as error:
            raise _fault(where, knob, error, node) from error
        return node["value"]
    if isinstance(node, dict):
        return {str(key): _plain(child, where, _join(knob, str(key)), origins) for key, child in node.items()}
    if isinstance(node, list) and all(isinstance(child, dict) for child in node):
        return tuple(_plain(child, where, _join(knob, _label(child, i)), origins) for i, child in enumerate(node))
    if isinstance(node, str | bool):
        return node
    raise Fault(f"{where}: {knob}: a number needs value, status (verified, recalled or assumed) and source")


def _join(knob: str, step: str) -> str:
    return f"{knob}.{step}" if knob else step


def _label(node: Any, index: int) -> str:
    return str(node["name"]) if isinstance(node, dict) and "name" in node else str(index)


def _fault(where: str, knob: str, error: ValidationError, tree: Any) -> Fault:
    """First complaint of a validation, in one sentence that names the knob; bands and detectors go by their name."""
    first = min(error.errors(), key=lambda complaint: complaint["type"] != "extra_forbidden")
    for step in first["loc"][:1] if knob else first["loc"]:
        if isinstance(step, int):
            tree = tree[step] if isinstance(tree, tuple) and step < len(tree) else None
            knob = _join(knob, _label(tree, step))
        else:
            tree = tree.get(step) if isinstance(tree, dict) else None
            knob = _join(knob, step)
    message = first["msg"].removeprefix("Value error, ")
    return Fault(": ".join(part for part in (where, knob, message[0].lower() + message[1:]) if part))


def even_polynomial(coefficients: tuple[float, float], theta: np.ndarray) -> np.ndarray:
    """c₂ θ² + c₄ θ⁴ at the field angles theta [rad], (pixel,)."""
    square = theta * theta
    return square * (coefficients[0] + coefficients[1] * square)


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Scalar product over the first axis, (3, …), summed in a fixed order."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def double_azimuth(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """cos 2φ and sin 2φ of the focal-plane azimuth φ = atan2(y, x); 1 and 0 on the axis [1]."""
    square = x * x + y * y
    on_axis = square == 0
    square = np.where(on_axis, 1.0, square)
    return np.where(on_axis, 1.0, (x * x - y * y) / square), 2 * x * y / square


def line_of_sight(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Unit vectors from the instrument to the ground, (3, pixel), in the axes of the instrument [1]."""
    norm = np.sqrt(x * x + y * y + 1)
    return np.stack([x / norm, y / norm, 1 / norm])


def transported_axes(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Focal-plane axes x and y carried out to the line of sight by an axisymmetric lens, (3, pixel) each [1].

    Such a lens maps the plane of incidence of a ray (optical axis and ray) on the radial direction of the focal
    plane, so a polarisation at angle ψ from the radial direction keeps ψ: the axes are turned by the smallest
    rotation that brings z on the line of sight l, v → v − (v·l) (z + l) / (1 + l_z) for v = x, y. They are regular
    everywhere in the field, whereas the projection of x normal to the ray is wrong by degrees off axis.
    Reference: Chipman, Lam & Young 2018, Polarized Light and Optical Systems, chapter 11 (double-pole coordinates).
    """
    lx, ly, lz = line_of_sight(x, y)
    cross = -lx * ly / (1 + lz)
    return np.stack([1 - lx * lx / (1 + lz), cross, -lx]), np.stack([cross, 1 - ly * ly / (1 + lz), -ly])


def frame_turn(axis: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angle ψ from the focal-plane x axis to the first axis of another polarisation frame, as cos 2ψ and sin 2ψ.

    Parameters
    ----------
    axis : (3, pixel) a vector of the plane that holds the line of sight and the frame's first axis, in the axes of
        the instrument; the local zenith gives the meridian frame, for which ψ = φ − angle(meridian → radial) [any]
    x, y : (pixel,) focal-plane coordinates [1]

    Returns
    -------
    cos 2ψ, sin 2ψ : (pixel,), 1 and 0 where `axis` lies along the line of sight, which defines no frame [1]
    """
    first, second = transported_axes(x, y)
    a, b = dot(axis, first), dot(axis, second)
    square = a * a + b * b
    undefined = square == 0
    square = np.where(undefined, 1.0, square)
    return np.where(undefined, 1.0, (a * a - b * b) / square), 2 * a * b / square


def rotate(q: np.ndarray, u: np.ndarray, turn: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Q and U, known in a frame at ψ from the focal-plane axes, in the focal-plane frame: χ → χ + ψ.

    `turn` is (cos 2ψ, sin 2ψ); (cos 2ψ, −sin 2ψ) goes back. Both frames have +U from their first towards their
    second axis, second × first = direction of propagation (Hansen & Travis 1974, section 1).
    """
    cos2, sin2 = turn
    return cos2 * q - sin2 * u, sin2 * q + cos2 * u
