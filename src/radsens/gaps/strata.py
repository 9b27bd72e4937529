"""In which parts of the image: classes of the field, of the polarisation, of the radiance, and their crossing.

Every stratum is a union of cells, a cell being one combination of the classes of all fields that the campaign names;
so the statistics of a stratum are exact however the classes overlap.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from radsens import elementary
from radsens.schema import Fault, Frozen, Scene

ALL = "all"
MOST_CELLS = 400
BLOCK = 1 << 16  # pixels whose fields are computed at a time

Edges = Annotated[tuple[float, ...], Field(min_length=2)]


class Strata(Frozen):
    """The parts of the image in which the gaps are told apart; the whole image (`all`) is always one."""

    field: Edges | None = Field(None, description="edges of rings of field angle [deg]", examples=[[0, 20, 40, 60]])
    dolp: Edges | None = Field(None, description="edges of classes of reference DoLP [1]", examples=[[0, 0.05, 0.2, 1]])
    radiance: Edges | None = Field(None, description="edges of classes of normalised radiance I [1]", examples=[[0, 0.1, 1]])
    aolp: int | None = Field(
        None, ge=2, le=12, description="number of classes of the focal-plane AoLP modulo 60° [1]", examples=[3]
    )
    scene_class: bool = Field(False, description="whether each scene class is a stratum")
    cross: tuple[str, str] | None = Field(None, description="two of the fields above, to be crossed", examples=[["dolp", "aolp"]])
    aolp_min_dolp: float = Field(0.02, ge=0, lt=1, description="reference DoLP at or below which a pixel has no AoLP gap [1]")

    @model_validator(mode="after")
    def edges_rise_and_the_crossing_is_of_named_fields(self) -> Self:
        for name in ("field", "dolp", "radiance"):
            edges = getattr(self, name)
            if edges and any(a >= b for a, b in pairwise(edges)):
                raise ValueError(f"{name}: the edges must rise, got {list(edges)}")
        if self.cross and (self.cross[0] == self.cross[1] or not set(self.cross) <= set(self.fields)):
            raise ValueError(
                f"cross: must be two different fields among those given ({', '.join(self.fields)}), got {list(self.cross)}"
            )
        return self

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that have classes."""
        return tuple(n for n in ("field", "dolp", "radiance", "aolp", "scene_class") if getattr(self, n))


@dataclass(frozen=True)
class Partition:
    """The strata of one band.

    Attributes
    ----------
    names : of the strata, the same for all bands
    cell : (pixel,) cell of each pixel
    members : (cell, k) the strata that each cell belongs to, −1 where it is outside the edges of a field
    aolp : (pixel,) bool, whether the pixel has an AoLP gap
    """

    names: tuple[str, ...]
    cell: np.ndarray
    members: np.ndarray
    aolp: np.ndarray


def dolp(stokes: np.ndarray) -> np.ndarray:
    """Degree of linear polarisation √(Q² + U²) / I of Stokes vectors (..., 3, pixel) [1]."""
    return np.sqrt(stokes[..., 1, :] ** 2 + stokes[..., 2, :] ** 2) / stokes[..., 0, :]


def aolp(stokes: np.ndarray) -> np.ndarray:
    """Angle of linear polarisation ½ atan2(U, Q) of Stokes vectors (..., 3, pixel) [deg], from −90 to 90; 0 if Q = U = 0.

    By its half angle, as in `quantities.gap_row`, with functions that give the same class on every processor.
    """
    q, u = stokes[..., 1, :], stokes[..., 2, :]
    d = np.sqrt(q * q + u * u) + np.abs(q)
    half = np.degrees(elementary.arctan(np.abs(u) / np.where(d == 0, 1, d)))
    return np.where(u < 0, -1, 1) * np.where(q < 0, 90 - half, half)


def _between(values: np.ndarray, edges: tuple[float, ...], unit: str) -> tuple[np.ndarray, list[str]]:
    """Class of each value, the last edge included, −1 outside; and the names of the classes."""
    values = np.rint(values * 1e9) / 1e9  # what is on an edge but for rounding is on it
    index = np.searchsorted(edges, values, side="right") - 1
    index[values == edges[-1]] = len(edges) - 2
    index[index > len(edges) - 2] = -1
    return index, [f"{a:g}-{b:g}{unit}" for a, b in pairwise(edges)]


