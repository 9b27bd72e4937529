"""A chunk: the gaps of one source over one span of realisations, as a file.

Rows are (realisation, band, stratum, quantity). An unpolarised band reports `I` alone, and a source on polarisers
nothing there: those rows have n = 0 and no value.
"""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np

from radsens import expectation, gram, io, provenance, work
from radsens import instrument as instruments
from radsens.gaps.quantities import MEANING, QUANTITIES, UNITS
from radsens.gaps.statistics import STATISTICS, TOTAL_BINS
from radsens.gaps.strata import Strata, partition, refuse_empty
from radsens.instrument import Polarimeter
from radsens.models.irm import DRAWN
from radsens.realise import OUTCOMES, Active, BandGaps, Batch, Stage, Task, acting, ended, staged, worker
from radsens.scenes import SceneSpec, files, render
from radsens.schema import Fault, Frozen, Name, Scene, validated
from radsens.sobol import REPLICATES
from radsens.sources import SOURCES

ROW = ("realisation", "band", "stratum", "quantity")
POLARISERS = ("-60", "0", "+60")
SPAN = re.compile(r"(\d{6,})-(\d{6,})")


class SceneTask(Frozen):
    """All that a scene file is made of."""

    instrument: Name
    bands: tuple[Name, ...]
    scene: SceneSpec
    strata: Strata


def span_name(span: range) -> str:
    """Name of a span in a path: its first and last realisation, inclusive, six digits."""
    return f"{span.start:06d}-{span.stop - 1:06d}"


def span_of(name: str) -> range:
    """Span of a name."""
    match = SPAN.fullmatch(name)
    if not match or int(match[1]) > int(match[2]):
        raise Fault(f"span: must be FIRST-LAST with six digits each, inclusive, as 000000-000049; got {name!r}")
    return range(int(match[1]), int(match[2]) + 1)


def drawn_parameters(gaps: list[BandGaps | None], count: int) -> dict[str, io.Variable]:
    """Parameters of the modified model, NaN where a band has none."""
    found = {}
    for name, (unit, per_sample) in DRAWN.items():
        axes = ("realisation", "band", "polariser") if per_sample else ("realisation", "band")
        shape = (count, len(gaps), len(POLARISERS)) if per_sample else (count, len(gaps))
        values = np.full(shape, np.nan)
        for b, gap in enumerate(gaps):
            if gap is not None and gap.drawn[name].shape[1:] == shape[2:]:
                values[:, b] = gap.drawn[name]
        meaning = f"{name.replace('_', ' ')} of the model with the error"
        found[name] = io.Variable(axes, values, {"units": unit, "long_name": meaning})
    return found


def _labels(bands: tuple[str, ...], strata: tuple[str, ...]) -> dict[str, io.Variable]:
    def text(axis: str, values: Iterable[str], meaning: str) -> io.Variable:
        return io.Variable((axis,), np.array(list(values), dtype=object), {"long_name": meaning})

    return {
        "band": text("band", bands, "spectral band"),
        "stratum": text("stratum", strata, "part of the image"),
        "quantity": text("quantity", QUANTITIES, "; ".join(f"{q}: {MEANING[q]} [{UNITS[q]}]" for q in QUANTITIES)),
        "polariser": text("polariser", POLARISERS, "nominal orientation of the polariser [deg]"),
        "outcome_name": text("outcome_index", OUTCOMES, "what became of a realisation"),
    }


