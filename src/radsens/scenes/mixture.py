"""Images of a mixture of states: each pixel of each view is seen through the part of it that each state covers.

A state is an atmosphere over a surface; a pixel that several share sends the sum of their light, each weighted by its share
and computed as if it were alone (independent pixels: no shadows, no light across an edge). Light is computed in the meridian
frame and turned to the focal plane, the only frame in which it is mixed.
"""

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from radsens.instrument import Band, Detector, Polarimeter, rotate
from radsens.scenes.acquisition import Look, Overpass, look, passage
from radsens.scenes.pixels import places
from radsens.scenes.structure import binned, blurred, finer
from radsens.schema import Fault, Frozen, Scene
from radsens.transfer import gas, surfaces
from radsens.transfer.once import Directions
from radsens.transfer.rendering import MARGIN, Fine, fine, stokes
from radsens.transfer.scattering import Reflection
from radsens.transfer.states import State
from radsens.transfer.tables import Accuracy, Request, Table, tables

PURE = 0.95
"""Share of a pixel above which it is of the class of a state; else it is mixed [1]."""

GLINT_ANGLE = 30.0
"""Pixels of a clear sea closer than this to the specular direction are of class glint [deg]."""


class Acquisition(Frozen):
    """When, where and how often the instrument looks; its orbit stands in the instrument's file."""

    date: datetime.date = Field(
        datetime.date(2006, 3, 21), description="day of the middle view, UTC, which sets the declination of the sun"
    )
    latitude: float = Field(4, ge=-85, le=85, description="geodetic latitude below the satellite at the middle view [deg]")
    longitude: float = Field(0, ge=-180, le=180, description="longitude below the satellite at the middle view [deg]")
    views: int = Field(1, ge=1, le=400, description="images, one after another along the orbit [1]")
    every: int = Field(1, ge=1, le=1000, description="images of the instrument from one view to the next [1]")
    step: int = Field(1, ge=1, le=64, description="keep one row and one column out of this many, 1 for the full image [1]")


@dataclass(frozen=True)
class Ground:
    """Where the pixels of one view look, (row, column) each, NaN where no sunlit ground is seen.

    Attributes
    ----------
    along, across : on the map of the overpass [km]
    latitude, longitude : [deg]
    """

    along: np.ndarray
    across: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray

    def finer(self, times: int) -> "Ground":
        """The same on `times` as many rows and columns."""
        return Ground(*(finer(values, times) for values in vars(self).values()))


Share = Callable[[Ground], np.ndarray]
"""Part of each place that each state covers: Ground → (state, row, column), their sum is 1."""


