"""PARASOL level-1B product as a scene: measured radiances with the place on the detector of every view.

I, Q and U of the product are normalised radiances πL/E₀. Q and U refer to the meridian frame of the ground pixel, the plane
of its zenith and the line of sight. For a platform that points at the nadir the optical axis lies in that plane, so
that it appears in the focal plane as the radius through the pixel: the frame is turned from the focal-plane x axis by
ψ = φ = atan2(y, x). Over the ellipsoid the two differ by up to 0.05° for a platform that points at the geocentre, and by up to
some 0.2° if it points along the local vertical or its attitude, which is not in the product, is off by as much: an error of AoLP
of that size and none of DoLP. `u_sign` and `mirror` are there because neither the sign of U nor the sides from which rows and
columns count could be held against a real product.

`CCD_row` and `CCD_column` are those of band 670P2; another filter saw the same ground some 0.4 elements away per step of the
wheel between them (recalled), which is not corrected. The product was resampled on its grid by bicubic interpolation:
fields of the detector elements act on it as if each sample were one element, the nearest one.

No real product was at hand: the layout is that of the page of ICARE and of public readers (docs/real_products.md).

References
----------
ICARE, product POLDER3_L1_B-HDF (L1_B 03.02, HDF5 1.01): groups, datasets, types, scales, codes, axes (row, column, view).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field as Knob

from radsens.elementary import arctan
from radsens.instrument import FocalPlane, Polarimeter, double_azimuth, rotate
from radsens.scenes.hdf5_product import Field, Layout, Place, Product, blocks, field, opened
from radsens.schema import Fault, Frozen, Scene

LAYOUT = Layout("a PARASOL level-1B product in HDF5", ("row", "column", "view"), (3240, 6480, 16))
"""The sinusoidal grid of 1/18°, seen in 16 views (verified: ICARE)."""

DIRECTIONAL, PER_PIXEL, GEOLOCATION = "Data_Directional_Fields", "Data_Fields", "Geolocation_Fields"
FLAGS = "Quality_Flags_Directional_Fields"

STORED = ("int16", "float32", "float64")
"""Types of a radiance: that of the product, and those of an export without packing."""

ANGLES = {"sza": "thetas", "vza": "thetav", "relative_azimuth": "phi"}
"""Datasets of the angles, by the names that scenes use."""

CLASSES = ("clear_ocean", "clear_coast", "clear_land", "undetermined", "cloudy", "unmarked")
"""Scene classes; `undetermined` is the cloud indicator's own middle value, `unmarked` has none."""

LEFT_OUT = ("without a value", "flagged", "off the detector", "with I ≤ 0", "with DoLP > 1")
"""Why a sample is left out, in the order in which it is asked."""

Number = Annotated[int, Knob(ge=0, lt=2**31)]
Flag = Annotated[int, Knob(ge=1, le=14)]


class ParasolL1B(Frozen):
    """A PARASOL level-1B product of AERIS/ICARE in HDF5."""

    kind: Literal["parasol_l1b"] = Knob(description="a PARASOL level-1B product in HDF5 (AERIS/ICARE)")
    path: str = Knob(min_length=1, description="the product, an HDF5 file; the key of the scene holds its content, not its name")
    views: Literal["all"] | tuple[Number, ...] = Knob("all", description="views to take, numbered from 0, or all [1]")
    rows: tuple[Number, Number] | None = Knob(None, description="first and last row of the product, from 0; all if null [1]")
    columns: tuple[Number, Number] | None = Knob(
        None, description="first and last column of the product, from 0; all if null [1]"
    )
    reject: tuple[Flag, ...] = Knob(
        (2, 3, 4, 5, 6),
        description="quality flags, 1 to 14, of which none may be set: optics polarisation (2), saturated or lacking (3 to 6), "
        "border of the matrix (7 to 10), stray light (11 to 14); flag 1 is a class of attitude [1]",
    )
    mirror: Literal["none", "rows", "columns", "both"] = Knob(
        "none", description="detector addresses of the product that count against the axes of the focal plane"
    )
    u_sign: Literal[1, -1] = Knob(1, description="sign of the product's U in the frames of the tool [1]")