def write_scene(settings: dict[str, Any], output: Path, key: str | None = None, processes: int = 1) -> None:
    """Render the scene of a campaign's settings (instrument, bands, scene, strata) to a file.

    Tables of radiative transfer that are missing are made in at most `processes` processes.

    Raises
    ------
    Fault : a scene or strata that cannot be, a marginal stratum without pixels, or another key than the one asked for
    """
    asked = validated(SceneTask, settings)
    instrument, bands, spec, strata = instruments.load(asked.instrument), asked.bands, asked.scene, asked.strata
    found = provenance.scene_key(spec.model_dump(mode="json"), strata.model_dump(mode="json"), instrument, bands)
    if key not in (None, found):
        raise Fault(f"key: {key} was planned, but the code and the settings here give {found}; plan the workflow again")
    about = {"key": found, "instrument": instrument.name, "scene": spec.model_dump_json(), "strata": strata.model_dump_json()}
    files.write(output, _parted(strata, render(spec, instrument, bands, processes)), {**provenance.attributes(), **about})


def _parted(strata: Strata, scenes: Iterable[Scene]) -> Iterator[Scene]:
    """The same scenes, refused if they cannot be parted."""

    def parted(scene: Scene) -> Scene:
        partition(strata, scene)
        return scene

    return map(parted, refuse_empty(strata, scenes))


class Told(NamedTuple):
    """What the Gram tier says of the realisations of a band and how it knows, and what it expects of the law of their draws."""

    moments: tuple[gram.Moments, list[int]]
    law: expectation.Expectation


class Job(NamedTuple):
    """A task made ready: its key, its scene's file and what that says, the sources that act in each band (None: left out)."""

    task: Task
    key: str
    instrument: Polarimeter
    scene: Path
    about: dict[str, Any]
    acting: dict[str, Active | None]


def ready(task: Task, scene_path: str | Path, key: str | None = None) -> Job:
    """Read what a task needs, and refuse another key than the one asked for."""
    instrument = instruments.load(task.instrument)
    bands, about = files.about(scene_path)
    found = provenance.task_key(task, about["key"], instrument, bands)
    if key not in (None, found):
        raise Fault(
            f"key: {key} was planned, but the code, the instrument and the scene here give {found}; plan the workflow again"
        )
    active = active_of(task)
    here = {band: acting(active, instrument, band) for band in bands}
    return Job(
        task, found, instrument, Path(scene_path), about, {b: one if one or not active else None for b, one in here.items()}
    )


def compute(task: Task, scene_path: str | Path, span: range, threads: int = 1, key: str | None = None) -> io.File:
    """Gaps of a task over a span of realisations, without a work file.

    Parameters
    ----------
    task : what is computed
    scene_path : file of the scene
    span : consecutive realisations
    threads : number of threads; changes nothing but the time
    key : what the workflow expects; refused if the code, the instrument or the scene here give another

    Raises
    ------
    Fault : an unreadable scene, or another key than the one asked for
    """
    return _computed(ready(task, scene_path, key), span, threads, None)


def write_chunk(
    task: Task, scene_path: str | Path, span: range, output: Path, threads: int = 1, key: str | None = None
) -> io.File:
    """Compute a chunk and write it; what a killed process kept in the work file beside it is not computed again.

    Raises
    ------
    Fault : as `compute`; or another process computes the same chunk, or nothing can be written there
    """
    job = ready(task, scene_path, key)
    bands = [b for b, here in enumerate(job.acting.values()) if here is not None]
    bits = f"{job.key} {job.about[io.DIGEST]}"  # what was kept on other bits of the scene is of no use
    with work.opened(work.beside(output), bits, span, bands) as book:
        made = _computed(job, span, threads, book)
        io.write(output, made)
        book.remove()
    return made


def _computed(job: Job, span: range, threads: int, book: work.Work | None) -> io.File:
    """Gaps of all bands, with what they took: seconds of this process, and realisations, each counted in every band."""
    began, cpu = perf_counter(), process_time()
    strata = Strata.model_validate_json(job.about["strata"])
    bands = tuple(job.acting)
    found = [_of_band(job, strata, number, span, threads, book) for number in range(len(bands))]
    gaps, told, law = ([one and one[0] for one in found], [one and one[1] for one in found], [one and one[2] for one in found])
    resumed = book.resumed if book else 0
    took = {
        "seconds": perf_counter() - began,
        "cpu_seconds": process_time() - cpu,
        "resumed_realisations": resumed,
        "computed_realisations": len(span) * sum(gap is not None for gap in gaps) - resumed,
    }
    names = partition(strata, files.read(job.scene, bands[0], geometry=False)).names  # the same in all bands
    variables = _variables(gaps, span, bands, names) | _predicted(told, len(span), len(names)) | _expected(law, len(names))
    return io.File(variables, {**_about(job.task, span, job.key, job.about), **took})


