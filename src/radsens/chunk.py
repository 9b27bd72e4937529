"""A chunk: the gaps of one source over one span of realisations, as a file.

Rows are (realisation, band, stratum, quantity). An unpolarised band reports `I` alone, and a source on polarisers
nothing there: those rows have n = 0 and no value.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from radsens import instrument as instruments
from radsens import io, provenance
from radsens.gaps.quantities import MEANING, QUANTITIES, UNITS
from radsens.gaps.statistics import LOG_BITS, LOG_HALF, LOG_LOWEST, STATISTICS, TOTAL_BINS
from radsens.gaps.strata import Strata, partition, refuse_empty
from radsens.models.irm import DRAWN
from radsens.realise import OUTCOMES, BandGaps, Task, acting, realise_band
from radsens.scenes import SceneSpec, files, render
from radsens.schema import Fault, Frozen, Name, Scene, validated
from radsens.sources import SOURCES
from radsens.sources._source import ErrorSource

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


def _labels(scene: Scene, strata: tuple[str, ...]) -> dict[str, io.Variable]:
    def text(axis: str, values: Iterable[str], meaning: str) -> io.Variable:
        return io.Variable((axis,), np.array(list(values), dtype=object), {"long_name": meaning})

    return {
        "band": text("band", scene.bands, "spectral band"),
        "stratum": text("stratum", strata, "part of the image"),
        "quantity": text("quantity", QUANTITIES, "; ".join(f"{q}: {MEANING[q]} [{UNITS[q]}]" for q in QUANTITIES)),
        "polariser": text("polariser", POLARISERS, "nominal orientation of the polariser [deg]"),
        "outcome_name": text("outcome_index", OUTCOMES, "what became of a realisation"),
    }


def write_scene(settings: dict[str, Any], output: Path, key: str | None = None) -> None:
    """Render the scene of a campaign's settings (instrument, bands, scene, strata) to a file.

    Raises
    ------
    Fault : a scene or strata that cannot be, a marginal stratum without pixels, or another key than the one asked for
    """
    asked = validated(SceneTask, settings)
    instrument, bands, spec, strata = instruments.load(asked.instrument), asked.bands, asked.scene, asked.strata
    found = provenance.scene_key(spec.model_dump(mode="json"), strata.model_dump(mode="json"), instrument, bands)
    if key not in (None, found):
        raise Fault(f"key: {key} was planned, but the code and the settings here give {found}; plan the workflow again")
    scene = render(spec, instrument, bands)
    refuse_empty(strata, scene)
    for b in range(len(bands)):
        partition(strata, scene, b)
    about = {"key": found, "instrument": instrument.name, "scene": spec.model_dump_json(), "strata": strata.model_dump_json()}
    files.write(output, scene, {**provenance.attributes(), **about})


def compute(task: Task, scene_path: str | Path, span: range, threads: int = 1, key: str | None = None) -> io.File:
    """Gaps of a task over a span of realisations.

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
    instrument = instruments.load(task.instrument)
    scene, about = files.read(scene_path)
    found = provenance.task_key(task, about["key"], instrument, scene.bands)
    if key not in (None, found):
        raise Fault(
            f"key: {key} was planned, but the code, the instrument and the scene here give {found}; plan the workflow again"
        )
    strata = Strata.model_validate_json(about["strata"])
    active = active_of(task)
    partitions = [partition(strata, scene, b) for b in range(len(scene.bands))]
    gaps: list[BandGaps | None] = []
    for b, name in enumerate(scene.bands):
        here = acting(active, instrument, name)
        absent = bool(active) and not here
        gaps.append(None if absent else realise_band(task, instrument, scene, b, partitions[b], here, span, threads))
    return io.File(_variables(gaps, span, scene, partitions[0].names), _about(task, span, found, about))


def active_of(task: Task) -> list[tuple[ErrorSource, Any]]:
    """The error sources of a task, with their amplitudes."""
    if unknown := [name for name in task.sources if name not in SOURCES]:
        raise Fault(f"sources.{unknown[0]}: there is no such source; those known are {', '.join(SOURCES)}")
    return [(SOURCES[n], validated(SOURCES[n].Amplitudes, a, "sources", n)) for n, a in task.sources.items()]


def _about(task: Task, span: range, key: str, scene: dict[str, Any]) -> dict[str, Any]:
    return {
        **provenance.attributes(),
        "key": key,
        "scene_key": scene["key"],
        "task": task.model_dump_json(),
        "realisation_first": span.start,
        "realisation_count": len(span),
    }


def _variables(gaps: list[BandGaps | None], span: range, scene: Scene, strata: tuple[str, ...]) -> dict[str, io.Variable]:
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
    found = _labels(scene, strata)
    found["realisation"] = io.Variable(("realisation",), np.array(span, np.int64), {"standard_name": "realization"})
    found["n"] = io.Variable(ROW, n, {"units": "1", "long_name": "pixels"})
    for k, name in enumerate(STATISTICS):
        found[name] = io.Variable(ROW, np.ascontiguousarray(rows[..., k]), {"long_name": f"{name} of the gaps in the image"})
    bins = f"counts of gaps by sign, power of two from {LOG_LOWEST} and {1 << LOG_BITS} steps in it; bin {LOG_HALF} begins at 0"
    found["histogram"] = io.Variable((*ROW[1:], "bin"), totals, {"units": "1", "long_name": bins, "sparse": 1})
    found["outcome"] = io.Variable(("realisation", "band"), outcome, {"long_name": "index into outcome_name"})
    found["saturated"] = io.Variable(ROW[:3], saturated, {"units": "1", "long_name": "pixels with a saturated sample"})
    return {**found, **drawn_parameters(gaps, len(span))}


def spans(realisations: int, span: int) -> list[range]:
    """Spans of a campaign, cut at multiples of `span`; the last may be short."""
    return [range(a, min(a + span, realisations)) for a in range(0, realisations, span)]