def classes(strata: Strata, scene: Scene, field: str) -> tuple[np.ndarray, list[str]]:
    """Class of each pixel in one field, and the names of the strata; in small integers and by blocks, as pixels are many."""
    if field == "scene_class":
        index, names = scene.scene_class.astype(np.int16), list(scene.class_names)
    else:
        blocks = [_measured(strata, scene, field, slice(a, a + BLOCK)) for a in range(0, max(scene.theta.size, 1), BLOCK)]
        index, names = np.concatenate([block for block, _ in blocks]), blocks[0][1]
    return index, [f"{field}:{n}" for n in names]


def _measured(strata: Strata, scene: Scene, field: str, part: slice) -> tuple[np.ndarray, list[str]]:
    """Class of some pixels by the value of a field, and the names of the classes."""
    stokes = scene.stokes[:, part]
    match field:
        case "field":
            index, names = _between(np.degrees(scene.theta[part]), strata.field or (), "deg")
        case "dolp":
            index, names = _between(dolp(stokes), strata.dolp or (), "")
        case "radiance":
            index, names = _between(stokes[0], strata.radiance or (), "")
        case _:
            edges = tuple(np.linspace(0, 60, (strata.aolp or 1) + 1))
            index, names = _between(np.rint(aolp(stokes) * 1e9) / 1e9 % 60, edges, "deg")
    return index.astype(np.int16), names


def partition(strata: Strata, scene: Scene) -> Partition:
    """Cells and strata of a scene in its band."""
    codes, angle = np.zeros(scene.theta.size, np.int32), np.zeros(scene.theta.size, bool)
    blocks = [slice(a, a + BLOCK) for a in range(0, max(scene.theta.size, 1), BLOCK)]
    for here in blocks:
        piece = scene.part(here)
        found = [(index + 1, names) for index, names in (classes(strata, piece, f) for f in strata.fields)]
        shape = [len(names) + 1 for _, names in found]  # the first class of each field is outside its edges
        for (index, _), size in zip(found, shape, strict=True):
            codes[here] = codes[here] * np.int32(size) + index
        angle[here] = dolp(piece.stokes) > strata.aolp_min_dolp
    occupied = np.zeros(int(np.prod(shape)), bool)
    for here in blocks:
        occupied[codes[here]] = True
    used = np.flatnonzero(occupied)
    if used.size > MOST_CELLS:
        raise Fault(f"strata: {used.size} cells in band {scene.band}, at most {MOST_CELLS} are allowed; give fewer classes")
    number, cell = (np.cumsum(occupied) - 1).astype(np.int16), np.zeros(scene.theta.size, np.int16)
    for here in blocks:
        cell[here] = number[codes[here]]
    place = np.array(np.unravel_index(used, shape)) - 1 if found else np.zeros((0, used.size), int)
    names, member = [ALL], [np.zeros(used.size, int)]
    for (_, more), index in zip(found, place, strict=True):
        member.append(np.where(index < 0, -1, len(names) + index))
        names += more
    if strata.cross:
        i, j = (strata.fields.index(f) for f in strata.cross)
        crossed = len(names) + place[i] * (shape[j] - 1) + place[j]
        member.append(np.where((place[i] < 0) | (place[j] < 0), -1, crossed))
        names += [f"{a}|{b}" for a in found[i][1] for b in found[j][1]]
    return Partition(tuple(names), cell, np.stack(member, axis=1), angle)


def refuse_empty(strata: Strata, scenes: Iterable[Scene]) -> Iterator[Scene]:
    """The same scenes; after the last, a class that holds no pixel in any band is refused: a mistake in its edges.

    Crossed strata may be empty, and scene classes, whose names the user did not choose.
    """
    counts: dict[str, Counter[str]] = {field: Counter() for field in strata.fields if field != "scene_class"}

    def counted(scene: Scene) -> Scene:
        for field, of_class in counts.items():
            index, names = classes(strata, scene, field)
            found = np.bincount(index[index >= 0], minlength=len(names)).tolist()
            of_class.update(dict(zip(names, found, strict=True)))
        return scene

    yield from map(counted, scenes)  # which lets a scene go before the next is made
    for field, of_class in counts.items():
        if empty := [name for name, count in of_class.items() if count == 0]:
            raise Fault(
                f"strata.{field}: no pixel of the scene is in {', '.join(empty)} in any band; change the edges or the scene"
            )