def _of_band(
    job: Job, strata: Strata, number: int, span: range, threads: int, book: work.Work | None
) -> tuple[BandGaps, tuple[gram.Moments, list[int]], expectation.Expectation] | None:
    """Gaps of the band of this number, whose pixels are in memory as long as this lasts, what the Gram tier says of them and
    what it expects; None if it is left out."""
    band, here = list(job.acting.items())[number]
    if here is None:
        return None
    stage, told = _told(job, strata, band, here, span)
    return ended(stage, _batches(stage, number, threads, book)), *told


def _told(job: Job, strata: Strata, band: str, here: Active, span: range) -> tuple[Stage, Told]:
    """A band made ready, and what the Gram tier says of it, which alone needs the whole scene in memory: then it is let go."""
    scene = files.read(job.scene, band, geometry=False)
    stage = staged(job.task, job.instrument, scene, partition(strata, scene), here, span)
    means = gram.of_scene(stage)
    told = Told(gram.told(stage, means), expectation.expected(stage, means, here))
    left = scene.part(np.arange(0))
    return stage._replace(scene=left, pieces=partial(files.pieces, job.scene, left)), told


def _batches(stage: Stage, number: int, threads: int, book: work.Work | None) -> Iterator[Batch]:
    """Batches of a band: those of the work file, then the others, each kept before the next; without one, all in one."""
    done, size = 0, len(stage.span)
    for batch in book.kept(number) if book else ():
        done = batch.stop
        yield batch
    if done == size:
        return
    compute, grain = worker(stage, threads)
    while done < size:
        began = perf_counter()
        batch = compute(done, done + (book.size(threads, grain, size - done) if book else size))
        if book:
            book.keep(number, batch, perf_counter() - began)
        done = batch.stop
        yield batch


def active_of(task: Task) -> Active:
    """The error sources of a task, with their amplitudes."""
    if unknown := [name for name in task.sources if name not in SOURCES]:
        raise Fault(f"sources.{unknown[0]}: there is no such source; those known are {', '.join(SOURCES)}")
    return [(SOURCES[n], validated(SOURCES[n].Amplitudes, a, "sources", n)) for n, a in task.sources.items()]


def _about(task: Task, span: range, key: str, scene: dict[str, Any]) -> dict[str, Any]:
    return {
        **provenance.attributes(),
        "key": key,
        "scene_key": scene["key"],
        "scene_sha256": scene[io.DIGEST],
        "task": task.model_dump_json(),
        "realisation_first": span.start,
        "realisation_count": len(span),
    }


def _variables(
    gaps: list[BandGaps | None], span: range, bands: tuple[str, ...], strata: tuple[str, ...]
) -> dict[str, io.Variable]:
    """The variables of a chunk; what a band does not report has n = 0 and NaN."""
    shape = (len(span), len(gaps), len(strata), len(QUANTITIES))
    rows, n = np.full((*shape, len(STATISTICS)), np.nan), np.zeros(shape, np.int64)
    totals = np.zeros((*shape[1:], TOTAL_BINS), np.int64)
    outcome, saturated = np.zeros(shape[:2], np.int8), np.zeros(shape[:3], np.int64)
    for b, gap in enumerate(gaps):
        if gap is not None:
            q = gap.rows.shape[2]
            rows[:, b, :, :q], n[:, b, :, :q], totals[b, :, :q] = gap.rows, gap.n, gap.totals
            outcome[:, b], saturated[:, b] = gap.outcome, gap.saturated
    found = _labels(bands, strata)
    found["realisation"] = io.Variable(("realisation",), np.array(span, np.int64), {"standard_name": "realization"})
    found["n"] = io.Variable(ROW, n, {"units": "1", "long_name": "pixels"})
    for k, name in enumerate(STATISTICS):
        found[name] = io.Variable(ROW, np.ascontiguousarray(rows[..., k]), {"long_name": f"{name} of the gaps in the image"})
    found |= filled(totals)
    found["outcome"] = io.Variable(("realisation", "band"), outcome, {"long_name": "index into outcome_name"})
    found["saturated"] = io.Variable(ROW[:3], saturated, {"units": "1", "long_name": "pixels with a saturated sample"})
    return {**found, **drawn_parameters(gaps, len(span))}