@dataclass(frozen=True)
class Samples:
    """The samples that are kept, the same for all bands.

    Attributes
    ----------
    address : (sample,) flat index in (row, column, view) of the product, rising
    view, detector, scene_class : (sample,)
    x, y, theta : (sample,) place in the field
    geometry : (sample,) angles [deg]
    remark : how many were left out, and why
    """

    address: np.ndarray
    view: np.ndarray
    detector: np.ndarray
    scene_class: np.ndarray
    x: np.ndarray
    y: np.ndarray
    theta: np.ndarray
    geometry: dict[str, np.ndarray]
    class_names: tuple[str, ...]
    remark: str


def render(spec: ParasolL1B, instrument: Polarimeter, bands: tuple[str, ...]) -> Iterator[Scene]:
    """The product seen by one band after the other; the samples are those that all bands have."""
    components = {band: stored(band, instrument.band(band).polarised) for band in bands}
    plane = instrument.detector(bands[0]).focal_plane
    samples = chosen(spec, plane, components)
    for band in bands:
        detector = instrument.detector(band)
        if detector.focal_plane != plane:
            raise Fault(f"scene.kind: {spec.kind} needs one detector, and {instrument.name} has several; leave out band {band}")
        yield Scene(
            band=band,
            stokes=to_focal_plane(spec, stokes(spec, components[band], samples), samples),
            x=samples.x,
            y=samples.y,
            theta=samples.theta,
            detector=samples.detector,
            sample=samples.address,
            view=samples.view,
            scene_class=samples.scene_class,
            class_names=samples.class_names,
            plane=detector.name,
            shape=(plane.rows, plane.columns),
            geometry=samples.geometry,
            remark=samples.remark,
        )


def stored(band: str, polarised: bool) -> tuple[str, ...]:
    """Datasets of I, Q and U of a band, or of I alone."""
    return tuple(f"{DIRECTIONAL}/{component}{band}" for component in ("IQU" if polarised else "I"))


def to_focal_plane(spec: ParasolL1B, stokes: np.ndarray, samples: Any) -> np.ndarray:
    """Stokes vectors (3, sample) of the product in the focal-plane frame: turned by ψ = φ."""
    q, u = rotate(stokes[1], spec.u_sign * stokes[2], double_azimuth(samples.x, samples.y))
    return np.stack([stokes[0], q, u])


def to_product(spec: ParasolL1B, stokes: np.ndarray, scene: Scene) -> np.ndarray:
    """Stokes vectors (3, sample) of a scene, or differences of them, as the product has them: turned back by −φ."""
    cos2, sin2 = double_azimuth(scene.x, scene.y)
    q, u = rotate(stokes[1], stokes[2], (cos2, -sin2))
    return np.stack([stokes[0], q, spec.u_sign * u])


@dataclass(frozen=True)
class Window:
    """The part of a product that is read.

    Attributes
    ----------
    shape : rows, columns and views of the product
    rows, columns : half-open ranges
    views : numbers of the views, rising
    """

    shape: tuple[int, ...]
    rows: slice
    columns: slice
    views: tuple[int, ...]

    @property
    def blocks(self) -> Iterator[slice]:
        """The rows, some at a time."""
        return blocks(self.rows.start, self.rows.stop, (self.columns.stop - self.columns.start) * self.shape[2])

    def index(self, rows: slice) -> tuple[Any, ...]:
        """Where a block of rows is in a dataset: (row, column, view)."""
        return rows, self.columns, list(self.views) if len(self.views) < self.shape[2] else slice(None)

    def size(self, rows: slice) -> tuple[int, int, int]:
        """Rows, columns and views of a block."""
        return rows.stop - rows.start, self.columns.stop - self.columns.start, len(self.views)

    def addresses(self, rows: slice) -> np.ndarray:
        """Flat indices in (row, column, view) of the product of the samples of a block, (row, column, view)."""
        row = np.arange(rows.start, rows.stop, dtype=np.int64)[:, None, None]
        column = np.arange(self.columns.start, self.columns.stop)[:, None]
        return (row * self.shape[1] + column) * self.shape[2] + np.array(self.views)

    def places(self, address: np.ndarray) -> Iterator[Place]:
        """Where samples of these rising addresses stand, block by block."""
        width = self.shape[1] * self.shape[2]
        for rows in self.blocks:
            first, stop = map(int, np.searchsorted(address, (rows.start * width, rows.stop * width)))
            row, column, view = np.unravel_index(address[first:stop], self.shape)
            inside = row - rows.start, column - self.columns.start, np.searchsorted(np.array(self.views), view)
            if stop > first:
                yield Place("", self.index(rows), slice(first, stop), inside)


