"""The pixels of a band in tiles of one cell each, and how many there are of each cell and stratum."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from radsens.gaps.strata import Partition
from radsens.gaps.sums import PILOTS, Cells
from radsens.schema import Scene

ROW = 512  # pixels of a tile at most
PAD = 64  # tiles are padded to multiples of it
GROUP = 8  # tiles of a cell whose pixels are counted together: a histogram that was left is slow to come back to


class Image(NamedTuple):
    """Pixels of one band in tiles: the pixel table tile by tile, and the addresses. A type that kernels take.

    groups (group, 5): first tile and the one after the last of some of one cell, that cell, whether they are its first, or
    last; tiles (tile, 4): first pixel, size, number of true pixels and, these being the first of them, of those with an angle;
    pixels (TABLE_ROWS × pixel), flat, each tile a (TABLE_ROWS, size) block.
    """

    groups: np.ndarray
    tiles: np.ndarray
    pixels: np.ndarray
    detector: np.ndarray
    sample: np.ndarray


def lay(order: np.ndarray, cell: np.ndarray, table: np.ndarray, weights: np.ndarray, scene: Scene, kind: str, cut: bool) -> Image:
    """Tiles of the pixels `order`, padded with copies; if `cut`, one cell each, its pixels with an angle coming first.

    weights (2, pixel): 1 in pixels that count, 1 in those of them with an angle.
    """
    parts = np.split(order, np.flatnonzero(np.diff(cell[order])) + 1) if cut else [order]
    chosen, start = [], 0
    tiles: list[tuple[int, ...]] = []
    groups: list[tuple[int, ...]] = []
    for pixels in parts:
        begin = len(tiles)
        for first in range(0, pixels.size, ROW):
            part = pixels[first : first + ROW]
            size = -(-part.size // PAD) * PAD
            chosen.append(np.concatenate([part, np.full(size - part.size, part[-1])]))
            n = np.count_nonzero(weights[:, part], axis=1)
            tiles.append((start, size, *n))
            start += size
        cuts = pairwise([*range(begin, len(tiles), GROUP), len(tiles)])
        groups += [(a, b, cell[pixels[0]], a == begin, b == len(tiles)) for a, b in cuts]
    index = np.concatenate(chosen)
    pixels = np.concatenate([table[:, c].astype(kind).ravel() for c in chosen])
    addresses = (scene.detector[index].astype(np.uint32), scene.sample[index].astype(np.uint32))
    return Image(np.array(groups, dtype=np.int64), np.array(tiles, dtype=np.int64), pixels, *addresses)


def count(partition: Partition, quantiles: bool = True) -> Cells:
    """Pixels of each cell and stratum, all of them and those with an angle; nothing is counted in bins without `quantiles`.

    To the strata of the partition comes a last one, of the cells outside the first field, so that the classes of that field
    are the parts of the whole image.
    """
    size = len(partition.names) + 1
    members, leaves, parts = partition.members.copy(), partition.members, np.arange(size)[:, None]
    if members.shape[1] > 1:
        members[members[:, 1] < 0, 1] = size - 1
        leaves, whole = members[:, 1:], np.unique(members[:, 1])
        parts = np.full((size, max(whole.size, 1)), -1)
        parts[:, 0] = np.arange(size)
        parts[0, : whole.size] = whole
    if not quantiles:
        leaves, parts = leaves[:, :0], parts[:, :0]
    n = np.stack([np.bincount(partition.cell, w, len(members)) for w in (None, partition.aolp)]).astype(float)
    return Cells(n, members, np.ascontiguousarray(leaves), np.ascontiguousarray(parts), gathered(n, members, size))


def gathered(n: np.ndarray, members: np.ndarray, size: int) -> np.ndarray:
    """Sums over the cells of each of some sets of them: n (..., cell), members (cell, k), −1 for none → (..., set)."""
    found = np.zeros((*n.shape[:-1], size), n.dtype)
    for c, sets in enumerate(members):
        found[..., sets[sets >= 0]] += n[..., c, None]
    return found


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
    return gathered(of_cells.astype(np.int64), partition.members, len(partition.names))


def of_strata(totals: np.ndarray, cells: Cells) -> np.ndarray:
    """Histograms (stratum, quantity, bin) of the strata of the partition, of those of their parts."""
    return np.stack([totals[parts[parts >= 0]].sum(axis=0) for parts in cells.parts[:-1]])
