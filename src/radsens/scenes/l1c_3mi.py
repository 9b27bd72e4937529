"""3MI level-1C product as a scene: reflectances of ground cells in 10 to 14 views, put back on the detector.

I, Q and U of the product are reflectance factors πL/(μ₀ E₀): times μ₀ = cos(solar zenith angle) they are the normalised
radiances of the tool, and divided by it again when they are written. Q and U are taken as referred to the meridian frame of
the cell, which a platform that points at the nadir turns by ψ = φ = atan2(y, x) in the focal plane (as `parasol_l1b`).

The product has no detector addresses. They are found from the view angles by `nadir_pointing`, over a sphere, with the
altitude and the heading of the instrument's file; the flight direction is that in which the satellite moves over the cell
from its first to its last view. What this leaves out (attitude, flattening) moves a sample by an element or two per 0.2°. A cell
seen once has no flight direction and is left out.

No real product was at hand (docs/real_products.md). Assumed: names of groups and variables as in a public reader of the layout;
views in the order of time; angles of each viewing dimension beside each other in `geolocation_data`, told apart by their
shape; the sense of the relative azimuth, a knob.

References
----------
EUMETSAT, EPS-SG 3MI Level 1C Product Format Specification, by the names of groups and variables in public use.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field as Knob

from radsens.elementary import arctan
from radsens.instrument import DEGREE, Detector, Polarimeter, double_azimuth, rotate
from radsens.scenes.hdf5_product import Field, Layout, Place, Product, blocks, field, opened, times
from radsens.scenes.nadir_pointing import field_position
from radsens.schema import Fault, Frozen, Scene

LAYOUT = Layout("a 3MI level-1C product in netCDF", ("cell", "view"), (1 << 26, 64))
"""More cells than ten orbits have, four times the views (assumed): no product is larger."""

STORED = ("int16", "uint16", "int32", "float32", "float64")
ANGLES = {"sza": "solar_zenith_angle", "vza": "satellite_zenith_angle", "relative_azimuth": "relative_azimuth_angle"}
OVERLAP = re.compile(r"overlap_\d{3,}")
LEFT_OUT = ("without a value", "without a flight direction", "off the detector", "with I ≤ 0", "with DoLP > 1")
"""Why a sample is left out, in the order in which it is asked."""

CLASSES = ("unclassified",)
Number = Annotated[int, Knob(ge=0, lt=1000)]


class L1C3MI(Frozen):
    """A 3MI level-1C product of EUMETSAT in netCDF."""

    kind: Literal["l1c_3mi"] = Knob(description="a 3MI level-1C product in netCDF (EUMETSAT)")
    path: str = Knob(min_length=1, description="the product, a netCDF file; the key of the scene holds its content, not its name")
    views: Literal["all"] | tuple[Number, ...] = Knob("all", description="views to take, numbered from 0, or all [1]")
    overlaps: Literal["all"] | tuple[Number, ...] = Knob("all", description="overlap groups to take, numbered from 0, or all [1]")
    azimuth: Literal["clockwise", "anticlockwise"] = Knob(
        "clockwise", description="sense in which the relative azimuth turns from sun to satellite, seen from above"
    )
    u_sign: Literal[1, -1] = Knob(1, description="sign of the product's U in the frames of the tool [1]")


class Part(NamedTuple):
    """One overlap group of one detector: its name, and the address of its first sample."""

    name: str
    first: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Samples:
    """The samples of one detector that are kept, the same for all of its bands.

    Attributes
    ----------
    parts : the overlap groups, in the order of their addresses
    pixels : (sample,) each: address, rising, flat index in (cell, view) of the groups one after the other; view; detector;
        x, y and theta
    geometry : (sample,) angles [deg]
    remark : how many were left out, and why
    """

    parts: tuple[Part, ...]
    pixels: dict[str, np.ndarray]
    geometry: dict[str, np.ndarray]
    remark: str


def render(spec: L1C3MI, instrument: Polarimeter, bands: tuple[str, ...]) -> Iterator[Scene]:
    """The product seen by one band after the other; the samples are those that all bands of one detector have."""
    of: dict[str, Samples] = {}
    for band in bands:
        detector = instrument.detector(band)
        if detector.name not in of:
            together = [b for b in bands if instrument.band(b).detector == detector.name]
            components = [stored(b, instrument.band(b).polarised) for b in together]
            of[detector.name] = chosen(spec, instrument, detector, components)
        yield _scene(spec, band, detector, of[detector.name], stored(band, instrument.band(band).polarised))


def _scene(spec: L1C3MI, band: str, detector: Detector, samples: Samples, names: tuple[str, ...]) -> Scene:
    pixels, plane = samples.pixels, detector.focal_plane
    return Scene(
        band=band,
        stokes=to_focal_plane(spec, stokes(spec, names, samples), samples),
        x=pixels["x"],
        y=pixels["y"],
        theta=pixels["theta"],
        detector=pixels["detector"],
        sample=pixels["address"],
        view=pixels["view"],
        scene_class=np.zeros(pixels["address"].size, np.int64),
        class_names=CLASSES,
        plane=detector.name,
        shape=(plane.rows, plane.columns),
        geometry=samples.geometry,
        remark=samples.remark,
    )


def stored(band: str, polarised: bool) -> tuple[str, ...]:
    """Variables of I, Q and U of a band, or of I alone, inside an overlap group; its wavelength begins the band's name."""
    number = re.match(r"\d{3,4}", band)
    if not number:
        raise Fault(f"bands: {band} does not begin with a wavelength [nm], by which a 3MI product names its bands")
    return tuple(f"measurement_data/r_{int(number[0]):04d}/reflectance_{c}" for c in ("IQU" if polarised else "I"))