def window(spec: ParasolL1B, shape: tuple[int, ...]) -> Window:
    """The part of a product of this shape that is asked for.

    Raises
    ------
    Fault : rows, columns or views that the product does not have
    """
    sides = []
    for name, limits, size in (("rows", spec.rows, shape[0]), ("columns", spec.columns, shape[1])):
        first, last = limits or (0, size - 1)
        if not first <= last < size:
            raise Fault(f"scene.{name}: must be a first and a last one from 0 to {size - 1}, got {[first, last]}")
        sides.append(slice(first, last + 1))
    views = tuple(range(shape[2])) if spec.views == "all" else tuple(sorted(spec.views))
    if not views or len(set(views)) < len(views) or views[-1] >= shape[2]:
        raise Fault(f"scene.views: must be all, or different numbers from 0 to {shape[2] - 1}, got {list(views)}")
    return Window(shape, sides[0], sides[1], views)


@dataclass(frozen=True)
class Fields:
    """The datasets of a product that a choice of samples reads.

    Attributes
    ----------
    stokes : those of each band
    flags : quality flags that reject
    angles : by the names that scenes use
    place : CCD_row and CCD_column
    ground : cloud_indicator and land_sea_flag
    """

    stokes: tuple[tuple[Field, ...], ...]
    flags: tuple[Field, ...]
    angles: dict[str, Field]
    place: tuple[Field, Field]
    ground: tuple[Field, Field]


def fields(product: Product, spec: ParasolL1B, components: dict[str, tuple[str, ...]]) -> Fields:
    """The datasets that are needed, each checked; all have the shape of the first."""
    first = next(iter(components.values()))[0]
    shape = field(product, first, STORED).shape
    marks = ("uint8", "int8", "int16", "uint16")

    def directional(name: str, *kinds: str) -> Field:
        return field(product, f"{DIRECTIONAL}/{name}", kinds, shape)

    def ground(name: str) -> Field:
        return field(product, name, marks, shape[:2])

    return Fields(
        stokes=tuple(tuple(field(product, name, STORED, shape) for name in names) for names in components.values()),
        flags=tuple(field(product, f"{FLAGS}/Quality_Flags_{n:02d}", marks, shape) for n in sorted(set(spec.reject))),
        angles={name: directional(dataset, "uint16", "int16") for name, dataset in ANGLES.items()},
        place=(directional("CCD_row", "int16", "uint16"), directional("CCD_column", "int16", "uint16")),
        ground=(ground(f"{PER_PIXEL}/cloud_indicator"), ground(f"{GEOLOCATION}/land_sea_flag")),
    )


def chosen(spec: ParasolL1B, plane: FocalPlane, components: dict[str, tuple[str, ...]]) -> Samples:
    """The samples that all bands have, in one pass over the product.

    Raises
    ------
    Fault : the product is not what it should be, or no sample is left
    """
    kept: list[dict[str, np.ndarray]] = []
    lost = np.zeros(len(LEFT_OUT), np.int64)
    with opened(Path(spec.path), LAYOUT) as product:
        found = fields(product, spec, components)
        area = window(spec, found.stokes[0][0].shape)
        for rows in area.blocks:
            why, place = judged(found, area, rows, plane)
            lost += np.bincount(why[why >= 0], minlength=len(LEFT_OUT))
            good = why < 0
            if good.any():
                kept.append(described(found, area, rows, place, good))
    reasons = ", ".join(f"{n} {reason}" for n, reason in zip(lost, LEFT_OUT, strict=True) if n)
    total = sum(one["address"].size for one in kept)
    if not total:
        raise Fault(f"{spec.path}: no sample is left of {lost.sum()} in bands {', '.join(components)}: {reasons}")
    joined = {name: np.concatenate([one[name] for one in kept]) for name in kept[0]}
    return assembled(spec, joined, plane, f"{total} of {total + lost.sum()} samples taken; left out: {reasons or 'none'}")