@dataclass(frozen=True)
class Mixture:
    """What a kind of scene is made of.

    Attributes
    ----------
    states : by name, which are the scene classes
    share : what each state covers; not given if there is one state
    oversampling : places in a pixel, along a row and along a column, at which `share` is asked
    blur : standard deviation of the instrument's point-spread function [pixel]
    accuracy : of the tables
    """

    states: dict[str, State]
    share: Share | None = None
    oversampling: int = 3
    blur: float = 0.4
    accuracy: Accuracy = "standard"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of the pixels: the states, the glint of a clear sea, and mixtures."""
        seas = [f"{name}_glint" for name, state in self.states.items() if _shines(state)]
        return (*self.states, *seas, *(["mixed"] if self.share else []))


@dataclass(frozen=True)
class Frame:
    """What the light of one view by one detector depends on, for the pixels that see sunlit ground; float32, as views are many.

    Attributes
    ----------
    directions : of the pixels
    turn : cos 2ψ and sin 2ψ from their meridian to the focal plane, (2, pixel)
    shares : (state, pixel) part of each that each state covers
    """

    directions: Directions
    turn: np.ndarray
    shares: np.ndarray


class Places(NamedTuple):
    """What the scene file says of the pixels of a frame: detector address, scene class, angles and places on the ground [deg]."""

    pixels: np.ndarray
    classes: np.ndarray
    geometry: dict[str, np.ndarray]


def requests(mixture: Mixture, instrument: Polarimeter, bands: Sequence[str]) -> list[Request]:
    """Tables that the bands need, those of one band together."""
    found = []
    for name in bands:
        band = instrument.band(name)
        thickness = band.rayleigh_optical_thickness
        found += [Request(s, band.wavelength, thickness, accuracy=mixture.accuracy) for s in mixture.states.values()]
    return found


def render(mixture: Mixture, acquisition: Acquisition, instrument: Polarimeter, bands: Sequence[str]) -> Iterator[Scene]:
    """Scenes of the bands, one after another; the geometry is computed once for the bands of a detector that come together."""
    detector: Detector | None = None
    frames: list[Frame] = []
    shared: dict[str, Any] = {}
    for name in bands:
        if instrument.detector(name) != detector:
            detector, frames, shared = instrument.detector(name), [], {}
            frames, shared = _seen(mixture, acquisition, instrument, detector)
        made = tables(requests(mixture, instrument, [name]))
        yield Scene(band=name, stokes=light(mixture, instrument.band(name), made, frames), **shared)


def light(mixture: Mixture, band: Band, made: Sequence[Table], frames: Sequence[Frame]) -> np.ndarray:
    """I, Q, U of one band in all frames, in the focal-plane frame, (3, pixel) [1].

    `made` are the tables of the states at this band.
    """
    mu, mu0 = (_range([getattr(frame.directions, name) for frame in frames]) for name in ("mu", "mu0"))
    grids = [fine(table, mu, mu0) for table in made]
    grounds = [surfaces.reflection(state.surface, band.wavelength) for state in mixture.states.values()]
    heights = [state.height for state in mixture.states.values()]
    out, first = np.empty((3, sum(frame.shares.shape[1] for frame in frames))), 0
    for frame in frames:
        last = first + frame.shares.shape[1]
        out[:, first:last] = _light(frame, band, made, grids, grounds, heights)
        first = last
    return out


def _light(
    frame: Frame,
    band: Band,
    made: Sequence[Table],
    grids: Sequence[Fine],
    grounds: Sequence[Reflection],
    heights: Sequence[float],
) -> np.ndarray:
    """Light of one frame, each state weighted by its share, then turned to the focal plane: (3, pixel)."""
    out = np.zeros((3, frame.shares.shape[1]))
    for share, table, grid, ground, height in zip(frame.shares, made, grids, grounds, heights, strict=True):
        part = np.flatnonzero(share)
        directions = Directions(*(values[..., part].astype(float) for values in frame.directions))
        light_there = stokes(table, grid, ground, directions) * _transmission(band, height, directions)
        out[:, part] += share[part] * light_there
    q, u = rotate(out[1], out[2], (frame.turn[0], frame.turn[1]))
    return np.stack([out[0], q, u])


def _transmission(band: Band, height: float, directions: Directions) -> np.ndarray | float:
    """Two-way transmission of the gas of a band above a height [km], (pixel,) [1]; approximate."""
    if band.gas == "none" or band.gas_absorption is None:
        return 1.0
    above = gas.absorber_above(band.gas, np.array(height))
    return gas.transmission(directions.mu, directions.mu0, band.gas_absorption, above)


def _frame(
    mixture: Mixture, acquisition: Acquisition, instrument: Polarimeter, detector: Detector, view: int
) -> tuple[Frame, Places]:
    """One view, and where its pixels are."""
    plane, platform, a = detector.focal_plane, instrument.platform, acquisition
    overpass = Overpass(platform, passage(platform, a.date, a.latitude, a.longitude), a.latitude, a.longitude)
    number = (view - (a.views - 1) // 2) * a.every
    asked = plane.every(a.step)
    seen = look(overpass, *plane.coordinates(asked)[:2], number)
    if not seen.seen.any():
        raise Fault(f"scene.acquisition: view {view} of 0 to {a.views - 1} sees no sunlit ground; change date, latitude or views")
    pixels = asked[seen.seen]
    shares = np.ones((1, pixels.size), np.float32)
    if mixture.share:
        whole = look(overpass, *plane.coordinates(np.arange(plane.size))[:2], number)
        shares = _covered(mixture, _ground(whole, plane.rows, plane.columns)).reshape(len(mixture.states), -1)[:, pixels]
    angles = seen.angles() | {"latitude": seen.latitude, "longitude": seen.longitude}
    directions = Directions.of(seen.mu, seen.mu0, seen.phi)
    frame = Frame(
        directions=Directions(*(values.astype(np.float32) for values in directions)),
        turn=np.stack(seen.turn).astype(np.float32),
        shares=shares.astype(np.float32),
    )
    classes = _classes(mixture, shares, angles["glint_angle"])
    return frame, Places(pixels, classes, {name: values.astype(np.float32) for name, values in angles.items()})


def _ground(look: Look, rows: int, columns: int) -> Ground:
    """Places of all pixels of a view, as images."""

    def image(values: np.ndarray) -> np.ndarray:
        whole = np.full(rows * columns, np.nan)
        whole[look.seen] = values
        return whole.reshape(rows, columns)

    return Ground(image(look.along), image(look.across), image(look.latitude), image(look.longitude))


def _covered(mixture: Mixture, ground: Ground) -> np.ndarray:
    """Shares of the states in each pixel as the instrument sees them: (state, row, column), their sum is 1."""
    times = mixture.oversampling
    found = []
    assert mixture.share is not None
    for one in np.nan_to_num(mixture.share(ground.finer(times))):
        found.append(np.clip(binned(blurred(one, mixture.blur * times), times), 0, 1))
    shares = np.stack(found)
    total = shares.sum(0)
    shares[0] += total == 0  # where no ground is seen around
    return shares / np.where(total == 0, 1, total)


def _seen(
    mixture: Mixture, acquisition: Acquisition, instrument: Polarimeter, detector: Detector
) -> tuple[list[Frame], dict[str, Any]]:
    """All views by one detector, and what the scenes of its bands share: addresses, geometry, classes.

    Room is made for all pixels at once and filled view by view: memory is short where views are many.
    """
    room = acquisition.views * detector.focal_plane.every(acquisition.step).size
    found: dict[str, np.ndarray] = {}
    geometry: dict[str, np.ndarray] = {}
    frames, first = [], 0
    for number in range(acquisition.views):
        frame, here = _frame(mixture, acquisition, instrument, detector, number)
        frames.append(frame)
        common = places(detector, here.pixels, number)
        part = slice(first, first + here.pixels.size)
        arrays = {name: values for name, values in common.items() if isinstance(values, np.ndarray)}
        for store, values in (found, arrays | {"scene_class": here.classes}), (geometry, here.geometry):
            for name, value in values.items():
                store.setdefault(name, np.empty(room, value.dtype))[part] = value
        first = part.stop
    kept = {name: values[:first] for name, values in found.items()}
    shared = {**common, **kept, "class_names": mixture.class_names}
    return frames, {**shared, "geometry": {name: values[:first] for name, values in geometry.items()}}


def _classes(mixture: Mixture, shares: np.ndarray, glint_angle: np.ndarray) -> np.ndarray:
    """Class of each pixel, (pixel,) int64: the state that it shows, glint, or mixed; glint angles [deg]."""
    names = mixture.class_names
    found = shares.argmax(0)
    for k, (name, state) in enumerate(mixture.states.items()):
        if _shines(state):
            found = np.where((glint_angle < GLINT_ANGLE) & (found == k), names.index(f"{name}_glint"), found)
    return np.where(shares.max(0) < PURE, names.index("mixed"), found) if mixture.share else found


def _shines(state: State) -> bool:
    """Whether a state shows the sun's glint."""
    return state.surface.kind == "ocean" and state.cloud is None


def _range(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """Smallest and largest of several arrays, a little widened so that a grid between them has a size."""
    return min(v.min() for v in values) - MARGIN, max(v.max() for v in values) + MARGIN
