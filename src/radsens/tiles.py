"""The pixels of a band in tiles of one cell each, and how many there are of each cell and stratum."""

from typing import NamedTuple

import numpy as np

from radsens.gaps.strata import Partition
from radsens.gaps.sums import PILOTS, Cells
from radsens.schema import Scene

ROW = 512  # pixels of a tile at most
PAD = 64  # tiles are padded to multiples of it


class Image(NamedTuple):
    """Pixels of one band in tiles: the pixel table tile by tile, and the addresses. A type that kernels take.

    tiles (tile, 6): first pixel, size, cell, whether it is the cell's last, number of true pixels and, these being the
    first of them, of those with an angle; pixels (TABLE_ROWS × pixel), flat, each tile a (TABLE_ROWS, size) block.
    """

    tiles: np.ndarray
    pixels: np.ndarray
    detector: np.ndarray
    sample: np.ndarray


def lay(order: np.ndarray, cell: np.ndarray, table: np.ndarray, weights: np.ndarray, scene: Scene, kind: str, cut: bool) -> Image:
    """Tiles of the pixels `order`, padded with copies; if `cut`, one cell each, its pixels with an angle coming first.

    weights (2, pixel): 1 in pixels that count, 1 in those of them with an angle.
    """
    groups = np.split(order, np.flatnonzero(np.diff(cell[order])) + 1) if cut else [order]
    chosen, tiles, start = [], [], 0
    for group in groups:
        for first in range(0, group.size, ROW):
            part = group[first : first + ROW]
            size = -(-part.size // PAD) * PAD
            chosen.append(np.concatenate([part, np.full(size - part.size, part[-1])]))
            n = np.count_nonzero(weights[:, part], axis=1)
            tiles.append((start, size, cell[part[0]], first + ROW >= group.size, *n))
            start += size
    index = np.concatenate(chosen)
    pixels = np.concatenate([table[:, c].astype(kind).ravel() for c in chosen])
    addresses = (scene.detector[index].astype(np.uint32), scene.sample[index].astype(np.uint32))
    return Image(np.array(tiles, dtype=np.int64), pixels, *addresses)


def count(partition: Partition) -> Cells:
    """Pixels of each cell and stratum, all of them and those with an angle."""
    n = np.stack([np.bincount(partition.cell, w, len(partition.members)) for w in (None, partition.aolp)]).astype(float)
    strata = np.zeros((2, len(partition.names)))
    for c, members in enumerate(partition.members):
        for s in members[members >= 0]:
            strata[:, s] += n[:, c]
    return Cells(n, partition.members, strata)


def pilots(partition: Partition) -> np.ndarray:
    """Pixels that stand for their cell, (cell × 2 PILOTS): evenly among all its pixels, and among those with an angle."""
    chosen = []
    for c in range(len(partition.members)):
        here = np.flatnonzero(partition.cell == c)
        angle = here[partition.aolp[here]]
        for group in (here, angle if angle.size else here):
            chosen.append(group[(np.arange(PILOTS) * group.size) // PILOTS])
    return np.concatenate(chosen)


def in_strata(of_cells: np.ndarray, partition: Partition) -> np.ndarray:
    """Counts of pixels of each stratum from those of its cells, (realisation, cell) → (realisation, stratum)."""
    found = np.zeros((len(of_cells), len(partition.names)), np.int64)
    for c, members in enumerate(partition.members):
        found[:, members[members >= 0]] += of_cells[:, c, None].astype(np.int64)
    return found