def to_focal_plane(spec: L1C3MI, stokes: np.ndarray, samples: Samples) -> np.ndarray:
    """Reflectance factors (3, sample) as normalised radiances in the focal-plane frame: times μ₀, turned by ψ = φ."""
    turn = double_azimuth(samples.pixels["x"], samples.pixels["y"])
    q, u = rotate(stokes[1], spec.u_sign * stokes[2], turn)
    return np.stack([stokes[0], q, u]) * np.cos(samples.geometry["sza"] * DEGREE)


def to_product(spec: L1C3MI, stokes: np.ndarray, scene: Scene) -> np.ndarray:
    """Normalised radiances (3, sample) of a scene, or differences of them, as reflectance factors of the product."""
    cos2, sin2 = double_azimuth(scene.x, scene.y)
    q, u = rotate(stokes[1], stokes[2], (cos2, -sin2))
    return np.stack([stokes[0], q, spec.u_sign * u]) / np.cos(scene.geometry["sza"] * DEGREE)


def groups(product: Product, spec: L1C3MI) -> list[str]:
    """Names of the overlap groups that are asked for.

    Raises
    ------
    Fault : the product has none, or lacks one that is asked for
    """
    import h5py

    data = product.file.get("data")
    found = sorted(name for name in data if OVERLAP.fullmatch(name)) if isinstance(data, h5py.Group) else []
    if not found:
        raise Fault(f"{product.file.filename}: data/overlap_000 is missing or damaged; {product.layout.title} has it")
    if spec.overlaps == "all":
        return found
    asked = [f"overlap_{number:03d}" for number in sorted(set(spec.overlaps))]
    if not asked or not set(asked) <= set(found):
        raise Fault(f"scene.overlaps: must be all, or numbers of {', '.join(found)}; got {list(spec.overlaps)}")
    return asked


def chosen(spec: L1C3MI, instrument: Polarimeter, detector: Detector, components: list[tuple[str, ...]]) -> Samples:
    """The samples that all bands of one detector have.

    Raises
    ------
    Fault : the product is not what it should be, or no sample is left
    """
    kept: list[dict[str, np.ndarray]] = []
    lost, parts, first = np.zeros(len(LEFT_OUT), np.int64), [], 0
    with opened(Path(spec.path), LAYOUT) as product:
        for name in groups(product, spec):
            bands = [[field(product, f"data/{name}/{c}", STORED) for c in names] for names in components]
            shape = _one_shape(bands, product, name)
            angles = {n: _angle(product, name, variable, shape) for n, variable in ANGLES.items()}
            parts.append(Part(name, first, shape))
            for cells in blocks(0, shape[0], shape[1]):
                why, found = judged(bands, angles, cells, (spec, instrument, detector))
                lost += np.bincount(why[why >= 0], minlength=len(LEFT_OUT))
                address = np.arange(cells.start * shape[1], cells.stop * shape[1]).reshape(why.shape) + first
                whole = {"address": address, "view": np.broadcast_to(np.arange(shape[1]), why.shape), **found}
                kept.append({n: values[why < 0] for n, values in whole.items()})
            first += shape[0] * shape[1]
            if first > 1 << 32:
                raise Fault(f"{spec.path}: more than {1 << 32} samples, which have no address; give some of its overlaps")
    reasons = ", ".join(f"{n} {reason}" for n, reason in zip(lost, LEFT_OUT, strict=True) if n)
    total = sum(one["address"].size for one in kept)
    if not total:
        raise Fault(f"{spec.path}: no sample of detector {detector.name} is left of {lost.sum()}: {reasons}")
    pixels = {n: np.concatenate([one[n] for one in kept]) for n in kept[0]}
    geometry = {n: pixels.pop(n) for n in ANGLES}
    remark = f"{total} of {total + lost.sum()} samples of detector {detector.name} taken; left out: {reasons or 'none'}"
    return Samples(tuple(parts), pixels, geometry, remark)


