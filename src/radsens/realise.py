"""The one equation over a span of realisations:   gap = retrieve(measure(S; actual); believed) − S.

The image is cut in tiles of one cell each; realisations go block by block over the tiles, so that the fixed part of a
pixel is read once for a block. What a realisation gives depends on its number and on the task, not on the cutting.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from radsens.gaps.quantities import AOLP, QUANTITIES
from radsens.gaps.statistics import BINS, STATISTICS, TOTAL_BINS
from radsens.gaps.strata import Partition
from radsens.gaps.sums import FAULTS, PILOTS, Cells, aim, aim_again, discard, empty_sums, finish, judge, tally
from radsens.instrument import Polarimeter
from radsens.kernel import chain, kernel
from radsens.models import polarimeter
from radsens.models.irm import DRAWN, IRM
from radsens.models.polarimeter import REASONS, SATURATE, TABLE_ROWS, simulate
from radsens.random import address, draws
from radsens.schema import Frozen, Name, Scene
from radsens.sources._source import Direction, ErrorSource

ROW = 512  # pixels of a tile at most
PAD = 64  # tiles are padded to multiples of it
NEAR_BYTES = 16 << 20  # of the pixels, up to which they are taken to stay in the cache from one realisation to the next
BLOCK = 4  # realisations that share a reading of the pixels where they do not, at most
BLOCK_BYTES = 64 << 20  # of the histograms of a block, at most
LAST_REASON = len(REASONS) - 1
OUTCOMES = (*REASONS, *FAULTS)


class Measurement(Frozen):
    """What the nominal measurement adds to the equation, for all sources and for the reference run alike."""

    noise: bool = Field(False, description="read and shot noise of the instrument's file")
    quantisation: bool = Field(False, description="counts are rounded to integers")
    saturation: bool = Field(False, description="counts are cut at full scale")


class Task(Frozen):
    """All that the gaps of one source depend on, besides the scene."""

    instrument: Name
    seed: int = Field(ge=0, lt=2**64)
    error_in: Direction
    precision: Literal["float64", "float32"]
    measurement: Measurement
    sources: dict[Name, dict[str, Any]]


class Image(NamedTuple):
    """Pixels of one band in tiles: the pixel table tile by tile, and the addresses. A type that kernels take.

    tiles (tile, 6): first pixel, size, cell, whether it is the cell's last, number of true pixels and, these being the
    first of them, of those with an angle; pixels (TABLE_ROWS × pixel), flat, each tile a (TABLE_ROWS, size) block.
    """

    tiles: np.ndarray
    pixels: np.ndarray
    detector: np.ndarray
    sample: np.ndarray


class Desk(NamedTuple):
    """Rows that the stages work on, flat: gaps, samples, Stokes and saturation; random fields; words."""

    rows: np.ndarray
    fields: np.ndarray
    words: np.ndarray


@dataclass(frozen=True)
class BandGaps:
    """Gaps of one band over a span.

    Attributes
    ----------
    n : (stratum, quantity) pixels
    rows : (realisation, stratum, quantity, statistic), NaN where the realisation failed
    totals : (stratum, quantity, bin) histograms summed over the span
    saturated : (realisation, stratum) pixels with a saturated sample
    outcome : (realisation,) index into OUTCOMES
    drawn : parameters of the modified model, by name, (realisation, ...)
    """

    n: np.ndarray
    rows: np.ndarray
    totals: np.ndarray
    saturated: np.ndarray
    outcome: np.ndarray
    drawn: dict[str, np.ndarray]


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


def desk(samples: int, quantities: int, kind: str) -> Desk:
    """Room for the tiles of a span, for one thread."""
    rows = np.zeros((quantities + samples + 4) * ROW, kind)
    return Desk(rows, np.zeros(8 * ROW, np.float32), np.zeros(4 * ROW, np.uint32))


@kernel
def simulate_tile(image, tile, desk, quantities, samples, realisation, keys, p, switch):
    """Gaps (quantity, size) of a tile in one realisation, and 1 in pixels with a saturated sample (size)."""
    start, size, height = image.tiles[tile, 0], image.tiles[tile, 1], quantities + samples + 4
    pixels = image.pixels[start * TABLE_ROWS : (start + size) * TABLE_ROWS].reshape((TABLE_ROWS, size))
    rows, words = desk.rows[: height * size].reshape((height, size)), desk.words[: 4 * size].reshape((4, size))
    fields, hit = desk.fields[: 8 * size].reshape((8, size)), rows[height - 1]
    gaps, x, s = rows[:quantities], rows[quantities : height - 4], rows[height - 4 : height - 1]
    detector, sample = image.detector[start : start + size], image.sample[start : start + size]
    simulate(gaps, x, s, hit, fields, words, pixels, detector, sample, realisation, keys, p, switch)
    return gaps, hit


@chain
def tiles_pass(out, image, desk, parameters, switch, realisation, keys, samples):
    """Gaps of all pixels of an image in one realisation: out (quantity, pixel of the image)."""
    for t in range(image.tiles.shape[0]):
        gaps, _ = simulate_tile(image, t, desk, out.shape[0], samples, realisation, keys, parameters, switch)
        for q in range(out.shape[0]):
            for i in range(gaps.shape[1]):
                out[q, image.tiles[t, 0] + i] = gaps[q, i]


def image_pass(out, image, parameters, switch, realisation, keys, samples):
    """Gaps of all pixels of an image in one realisation: out (quantity, pixel of the image) is filled."""
    tiles_pass(out, image, desk(samples, len(out), out.dtype.name), parameters, switch, realisation, keys, samples)


@chain
def sweep(sums, hits, image, cells, desk, parameters, todo, switch, first, keys, samples):
    """Sums of the realisations of a block that are to do, and hits (realisation, cell): pixels with a saturated sample."""
    begins = True
    for t in range(image.tiles.shape[0]):
        cell, ends, n, n_angle = image.tiles[t, 2], image.tiles[t, 3], image.tiles[t, 4], image.tiles[t, 5]
        for r in range(todo.size):
            if todo[r]:
                quantities, p = sums.centre.shape[1], parameters[r]
                gaps, hit = simulate_tile(image, t, desk, quantities, samples, first + r, keys, p, switch)
                hits[r, cell] = 0.0 if begins else hits[r, cell]
                if switch[SATURATE]:
                    for i in range(n):
                        hits[r, cell] += hit[i]
                tally(sums, r, gaps, cell, cells.members[cell], n, n_angle, begins, ends)
        begins = ends == 1


@chain
def review(rows, outcome, todo, sums, cells, attempt):
    """Judge the realisations of a block that were to do, at the first attempt (0) or the second.

    todo keeps those whose sums are to be taken again. Returns whether there are any.
    """
    again = False
    for r in range(todo.size):
        if todo[r]:
            fault = judge(rows[r], sums, r, cells)
            outcome[r] = LAST_REASON + fault if fault else 0
            todo[r] = fault == 0 and attempt == 0 and aim_again(rows[r], sums, r, cells)
            again = again or todo[r]
            if fault or todo[r]:
                discard(sums, r)
    return again


@kernel
def span_pass(
    rows, totals, hits, outcome, todo, sums, desk, values, image, pilots, cells, parameters, switch, first, keys, samples
):
    """Statistics of the realisations of a span, block by block.

    rows (realisation, stratum, quantity, 10), totals (stratum, quantity, bin) and hits (realisation, cell) are filled;
    outcome (realisation) holds what is known from the draws and receives what the pixels add. todo (realisation) bool, sums,
    desk and values (quantity, pixel of pilots) are scratch.
    """
    block = sums.counts.shape[0]
    for a in range(0, todo.size, block):
        b = min(a + block, todo.size)
        for r in range(a, b):
            todo[r] = outcome[r] == 0
            if todo[r]:
                tiles_pass(values, pilots, desk, parameters[r], switch, first + r, keys, samples)
                aim(sums, r - a, values, cells)
        for attempt in range(2):
            sweep(sums, hits[a:b], image, cells, desk, parameters[a:b], todo[a:b], switch, first + a, keys, samples)
            if not review(rows[a:b], outcome[a:b], todo[a:b], sums, cells, attempt):
                break
        for r in range(a, b):
            if outcome[r]:
                rows[r, :, :] = np.nan
            else:
                finish(rows[r], totals, sums, r - a, cells)


def models(
    task: Task, instrument: Polarimeter, band: str, active: Sequence[tuple[ErrorSource, Any]], span: range
) -> tuple[IRM, IRM]:
    """Actual and believed model of one band: the nominal one, modified by the sources that act there."""
    m = task.measurement
    nominal = polarimeter.nominal(instrument, band, m.noise, m.quantisation, m.saturation)
    irm = {"instrument": nominal, "knowledge": nominal}
    for source, amplitudes in active:
        place = instrument.detector.name if source.place == "detector" else band
        z = draws(task.seed, source.name, place, span, source.draws)
        side = amplitudes.error_in or task.error_in
        irm[side] = source.modify(irm[side], amplitudes, z)
    return irm["instrument"], irm["knowledge"]


def acting(active: Sequence[tuple[ErrorSource, Any]], instrument: Polarimeter, band: str) -> list[tuple[ErrorSource, Any]]:
    """The sources that act in a band: those on polarisers need some."""
    return [(s, a) for s, a in active if instrument.band(band).polarised or not s.polarised]


def field_keys(task: Task, band: str) -> np.ndarray:
    """Keys of the two random fields of a band, (2, 4): equalisation, then noise."""
    return np.stack([address(task.seed, name, band) for name in ("hf_equalisation", "radiometric_noise")])


def quantities_of(irm: IRM) -> tuple[str, ...]:
    """What a band reports: the intensity alone where it has no polarisers."""
    return QUANTITIES if irm.polarised else QUANTITIES[:1]


class Setting(NamedTuple):
    """What a band is computed with over a span: its models, pixel table, parameters, outcomes so far, switches, keys."""

    nominal: IRM
    actual: IRM
    believed: IRM
    table: np.ndarray
    parameters: np.ndarray
    outcome: np.ndarray
    switch: np.ndarray
    keys: np.ndarray


def prepared(
    task: Task, instrument: Polarimeter, scene: Scene, band: int, active: Sequence[tuple[ErrorSource, Any]], span: range
) -> Setting:
    """Models, tables and addresses of one band over a span."""
    name = scene.bands[band]
    actual, believed = models(task, instrument, name, active, span)
    nominal = polarimeter.nominal(instrument, name)
    parameters, outcome = polarimeter.parameters(actual, believed, len(span))
    table = polarimeter.pixel_table(nominal, scene, band, f"{instrument.name}.{name}")
    switch, keys = polarimeter.switches(actual, believed), field_keys(task, name)
    return Setting(nominal, actual, believed, table, parameters.astype(task.precision), outcome, switch, keys)


def laid(setting: Setting, partition: Partition, scene: Scene, precision: str) -> tuple[Image, Image]:
    """Tiles of all pixels, cell by cell, and of those that stand for their cell."""
    weights = np.stack([np.ones(partition.aolp.size), partition.aolp])
    order = np.lexsort((np.arange(partition.cell.size), ~partition.aolp, partition.cell))
    given = partition.cell, setting.table, weights, scene, precision
    return lay(order, *given, cut=True), lay(pilots(partition), *given, cut=False)


def in_strata(of_cells: np.ndarray, partition: Partition) -> np.ndarray:
    """Counts of pixels of each stratum from those of its cells, (realisation, cell) → (realisation, stratum)."""
    found = np.zeros((len(of_cells), len(partition.names)), np.int64)
    for c, members in enumerate(partition.members):
        found[:, members[members >= 0]] += of_cells[:, c, None].astype(np.int64)
    return found


def realise_band(
    task: Task,
    instrument: Polarimeter,
    scene: Scene,
    band: int,
    partition: Partition,
    active: Sequence[tuple[ErrorSource, Any]],
    span: range,
    threads: int = 1,
) -> BandGaps:
    """Gaps of one band over a span of realisations.

    Parameters
    ----------
    task : Task
    instrument : Polarimeter
    scene : Scene
    band : index of the band in the scene
    partition : Partition of that band
    active : the sources that act, with their amplitudes
    span : range of consecutive realisations
    threads : number of threads; changes nothing but the time

    Returns
    -------
    BandGaps
    """
    setting = prepared(task, instrument, scene, band, active, span)
    image, pilot_image = laid(setting, partition, scene, task.precision)
    cells, quantities = count(partition), len(quantities_of(setting.nominal))
    shape = (len(partition.names), quantities)
    rows, outcome = np.full((len(span), *shape, len(STATISTICS)), np.nan), setting.outcome
    hits = np.zeros((len(span), len(partition.members)))
    most = 1 if image.pixels.nbytes <= NEAR_BYTES else BLOCK
    block = int(np.clip(BLOCK_BYTES // (shape[0] * shape[1] * BINS * 4), 1, most))
    samples = setting.nominal.relative_transmission.size

    def part(bounds: tuple[int, int]) -> np.ndarray:
        a, b = bounds
        totals, values = np.zeros((*shape, TOTAL_BINS), np.int64), np.zeros((quantities, pilot_image.detector.size))
        sums, block_desk = empty_sums(cells, block, quantities, ROW), desk(samples, quantities, task.precision)
        scratch = np.zeros(b - a, bool), sums, block_desk, values
        given = image, pilot_image, cells, setting.parameters[a:b], setting.switch, span.start + a, setting.keys, samples
        span_pass(rows[a:b], totals, hits[a:b], outcome[a:b], *scratch, *given)
        return totals

    cuts = np.linspace(0, len(span), min(threads, len(span)) + 1).astype(int)
    with ThreadPoolExecutor(max(threads, 1)) as pool_of_threads:
        totals: Any = sum(pool_of_threads.map(part, pairwise(cuts)))
    saturated = in_strata(hits, partition)
    n = np.stack([cells.n_strata[1 if q == AOLP else 0] for q in range(quantities)], axis=1).astype(np.int64)
    return BandGaps(n, rows, totals, saturated, outcome, drawn(setting, len(span)))


def gap_image(
    task: Task, instrument: Polarimeter, scene: Scene, band: int, active: Sequence[tuple[ErrorSource, Any]], realisation: int
) -> np.ndarray:
    """Gaps of all pixels of one band in one realisation: (quantity, pixel), with the draws and kernels of `realise_band`."""
    setting = prepared(task, instrument, scene, band, active, range(realisation, realisation + 1))
    pixels, samples = scene.theta.size, setting.nominal.relative_transmission.size
    everywhere = np.arange(pixels), np.zeros(pixels, np.int64), setting.table, np.ones((2, pixels))
    image = lay(*everywhere, scene, task.precision, cut=False)
    out = np.zeros((len(quantities_of(setting.nominal)), image.detector.size), task.precision)
    image_pass(out, image, setting.parameters[0], setting.switch, realisation, setting.keys, samples)
    return out[:, :pixels].astype(float)


def drawn(setting: Setting, count: int) -> dict[str, np.ndarray]:
    """Parameters of the models as drawn, each from the model that it is wrong in, or nominal: (realisation, ...).

    Those of `irm.DRAWN`, in its units, (realisation, sample) or (realisation,).
    """
    found = {}
    for name, (unit, per_sample) in DRAWN.items():
        of = [np.asarray(getattr(irm, name)) for irm in (setting.nominal, setting.believed, setting.actual)]
        value = of[1] if of[1].shape != of[0].shape or (of[1] != of[0]).any() else of[2]
        shape = (count, setting.nominal.relative_transmission.size) if per_sample else (count,)
        found[name] = np.broadcast_to(np.degrees(value) if unit == "degree" else value, shape)
    return found
