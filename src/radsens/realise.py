"""The one equation over a span of realisations:   gap = retrieve(measure(S; actual); believed) − S.

The image is cut in tiles of one cell each; realisations go block by block over the tiles, so that the fixed part of a
pixel is read once for a block. What a realisation gives depends on its number and on the task, not on the cutting.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from radsens.gaps import statistics
from radsens.gaps.quantities import AOLP, QUANTITIES
from radsens.gaps.statistics import BINS, LANES, STATISTICS, TOTAL_BINS
from radsens.gaps.strata import Partition
from radsens.instrument import Polarimeter
from radsens.kernel import kernel
from radsens.models import polarimeter
from radsens.models.polarimeter import IRM, REASONS, SATURATE, TABLE_ROWS, simulate
from radsens.random import address, draws
from radsens.schema import Frozen, Name, Scene
from radsens.sources._source import Direction, ErrorSource

ROW = 256  # pixels of a tile at most
PAD = 64  # tiles are padded to multiples of it
PILOTS = 8  # pixels of a cell, and again as many of those with an angle, that give a pilot value
BLOCK_BYTES = 64 << 20  # histograms of the realisations of a block
NON_FINITE, NOT_POSITIVE = len(REASONS), len(REASONS) + 1
OUTCOMES = (*REASONS, "non-finite gap", "retrieved intensity not positive")

accumulate, bin_row, count_row = statistics.accumulate, statistics.bin_row, statistics.count_row
clear, fold, merge, pilot, pool = statistics.clear, statistics.fold, statistics.merge, statistics.pilot, statistics.pool
conclude = statistics.conclude
STD, MIN = statistics.STD, statistics.MIN


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
    """Pixels of one band in tiles: the pixel table tile by tile, weights, addresses. A type that kernels take.

    tiles (tile, 4): first pixel, size, cell, whether it is the cell's last; pixels (TABLE_ROWS × pixel), flat, each tile
    a (TABLE_ROWS, size) block; weights (2 × pixel) likewise: 1 in true pixels, 1 in those with an angle.
    """

    tiles: np.ndarray
    pixels: np.ndarray
    weights: np.ndarray
    detector: np.ndarray
    sample: np.ndarray


class Cells(NamedTuple):
    """Cells of one band and the strata they belong to: n (2, cell) pixels by weight, members (cell, k), n_strata (2, stratum)."""

    n: np.ndarray
    members: np.ndarray
    n_strata: np.ndarray


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
    """Tiles of the pixels `order`: one cell each if `cut`, padded with copies of weight 0."""
    groups = np.split(order, np.flatnonzero(np.diff(cell[order])) + 1) if cut else [order]
    chosen, weight, tiles, start = [], [], [], 0
    for group in groups:
        for first in range(0, group.size, ROW):
            part = group[first : first + ROW]
            size = -(-part.size // PAD) * PAD
            chosen.append(np.concatenate([part, np.full(size - part.size, part[-1])]))
            weight.append(np.arange(size) < part.size)
            tiles.append((start, size, cell[part[0]], first + ROW >= group.size))
            start += size
    blocks = [table[:, c].astype(kind).ravel() for c in chosen]
    both = [(weights[:, c] * w).astype(kind).ravel() for c, w in zip(chosen, weight, strict=True)]
    index = np.concatenate(chosen)
    addresses = (scene.detector[index].astype(np.uint32), scene.sample[index].astype(np.uint32))
    return Image(np.array(tiles, dtype=np.int64), np.concatenate(blocks), np.concatenate(both), *addresses)


def count(partition: Partition) -> Cells:
    """Pixels of each cell and stratum, all of them and those with an angle."""
    n = np.stack([np.bincount(partition.cell, w, len(partition.members)) for w in (None, partition.aolp)]).astype(float)
    strata = np.zeros((2, len(partition.names)))
    for c, members in enumerate(partition.members):
        for s in members[members >= 0]:
            strata[:, s] += n[:, c]
    return Cells(n, partition.members, strata)


def pilots(partition: Partition) -> np.ndarray:
    """Pixels that stand for their cell, (cell × 2 PILOTS): evenly among all of its pixels, and among those with an angle."""
    chosen = []
    for c in range(len(partition.members)):
        here = np.flatnonzero(partition.cell == c)
        angle = here[partition.aolp[here]]
        for group in (here, angle if angle.size else here):
            chosen.append(group[(np.arange(PILOTS) * group.size) // PILOTS])
    return np.concatenate(chosen)


@kernel
def rows_of(image, tile):
    """Slices of a tile: pixel table (TABLE_ROWS, size), weights (2, size), detector and sample addresses (size)."""
    start, size = image.tiles[tile, 0], image.tiles[tile, 1]
    pixels = image.pixels[start * TABLE_ROWS : (start + size) * TABLE_ROWS].reshape((TABLE_ROWS, size))
    weights = image.weights[start * 2 : (start + size) * 2].reshape((2, size))
    return pixels, weights, image.detector[start : start + size], image.sample[start : start + size]


@kernel
def scratch(size, samples, quantities, like):
    """Rows that the stages work on: gaps, samples, Stokes, saturation, random fields, words."""
    gaps, x = np.zeros((quantities, size), like.dtype), np.zeros((samples, size), like.dtype)
    s, hit = np.zeros((3, size), like.dtype), np.zeros(size, like.dtype)
    return gaps, x, s, hit, np.zeros((8, size), np.float32), np.zeros((4, size), np.uint32)


@kernel
def image_pass(out, image, parameters, switch, realisation, keys, samples):
    """Gaps of all pixels of an image in one realisation: out (quantity, pixel of the image)."""
    for t in range(image.tiles.shape[0]):
        pixels, _, detector, sample = rows_of(image, t)
        start, size = image.tiles[t, 0], image.tiles[t, 1]
        gaps, x, s, hit, fields, work = scratch(size, samples, out.shape[0], image.pixels)
        simulate(gaps, x, s, hit, fields, work, pixels, detector, sample, realisation, keys, parameters, switch)
        for q in range(out.shape[0]):
            for i in range(size):
                out[q, start + i] = gaps[q, i]


@kernel
def aim(centre, scale, stratum_centre, stratum_scale, values, image, cells, parameters, switch, realisation, keys, samples):
    """Pilot centre and spread of every cell and stratum: (quantity, cell) and (quantity, stratum)."""
    image_pass(values, image, parameters, switch, realisation, keys, samples)
    for c in range(cells.n.shape[1]):
        first = 2 * PILOTS * c
        weights = np.ones((2, 2 * PILOTS))
        for i in range(2 * PILOTS):
            weights[1, i] = 1.0 if i >= PILOTS else 0.0
        pilot(centre[:, c], scale[:, c], values[:, first : first + 2 * PILOTS], weights, 0, 2 * PILOTS)
    for q in range(centre.shape[0]):
        pool(stratum_centre[q], stratum_scale[q], centre[q], scale[q], cells.n[1 if q == AOLP else 0], cells.members)


@kernel
def sweep(counts, moments, hits, image, cells, centre, stratum_centre, stratum_scale, parameters, outcome, switch, first, keys, samples):
    """Moments (realisation, quantity, cell, 4) and histograms (realisation, quantity, stratum, bin) of a block."""
    block, quantities = moments.shape[0], moments.shape[1]
    lanes = np.empty((block, quantities, 4, LANES))
    index, inside = np.empty(ROW, np.int32), np.empty((2, ROW), np.uint32)
    fresh = True
    for t in range(image.tiles.shape[0]):
        pixels, weights, detector, sample = rows_of(image, t)
        size, cell, last = image.tiles[t, 1], image.tiles[t, 2], image.tiles[t, 3]
        gaps, x, s, hit, fields, work = scratch(size, samples, quantities, image.pixels)
        for i in range(size):
            inside[0, i], inside[1, i] = np.uint32(weights[0, i]), np.uint32(weights[1, i])
        for r in range(block):
            if outcome[r]:
                continue
            simulate(gaps, x, s, hit, fields, work, pixels, detector, sample, first + r, keys, parameters[r], switch)
            if switch[SATURATE]:
                for i in range(size):
                    hits[r, cell] += hit[i] * weights[0, i]
            for q in range(quantities):
                k = 1 if q == AOLP else 0
                part = lanes[r, q]
                if fresh:
                    clear(part)
                accumulate(part[0], part[1], part[2], part[3], gaps[q], weights[k], centre[r, q, cell])
                for m in cells.members[cell]:
                    if m >= 0:
                        bin_row(index[:size], gaps[q], stratum_centre[r, q, m], np.float32(1 / stratum_scale[r, q, m]))
                        count_row(counts[r, q, m], index[:size], inside[k, :size])
                if last:
                    fold(moments[r, q, cell], part)
        fresh = last == 1


@kernel
def finish(rows, totals, counts, moments, cells, centre, stratum_centre, stratum_scale):
    """Statistics of one realisation from its cells: rows (stratum, quantity, 10); its histograms enter the totals.

    Returns the outcome: 0, or why the realisation failed.
    """
    outcome = 0
    for q in range(moments.shape[0]):
        merge(rows[:, q], moments[q], centre[q], cells.n[1 if q == AOLP else 0], cells.members)
        if cells.n_strata[1 if q == AOLP else 0, 0] > 0 and not np.isfinite(rows[0, q, STD]):
            outcome = NON_FINITE
    if outcome == 0 and not rows[0, 0, MIN] > -1.0:
        outcome = NOT_POSITIVE
    if outcome:
        counts[:] = 0
        rows[:] = np.nan
        return outcome
    for q in range(moments.shape[0]):
        for s in range(rows.shape[0]):
            n = np.int64(cells.n_strata[1 if q == AOLP else 0, s])
            if n:
                conclude(rows[s, q], totals[s, q], counts[q, s], n, stratum_centre[q, s], stratum_scale[q, s])
    return outcome


@kernel
def span_pass(rows, totals, hits, outcome, image, pilot_image, cells, parameters, switch, first, keys, samples, block):
    """Statistics of the realisations of a span, block by block.

    rows (realisation, stratum, quantity, 10), totals (stratum, quantity, bin) and hits (realisation, cell) are filled;
    outcome (realisation) holds what is known from the draws and receives what the pixels add.
    """
    n_cells, n_strata, quantities = cells.n.shape[1], rows.shape[1], rows.shape[2]
    counts = np.zeros((block, quantities, n_strata, BINS), np.uint32)
    moments = np.empty((block, quantities, n_cells, 4))
    centre, scale = np.zeros((block, quantities, n_cells)), np.ones((block, quantities, n_cells))
    stratum_centre, stratum_scale = np.zeros((block, quantities, n_strata)), np.ones((block, quantities, n_strata))
    values = np.zeros((quantities, pilot_image.detector.size), pilot_image.pixels.dtype)
    for start in range(0, rows.shape[0], block):
        stop = min(start + block, rows.shape[0])
        for r in range(stop - start):
            if not outcome[start + r]:
                aim(
                    centre[r], scale[r], stratum_centre[r], stratum_scale[r], values, pilot_image, cells,
                    parameters[start + r], switch, first + start + r, keys, samples,
                )  # fmt: skip
        sweep(
            counts, moments[: stop - start], hits[start:stop], image, cells, centre, stratum_centre, stratum_scale,
            parameters[start:stop], outcome[start:stop], switch, first + start, keys, samples,
        )  # fmt: skip
        for r in range(stop - start):
            if not outcome[start + r]:
                outcome[start + r] = finish(
                    rows[start + r], totals, counts[r], moments[r], cells, centre[r], stratum_centre[r], stratum_scale[r]
                )


def models(task: Task, instrument: Polarimeter, band: str, active: Sequence[tuple[ErrorSource, Any]], span: range) -> tuple[IRM, IRM]:
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


def realise_band(task, instrument, scene, band, partition, active, span, threads=1) -> BandGaps:
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
    name = scene.bands[band]
    actual, believed = models(task, instrument, name, active, span)
    nominal = polarimeter.nominal(instrument, name)
    parameters, outcome = polarimeter.parameters(actual, believed, len(span))
    table = polarimeter.pixel_table(nominal, scene, band, f"{instrument.name}.{name}")
    weights = np.stack([np.ones(partition.aolp.size), partition.aolp])
    order = np.lexsort((np.arange(partition.cell.size), ~partition.aolp, partition.cell))
    image = lay(order, partition.cell, table, weights, scene, task.precision, cut=True)
    pilot_image = lay(pilots(partition), partition.cell, table, weights, scene, task.precision, cut=False)
    cells, quantities = count(partition), len(quantities_of(nominal))
    shape = (len(partition.names), quantities)
    rows = np.full((len(span), *shape, len(STATISTICS)), np.nan)
    hits = np.zeros((len(span), len(partition.members)))
    switch, keys, p = polarimeter.switches(actual, believed), field_keys(task, name), parameters.astype(task.precision)
    block = int(np.clip(BLOCK_BYTES // (shape[0] * shape[1] * BINS * 4), 1, 4))

    def part(bounds: tuple[int, int]) -> np.ndarray:
        a, b = bounds
        totals = np.zeros((*shape, TOTAL_BINS), np.int64)
        samples = nominal.relative_transmission.size
        span_pass(
            rows[a:b], totals, hits[a:b], outcome[a:b], image, pilot_image, cells, p[a:b], switch, span.start + a, keys, samples, block
        )
        return totals

    cuts = np.linspace(0, len(span), min(threads, len(span)) + 1).astype(int)
    with ThreadPoolExecutor(max(threads, 1)) as pool_of_threads:
        totals = sum(pool_of_threads.map(part, zip(cuts[:-1], cuts[1:], strict=True)))
    saturated = np.zeros((len(span), shape[0]), np.int64)
    for c, members in enumerate(partition.members):
        saturated[:, members[members >= 0]] += hits[:, c, None].astype(np.int64)
    n = np.stack([cells.n_strata[1 if q == AOLP else 0] for q in range(quantities)], axis=1).astype(np.int64)
    return BandGaps(n, rows, totals, saturated, outcome, drawn(actual, believed, task, len(span)))


def drawn(actual: IRM, believed: IRM, task: Task, count: int) -> dict[str, np.ndarray]:
    """Parameters of the model that carries the error, (realisation, sample) and (realisation,)."""
    irm = believed if task.error_in == "knowledge" else actual
    samples = irm.relative_transmission.shape[-1]
    per_sample = {
        "orientation": np.degrees(irm.orientation),
        "efficiency": irm.efficiency,
        "relative_transmission": irm.relative_transmission,
    }
    found = {k: np.broadcast_to(v, (count, samples)) for k, v in per_sample.items()}
    return {**found, "non_linearity": np.broadcast_to(irm.non_linearity, (count,))}