def judged(found: Fields, area: Window, rows: slice, plane: FocalPlane) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Why each sample of a block is left out, as an index into `LEFT_OUT`, or −1; and its row and column on the detector.

    Returns
    -------
    (row, column, view) index; two of (row, column, view), from 0 [element]
    """
    part = area.index(rows)
    present, dark, over, flagged = (np.full(area.size(rows), value) for value in (True, False, False, False))
    for band in found.stokes:
        values = []
        for one in band:
            value, here = one.values(*part)
            values.append(value)
            present &= here
        dark |= values[0] <= 0
        if len(values) == 3:
            over |= values[1] ** 2 + values[2] ** 2 > values[0] ** 2
    for angle in found.angles.values():
        present &= angle.values(*part)[1]
    row, column = (one.values(*part) for one in found.place)
    present &= row[1] & column[1]
    for flag in found.flags:
        value, here = flag.values(*part)
        flagged |= here & (value != 0)
    place = row[0] - 1, column[0] - 1
    inside = [(p > -0.5) & (p < n - 0.5) for p, n in zip(place, (plane.rows, plane.columns), strict=True)]
    off = ~(inside[0] & inside[1])
    return np.select([~present, flagged, off, dark, over], [0, 1, 2, 3, 4], -1), place


def described(
    found: Fields, area: Window, rows: slice, place: tuple[np.ndarray, np.ndarray], good: np.ndarray
) -> dict[str, np.ndarray]:
    """What is known of the good samples of a block, (sample,) each."""
    part = area.index(rows)
    cloud, land = (one.values(*part) for one in found.ground)
    ground = scene_classes(cloud[0], land[0], cloud[1] & land[1])
    angles = {name: one.values(*part)[0][good] for name, one in found.angles.items()}
    return {
        "address": area.addresses(rows)[good],
        "view": np.broadcast_to(np.array(area.views), good.shape)[good],
        "row": place[0][good],
        "column": place[1][good],
        "scene_class": np.broadcast_to(ground[:, :, None], good.shape)[good],
        **angles,
    }


def scene_classes(cloud: np.ndarray, land: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """Index into `CLASSES` of pixels.

    Parameters
    ----------
    cloud : cloud_indicator, 0 clear, 50 undetermined, 100 cloudy
    land : land_sea_flag, 0 sea, 50 mixed, 100 land
    marked : whether both have a value
    """
    clear = np.select([land == 0, land == 100], [0, 2], 1)
    return np.where(marked, np.select([cloud == 0, cloud == 100], [clear, 4], 3), CLASSES.index("unmarked"))


def assembled(spec: ParasolL1B, joined: dict[str, np.ndarray], plane: FocalPlane, remark: str) -> Samples:
    """Samples with their place in the field; classes that occur keep their names."""
    row, column = joined["row"], joined["column"]
    row = plane.rows - 1 - row if spec.mirror in ("rows", "both") else row
    column = plane.columns - 1 - column if spec.mirror in ("columns", "both") else column
    x, y = plane.place(row, column)
    detector = np.rint(row).astype(np.int64) * plane.columns + np.rint(column).astype(np.int64)
    present, scene_class = np.unique(joined["scene_class"], return_inverse=True)
    return Samples(
        address=joined["address"],
        view=joined["view"],
        detector=detector,
        scene_class=scene_class,
        x=x,
        y=y,
        theta=arctan(np.sqrt(x * x + y * y)),
        geometry={name: joined[name] for name in ANGLES},
        class_names=tuple(CLASSES[i] for i in present),
        remark=remark,
    )


def stokes(spec: ParasolL1B, names: tuple[str, ...], samples: Samples) -> np.ndarray:
    """I, Q and U of one band as the product has them, (3, sample); Q = U = 0 without polarisers [1]."""
    out = np.zeros((3, samples.address.size))
    with opened(Path(spec.path), LAYOUT) as product:
        for component, name in enumerate(names):
            found = field(product, name, STORED)
            for place in window(spec, found.shape).places(samples.address):
                out[component, place.samples] = found.values(*place.block)[0][place.inside]
    return out


def places(spec: ParasolL1B, scene: Scene) -> list[Place]:
    """Where the samples of a scene of this product stand in it."""
    with opened(Path(spec.path), LAYOUT) as product:
        shape = field(product, stored(scene.band, polarised=False)[0], STORED).shape
    return list(window(spec, shape).places(scene.sample))
