"""The pixels of a band in tiles of one cell each, and how many there are of each cell and stratum."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from radsens.gaps.strata import BLOCK, Partition
from radsens.gaps.sums import PILOTS, Cells
from radsens.schema import Scene

ROW = 512  # pixels of a tile at most
PAD = 64  # tiles are padded to multiples of it
GROUP = 8  # tiles of a cell whose pixels are counted together: a histogram that was left is slow to come back to

Table = Callable[[Scene], np.ndarray]  # pixels → their table, (TABLE_ROWS, pixel)


class Image(NamedTuple):
    """Pixels of one band in tiles: the pixel table tile by tile, and the addresses. A type that kernels take.

    groups (group, 5): first tile and the one after the last of some of one cell, that cell, whether they are its first, or
    last; tiles (tile, 4): first pixel, size, number of true pixels and, these being the first of them, of those with an angle;
    rows of the pixel table that there are, its first ones; pixels (rows × pixel), flat, each tile a (rows, size) block.
    """

    groups: np.ndarray
    tiles: np.ndarray
    rows: int
    pixels: np.ndarray
    detector: np.ndarray
    sample: np.ndarray


def room(n: np.ndarray, rows: int, kind: str) -> Image:
    """Tiles of one cell each for n (2, cell) pixels, of which the first have an angle, with nothing in them yet."""
    start = 0
    tiles: list[tuple[int, ...]] = []
    groups: list[tuple[int, ...]] = []
    for cell, (pixels, angle) in enumerate(n.T.astype(int).tolist()):
        begin = len(tiles)
        for first in range(0, pixels, ROW):
            true = min(ROW, pixels - first)
            size = -(-true // PAD) * PAD
            tiles.append((start, size, true, min(max(angle - first, 0), true)))
            start += size
        cuts = pairwise([*range(begin, len(tiles), GROUP), len(tiles)])
        groups += [(a, b, cell, a == begin, b == len(tiles)) for a, b in cuts]
    words = np.zeros(start, np.uint32), np.zeros(start, np.uint32)
    return Image(np.array(groups, np.int64), np.array(tiles, np.int64), rows, np.zeros(start * rows, kind), *words)


def put(image: Image, slots: np.ndarray, table: np.ndarray, detector: np.ndarray, sample: np.ndarray) -> None:
    """Put pixels into their slots, numbered through all tiles: rows of the pixel table (TABLE_ROWS, slot), and addresses."""
    tile = np.searchsorted(image.tiles[:, 0], slots, side="right") - 1
    start, size = image.tiles[tile, 0], image.tiles[tile, 1]
    place = start * image.rows + (slots - start)
    for row in table[: image.rows]:
        image.pixels[place] = row
        place += size
    image.detector[slots], image.sample[slots] = detector, sample


def pad(image: Image) -> None:
    """Fill up each tile with copies of its last pixel."""
    for start, size, true, _ in image.tiles[image.tiles[:, 2] < image.tiles[:, 1]]:
        rows = image.pixels[start * image.rows : (start + size) * image.rows].reshape(image.rows, size)
        rows[:, true:] = rows[:, true - 1 : true]
        for words in (image.detector, image.sample):
            words[start + true : start + size] = words[start + true - 1]


def ranked(key: np.ndarray, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slots of some pixels, those of a class one after the other, from the first that is not taken (class); and this then."""
    n = np.bincount(key, minlength=taken.size)
    slots, order = np.empty(key.size, np.int64), np.argsort(key, kind="stable")
    slots[order] = np.arange(key.size) - np.repeat(np.cumsum(n) - n, n)
    return slots + taken[key], taken + n


def laid(pieces: Iterable[Scene], table_of: Table, partition: Partition, rows: int, kind: str) -> tuple[Image, Image]:
    """Tiles of all pixels, cell by cell, and of those that stand for their cell, with the first rows of their table.

    Of the scene, its pixels in their order, and of its table there is one piece at a time: together they would take many times
    the room of the tiles. Pixels of a cell keep their order, those with an angle come first.
    """
    chosen, n = pilots(partition), of_cells(partition)
    image, standing = room(n, rows, kind), room(np.full((2, 1), chosen.size), rows, kind)
    begins = image.tiles[image.groups[image.groups[:, 3] == 1, 0], 0]  # no cell is empty
    taken, first = np.stack([begins, begins + n[1]], axis=1).ravel(), 0
    for piece in pieces:
        here = slice(first, first + piece.theta.size)
        table = table_of(piece)
        slots, taken = ranked(2 * partition.cell[here].astype(np.int64) + ~partition.aolp[here], taken)
        put(image, slots, table, piece.detector, piece.sample)
        mine = np.flatnonzero((here.start <= chosen) & (chosen < here.stop))
        which = chosen[mine] - first
        put(standing, mine, table[:, which], piece.detector[which], piece.sample[which])
        first = here.stop
    pad(image)
    pad(standing)
    return image, standing


def of_cells(partition: Partition) -> np.ndarray:
    """Pixels of each cell, and those of them with an angle: (2, cell)."""
    found = np.zeros((2, len(partition.members)), np.int64)
    for first in range(0, partition.cell.size, BLOCK):
        cell, angle = (field[first : first + BLOCK] for field in (partition.cell, partition.aolp))
        found += [np.bincount(c, minlength=found.shape[1]) for c in (cell, cell[angle])]
    return found


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
    n = of_cells(partition).astype(float)
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