def filled(totals: np.ndarray) -> dict[str, io.Variable]:
    """Histograms (band, stratum, quantity, bin) by the bins that are not empty, a fifth of them after 256 realisations: read,
    checked and added in a fifth of the time."""
    bins = np.flatnonzero(totals)
    counts = totals.ravel()[bins]
    kind = np.min_scalar_type(counts.max(initial=0))
    place = "index into the histograms (band, stratum, quantity, bin) as one row"
    return {
        "histogram_bin": io.Variable(("filled",), bins.astype(np.uint32), {"units": "1", "long_name": place}),
        "histogram_count": io.Variable(("filled",), counts.astype(kind), {"units": "1", "long_name": "gaps in the bin"}),
    }


def _predicted(told: list[tuple[gram.Moments, list[int]] | None], count: int, strata: int) -> dict[str, io.Variable]:
    """What the Gram tier says of the rows, to compare them with, and how it knows; NaN and 0 where it says nothing."""
    kinds = np.zeros((len(told), len(QUANTITIES)), np.int8)
    mean, rms = (np.full((count, len(told), strata, len(QUANTITIES)), np.nan) for _ in range(2))
    for b, one in enumerate(told):
        if one is not None:
            moments, known = one
            mean[:, b, :, : len(known)], rms[:, b, :, : len(known)], kinds[b, : len(known)] = moments.mean, moments.rms, known
    about = "index into " + ", ".join(name or "nothing" for name in gram.KINDS) + ": how the Gram tier knows the moments"
    return {
        "gram_mean": io.Variable(ROW, mean, {"long_name": "mean of the gaps in the image, by the Gram tier"}),
        "gram_rms": io.Variable(ROW, rms, {"long_name": "rms of the gaps in the image, by the Gram tier"}),
        "gram_kind": io.Variable(("band", "quantity"), kinds, {"long_name": about}),
    }


def _expected(found: list[expectation.Expectation | None], strata: int) -> dict[str, io.Variable]:
    """Sums of the Gram tier over the law of the draws, the same in all chunks of a key; 0 and NaN where it says nothing."""
    n = np.zeros((REPLICATES, len(found)), np.int64)
    sums = np.full((REPLICATES, len(found), strata, len(QUANTITIES), len(expectation.TERMS)), np.nan)
    for b, one in enumerate(found):
        if one is not None:
            n[:, b], sums[:, b, :, : one.sums.shape[2]] = one.n, one.sums
    law = "realisations of the law of the draws that the Gram tier was summed over"
    terms = "sums of " + ", ".join(expectation.TERMS) + " of the gaps in the image over them, by the Gram tier"
    return {
        "law_n": io.Variable(("replicate", "band"), n, {"units": "1", "long_name": law}),
        "law_sums": io.Variable(("replicate", *ROW[1:], "term"), sums, {"long_name": terms}),
    }


def spans(realisations: int, span: int) -> list[range]:
    """Spans of a campaign, cut at multiples of `span`; the last may be short."""
    return [range(a, min(a + span, realisations)) for a in range(0, realisations, span)]
