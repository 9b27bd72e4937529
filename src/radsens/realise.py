"""The one equation over a span of realisations:   gap = retrieve(measure(S; actual); believed) − S.

The image is cut in tiles of one cell each; realisations go block by block over the tiles, so that the fixed part of a
pixel is read once for a block. What a realisation gives depends on its number and on the task, not on the cutting.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from radsens.gaps.quantities import AOLP, QUANTITIES
from radsens.gaps.statistics import BINS, STATISTICS, TOTAL_BINS
from radsens.gaps.strata import Partition
from radsens.gaps.sums import FAULTS, aim, aim_again, begin, count_group, discard, empty_sums, end, finish, judge, tally
from radsens.instrument import Polarimeter
from radsens.kernel import chain, kernel
from radsens.models import polarimeter
from radsens.models.irm import IRM, drawn
from radsens.models.pixels import LINEAR_ROWS, TABLE_ROWS
from radsens.models.polarimeter import LINEAR, REASONS, SATURATE, simulate
from radsens.random import address
from radsens.schema import Frozen, Name, Scene
from radsens.sources._source import Direction, ErrorSource, Sampling, normals
from radsens.tiles import GROUP, ROW, count, in_strata, laid, of_strata

PIECE = 8192  # pixels whose table, in float64, is made at a time
# Realisations that share a reading of the pixels, at most: one where caches hold those, and would hold fewer histograms.
BLOCKS = 1, 4
CACHED = 16 << 20  # bytes of the pixels that caches hold
BLOCK_BYTES = 64 << 20  # of the histograms of a block, at most
LAST_REASON = len(REASONS) - 1
OUTCOMES = (*REASONS, *FAULTS)
Active = Sequence[tuple[ErrorSource, Any]]  # the sources that act, with their amplitudes


class Measurement(Frozen):
    """What the nominal measurement adds to the equation, for all sources and for the reference run alike."""

    noise: bool = Field(False, description="read and shot noise of the instrument's file")
    quantisation: bool = Field(False, description="counts are rounded to integers")
    saturation: bool = Field(False, description="counts are cut at full scale")


class Task(Frozen):
    """All that the gaps of one source depend on, besides the scene."""

    instrument: Name
    seed: int = Field(ge=0, lt=2**64)
    sampling: Sampling = "random"
    error_in: Direction
    precision: Literal["float64", "float32"]
    quantiles: bool = True
    measurement: Measurement
    sources: dict[Name, dict[str, Any]]


class Desk(NamedTuple):
    """Rows that the stages work on, flat: gaps, samples, expected signal, saturation and sum of fields; fields; words."""

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


@dataclass(frozen=True)
class Batch:
    """What some consecutive realisations of a span give in one band.

    Attributes
    ----------
    first : the first of them, counted from the first of the span
    rows, totals, saturated, outcome : as of `BandGaps`, of these realisations
    """

    first: int
    rows: np.ndarray
    totals: np.ndarray
    saturated: np.ndarray
    outcome: np.ndarray

    @property
    def stop(self) -> int:
        """The first realisation after them."""
        return self.first + len(self.rows)


def desk(samples: int, quantities: int, kind: str) -> Desk:
    """Room for the tiles of a span, for one thread."""
    rows = np.zeros((quantities + samples + 3) * ROW, kind)
    return Desk(rows, np.zeros(6 * ROW, np.float32), np.zeros(4 * ROW, np.uint32))


@kernel
def simulate_tile(image, tile, desk, quantities, samples, realisation, keys, p, switch):
    """Gaps (quantity, size) of a tile in one realisation, and 1 in pixels with a saturated sample (size)."""
    start, size, height = image.tiles[tile, 0], image.tiles[tile, 1], quantities + samples + 3
    pixels = image.pixels[start * image.rows : (start + size) * image.rows].reshape((image.rows, size))
    rows, words = desk.rows[: height * size].reshape((height, size)), desk.words[: 4 * size].reshape((4, size))
    gaps, d = rows[:quantities], rows[quantities : height - 3]
    x, hit, common = rows[height - 3], rows[height - 2], rows[height - 1]
    fields = desk.fields[: 6 * size].reshape((6, size))
    detector, sample = image.detector[start : start + size], image.sample[start : start + size]
    simulate(gaps, d, x, hit, fields, common, words, pixels, detector, sample, realisation, keys, p, switch)
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
    for g in range(image.groups.shape[0]):
        start, stop, cell = image.groups[g, 0], image.groups[g, 1], image.groups[g, 2]
        begins, ends, leaves = image.groups[g, 3] == 1, image.groups[g, 4] == 1, cells.leaves[cell]
        for r in range(todo.size):
            if todo[r]:
                if begins:
                    begin(sums, r)
                    hits[r, cell] = 0.0
                done, done_angle = 0, 0
                for t in range(start, stop):
                    n, n_angle = image.tiles[t, 2], image.tiles[t, 3]
                    quantities, p = sums.lanes.shape[1], parameters[r]
                    gaps, hit = simulate_tile(image, t, desk, quantities, samples, first + r, keys, p, switch)
                    tally(sums, r, gaps, cell, leaves, n, n_angle, done, done_angle)
                    done, done_angle = done + n, done_angle + n_angle
                    if switch[SATURATE]:
                        for i in range(n):
                            hits[r, cell] += hit[i]
                count_group(sums, r, leaves, done, done_angle)
                if ends:
                    end(sums, r, cell)


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
        for q in range(values.shape[0]):
            for r in range(a, b):
                if outcome[r]:
                    rows[r, :, q] = np.nan
                else:
                    finish(rows[r, :, q], totals[:, q], sums, r - a, q, cells)


def models(task: Task, instrument: Polarimeter, band: str, active: Active, span: range) -> tuple[IRM, IRM]:
    """Actual and believed model of one band: the nominal one, modified by the sources that act there."""
    m = task.measurement
    nominal = polarimeter.nominal(instrument, band, m.noise, m.quantisation, m.saturation)
    irm = {"instrument": nominal, "knowledge": nominal}
    for source, amplitudes in active:
        place = instrument.detector(band).name if source.place == "detector" else band
        z = normals(source, task.sampling, task.seed, place, span)
        side = amplitudes.error_in or task.error_in
        irm[side] = source.modify(irm[side], amplitudes, z)
    return irm["instrument"], irm["knowledge"]


def acting(active: Active, instrument: Polarimeter, band: str) -> list[tuple[ErrorSource, Any]]:
    """The sources that act in a band: those on polarisers need some."""
    return [(s, a) for s, a in active if instrument.band(band).polarised or not s.polarised]


def field_keys(task: Task, band: str) -> np.ndarray:
    """Keys of the two random fields of a band, (2, 4): equalisation, then noise."""
    return np.stack([address(task.seed, name, band) for name in ("hf_equalisation", "radiometric_noise")])


def quantities_of(irm: IRM) -> tuple[str, ...]:
    """What a band reports: the intensity alone where it has no polarisers."""
    return QUANTITIES if irm.polarised else QUANTITIES[:1]


class Setting(NamedTuple):
    """What a band is computed with over a span: its models, parameters, outcomes known from the draws, switches, keys."""

    nominal: IRM
    actual: IRM
    believed: IRM
    parameters: np.ndarray
    outcome: np.ndarray
    switch: np.ndarray
    keys: np.ndarray


class Stage(NamedTuple):
    """One band of a task over a span, before its pixels are laid out.

    For that `pieces` gives those of the scene in their order, so many at a time: the scene itself need no longer hold them.
    """

    task: Task
    instrument: Polarimeter
    scene: Scene
    partition: Partition
    span: range
    setting: Setting
    pieces: Callable[[int], Iterable[Scene]]

    @property
    def shape(self) -> tuple[int, int]:
        """Strata and quantities."""
        return len(self.partition.names), len(quantities_of(self.setting.nominal))


def prepared(task: Task, instrument: Polarimeter, band: str, active: Active, span: range) -> Setting:
    """Models, parameters and addresses of one band over a span."""
    actual, believed = models(task, instrument, band, active, span)
    nominal = polarimeter.nominal(instrument, band)
    parameters, outcome = polarimeter.parameters(actual, believed, len(span))
    switch, keys = polarimeter.switches(actual, believed), field_keys(task, band)
    return Setting(nominal, actual, believed, parameters.astype(task.precision), outcome, switch, keys)


def pixels_of(nominal: IRM, instrument: Polarimeter, scene: Scene) -> np.ndarray:
    """The pixel table of one band."""
    return polarimeter.pixel_table(nominal, scene, f"{instrument.name}.{scene.band}")


def rows_of(switch: np.ndarray) -> int:
    """How many rows of the pixel table the stages that are on read."""
    return LINEAR_ROWS if switch[LINEAR] else TABLE_ROWS


def staged(task: Task, instrument: Polarimeter, scene: Scene, partition: Partition, active: Active, span: range) -> Stage:
    """One band of a task over a span; the arguments are those of `realise_band`."""
    return Stage(task, instrument, scene, partition, span, prepared(task, instrument, scene.band, active, span), scene.pieces)


def worker(stage: Stage, threads: int = 1) -> tuple[Callable[[int, int], Batch], int]:
    """Lay the pixels of a band out, once for all of its batches.

    Returns what computes the batch of the realisations a ≤ r < b of the span, and of how many a long batch should be a
    multiple, so that each reading of the pixels serves as many as it can.
    """
    task, setting, span, shape = stage.task, stage.setting, stage.span, stage.shape
    table_of = partial(pixels_of, setting.nominal, stage.instrument)
    image, pilot_image = laid(stage.pieces(PIECE), table_of, stage.partition, rows_of(setting.switch), task.precision)
    cells, samples = count(stage.partition, task.quantiles), setting.nominal.relative_transmission.size
    counted = cells.n_strata.shape[1], shape[1]
    few, many = BLOCKS
    most = many if image.pixels.nbytes > CACHED or not task.quantiles else few
    block = int(np.clip(BLOCK_BYTES // (counted[0] * counted[1] * BINS * 4), 1, most))

    def room() -> Any:
        values = np.zeros((shape[1], pilot_image.detector.size))
        return empty_sums(cells, block, shape[1], GROUP * ROW, task.precision), desk(samples, shape[1], task.precision), values

    rooms = [room() for _ in range(min(threads, len(span)))]

    def compute(first: int, stop: int) -> Batch:
        size, known = stop - first, setting.parameters[first:stop]
        rows, hits = np.full((size, *counted, len(STATISTICS)), np.nan), np.zeros((size, len(stage.partition.members)))
        outcome = setting.outcome[first:stop].copy()

        def part(bounds: tuple[int, int], scratch: Any) -> np.ndarray:
            a, b = bounds
            totals, todo = np.zeros((*counted, TOTAL_BINS), np.int64), np.zeros(b - a, bool)
            given = image, pilot_image, cells, known[a:b], setting.switch, span.start + first + a, setting.keys, samples
            span_pass(rows[a:b], totals, hits[a:b], outcome[a:b], todo, *scratch, *given)
            return totals

        cuts = np.linspace(0, size, min(threads, size) + 1).astype(int)
        with ThreadPoolExecutor(max(threads, 1)) as pool_of_threads:
            totals, *others = pool_of_threads.map(part, pairwise(cuts), rooms)
        for one in others:
            totals += one
        return Batch(first, rows[:, :-1], of_strata(totals, cells), in_strata(hits, stage.partition), outcome)

    return compute, block * len(rooms)


def ended(stage: Stage, batches: Iterable[Batch]) -> BandGaps:
    """Gaps of one band from its batches, which cover the span in any cut: rows are put in their places, integers added."""
    shape, cells, size = stage.shape, count(stage.partition), len(stage.span)
    n = np.stack([cells.n_strata[1 if q == AOLP else 0, :-1] for q in range(shape[1])], axis=1).astype(np.int64)
    rows, totals = np.full((size, *shape, len(STATISTICS)), np.nan), np.zeros((*shape, TOTAL_BINS), np.int64)
    saturated, outcome = np.zeros((size, shape[0]), np.int64), stage.setting.outcome.copy()
    for batch in batches:
        here = slice(batch.first, batch.stop)
        rows[here], saturated[here], outcome[here] = batch.rows, batch.saturated, batch.outcome
        totals += batch.totals
    return BandGaps(n, rows, totals, saturated, outcome, drawn(*stage.setting[:3], size))


def realise_band(
    task: Task,
    instrument: Polarimeter,
    scene: Scene,
    partition: Partition,
    active: Active,
    span: range,
    threads: int = 1,
) -> BandGaps:
    """Gaps of one band over a span of realisations, in one batch.

    Parameters
    ----------
    task : Task
    instrument : Polarimeter
    scene : Scene
    partition : Partition of the scene
    active : the sources that act, with their amplitudes
    span : range of consecutive realisations
    threads : number of threads; changes nothing but the time
    """
    stage = staged(task, instrument, scene, partition, active, span)
    compute, _ = worker(stage, threads)
    return ended(stage, [compute(0, len(span))])


def gap_image(task: Task, instrument: Polarimeter, scene: Scene, active: Active, realisation: int) -> np.ndarray:
    """Gaps of all pixels of one band in one realisation: (quantity, pixel), with the draws and kernels of `realise_band`."""
    setting = prepared(task, instrument, scene.band, active, range(realisation, realisation + 1))
    pixels, samples = scene.theta.size, setting.nominal.relative_transmission.size
    whole = Partition((), np.zeros(pixels, np.int16), np.zeros((1, 0), np.int64), np.ones(pixels, bool))
    table_of = partial(pixels_of, setting.nominal, instrument)
    image, _ = laid(scene.pieces(PIECE), table_of, whole, rows_of(setting.switch), task.precision)
    out = np.zeros((len(quantities_of(setting.nominal)), image.detector.size), task.precision)
    image_pass(out, image, setting.parameters[0], setting.switch, realisation, setting.keys, samples)
    return out[:, :pixels].astype(float)