def _one_shape(bands: list[list[Field]], product: Product, name: str) -> tuple[int, ...]:
    shapes = sorted({one.shape for band in bands for one in band})
    if len(shapes) > 1:
        where, said = f"{product.file.filename}: data/{name}/measurement_data", ", ".join(map(times, shapes))
        raise Fault(f"{where}: the bands of one detector differ in shape: {said}")
    return shapes[0]


def _angle(product: Product, name: str, variable: str, shape: tuple[int, ...]) -> Field:
    """The angles of one viewing dimension: those of this name, or of a longer one, that have the shape of the radiances."""
    where = f"data/{name}/geolocation_data"
    inside = product.file.get(where)
    named = sorted(n for n in inside if n.startswith(variable)) if inside is not None else []
    fitting = [n for n in named if getattr(inside.get(n), "shape", None) == shape]
    return field(product, f"{where}/{(fitting or [variable])[0]}", STORED, shape)


def judged(
    bands: list[list[Field]], angles: dict[str, Field], cells: slice, given: tuple[L1C3MI, Polarimeter, Detector]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Why each sample of some cells is left out, as an index into `LEFT_OUT`, or −1; and what is known of each.

    Returns
    -------
    (cell, view) index; (cell, view) arrays by name: x, y, theta, detector and the angles
    """
    spec, instrument, detector = given
    read = {name: one.values(cells) for name, one in angles.items()}
    seen = np.logical_and.reduce([here for _, here in read.values()])
    angle = {name: values for name, (values, _) in read.items()}
    sense = -1.0 if spec.azimuth == "clockwise" else 1.0
    platform, plane = instrument.platform, detector.focal_plane
    x, y, known = field_position(angle["vza"], sense * angle["relative_azimuth"], seen, platform.altitude, platform.heading)
    row, column = (np.rint(n).astype(np.int64) for n in plane.element(x, y))
    off = (row < 0) | (row >= plane.rows) | (column < 0) | (column >= plane.columns)
    present, dark, over = seen, np.cos(angle["sza"] * DEGREE) <= 0, np.zeros_like(seen)
    for band in bands:
        values, here = zip(*(one.values(cells) for one in band), strict=True)
        present = np.logical_and.reduce([present, *here])
        dark = dark | (values[0] <= 0)
        if len(values) == 3:
            over |= values[1] ** 2 + values[2] ** 2 > values[0] ** 2
    if spec.views != "all":
        present = present & np.isin(np.arange(seen.shape[1]), spec.views)
    why = np.select([~present, ~known, off, dark, over], [0, 1, 2, 3, 4], -1)
    theta = arctan(np.sqrt(x * x + y * y))
    return why, {"x": x, "y": y, "theta": theta, "detector": row * plane.columns + column, **angle}


def stokes(spec: L1C3MI, names: tuple[str, ...], samples: Samples) -> np.ndarray:
    """I, Q and U of one band as the product has them, (3, sample); Q = U = 0 without polarisers [1]."""
    address = samples.pixels["address"]
    out = np.zeros((3, address.size))
    with opened(Path(spec.path), LAYOUT) as product:
        for place in _places(samples.parts, address):
            for component, name in enumerate(names):
                found = field(product, place.group + name, STORED)
                out[component, place.samples] = found.values(*place.block)[0][place.inside]
    return out


def places(spec: L1C3MI, scene: Scene) -> list[Place]:
    """Where the samples of a scene of this product stand in it."""
    parts, first = [], 0
    with opened(Path(spec.path), LAYOUT) as product:
        for name in groups(product, spec):
            shape = field(product, f"data/{name}/{stored(scene.band, polarised=False)[0]}", STORED).shape
            parts.append(Part(name, first, shape))
            first += shape[0] * shape[1]
    return list(_places(parts, scene.sample))


def _places(parts: Iterable[Part], address: np.ndarray) -> Iterator[Place]:
    for part in parts:
        for cells in blocks(0, part.shape[0], part.shape[1]):
            edges = part.first + np.array([cells.start, cells.stop]) * part.shape[1]
            first, stop = map(int, np.searchsorted(address, edges))
            cell, view = np.divmod(address[first:stop] - edges[0], part.shape[1])
            if stop > first:
                yield Place(f"data/{part.name}/", (cells,), slice(first, stop), (cell, view))
