"""What is measured: the cases, as radsens takes them and as the baseline does, and whether the two agree.

radsens is timed by `realise.worker`, what a job of the workflow runs for each batch of realisations: its scratch, its
threads and its results count, the layout of the pixels, done once for a band, does not.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.baseline import MAX, MEAN, MIN, STD, Baseline, Job
from benchmarks.timing import in_turn
from radsens import instrument, realise
from radsens.gaps import statistics
from radsens.gaps.strata import Partition, Strata, dolp, partition
from radsens.instrument import even_polynomial
from radsens.models import polarimeter
from radsens.models.irm import IRM
from radsens.random import field
from radsens.scenes import render
from radsens.scenes.analytic import Analytic
from radsens.schema import Scene
from radsens.sources import SOURCES

INSTRUMENT, BAND, STRATA = instrument.load("parasol"), "490P", 8
BANDS = ("490P", "670P", "865P")  # the polarised ones of PARASOL

# Amplitudes are those of config/parasol.yaml.
SCALARS = {
    "polariser_orientation": {"sigma": 0.1},
    "polariser_extinction": {"sigma": 0.25},
    "relative_transmission": {"sigma": 0.002},
}
NOISE = {"radiometric_noise": {"snr": 200}}
ALL = {**SCALARS, **NOISE, "hf_equalisation": {"sigma": 0.001}, "non_linearity": {"sigma": 0.01}}
CASES = {
    "scalar sources": (SCALARS, "knowledge"),
    "noise": (NOISE, "knowledge"),
    "all sources": (ALL, "knowledge"),
    "all sources, in the instrument": (ALL, "instrument"),
}
PRECISIONS = ("float64", "float32")
COUNT = 8  # realisations that are compared, and that the baseline knows
TIMED = 256  # realisations of a timed batch of radsens; a job takes batches of seconds
KEPT = [statistics.MEAN, statistics.STD, statistics.MIN, statistics.MAX]
SINGLE = 1e-5  # of the spread of a row and of the number itself: what float32 may change; tests/test_realisation.py has 1e-6


def scenes(bands: tuple[str, ...] = (BAND,)) -> list[Scene]:
    """The analytic scene, a clear ocean on the full detector of 274 × 242 pixels, as some bands see it."""
    return list(render(Analytic(kind="analytic"), INSTRUMENT, bands))


def enlarged(scene: Scene, pixels: int) -> Scene:
    """A scene repeated until it has so many pixels, each with addresses of its own."""
    index, own = np.arange(pixels) % scene.theta.size, np.arange(pixels)
    fields = {name: getattr(scene, name)[index] for name in ("x", "y", "theta", "view", "scene_class")}
    return replace(scene, stokes=scene.stokes[:, index], detector=own, sample=own, geometry={}, shape=(pixels, 1), **fields)


def edges(scene: Scene) -> tuple[float, ...]:
    """Edges of eight classes of DoLP with as many pixels each."""
    found = np.quantile(dolp(scene.stokes), np.linspace(0, 1, STRATA + 1))
    found[[0, -1]] = 0, 1
    return tuple(map(float, found))


def classes(scene: Scene) -> Partition:
    """The strata of all cases: eight classes of DoLP, and the whole."""
    return partition(Strata(dolp=edges(scene)), scene)


def task(sources: dict[str, Any], error_in: str, precision: str, quantiles: bool, sampling: str = "random") -> realise.Task:
    """Some sources as a task of radsens."""
    settings = {"instrument": INSTRUMENT.name, "seed": 1, "error_in": error_in, "measurement": {}, "sources": sources}
    return realise.Task.model_validate({**settings, "precision": precision, "quantiles": quantiles, "sampling": sampling})


def active(sources: dict[str, Any]) -> realise.Active:
    """The sources with their amplitudes."""
    return [(SOURCES[name], SOURCES[name].Amplitudes(**knobs)) for name, knobs in sources.items()]


def stage(asked: realise.Task, scene: Scene, part: Partition, count: int) -> realise.Stage:
    """A task in one band, over the first `count` realisations."""
    return realise.staged(asked, INSTRUMENT, scene, part, active(asked.sources), range(count))


def batch(
    asked: realise.Task, scene: Scene, part: Partition, count: int = TIMED, threads: int = 1
) -> Callable[[], realise.Batch]:
    """The batch of the first `count` realisations, compiled and laid out: to be called, and timed."""
    compute, _ = realise.worker(stage(asked, scene, part, count), threads)
    compute(0, 1)
    return partial(compute, 0, count)


def numpy_job(case: str, scene: Scene, part: Partition) -> Job:
    """A case as the baseline takes it: from the same draws, the arrays from the equations of docs/method.md."""
    sources, error_in = CASES[case]
    asked = task(sources, error_in, "float64", quantiles=False)
    actual, believed = realise.models(asked, INSTRUMENT, scene.band, active(sources), range(COUNT))
    order = np.lexsort((~part.aolp, part.cell))
    pixels = {name: values[..., order] for name, values in of_pixels(scene).items()}
    cell = part.cell[order]
    starts = np.searchsorted(cell, np.arange(STRATA + 1))
    angles = np.bincount(part.cell, part.aolp, STRATA).astype(int)
    return Job(
        strata=[(a, b, a + n) for a, b, n in zip(starts[:-1], starts[1:], angles, strict=True)],
        forward=triplets(actual),
        inverse=np.linalg.inv(triplets(believed)),
        bend=response(actual),
        unbend=response(believed),
        equalisation=actual.high_frequency_error or believed.high_frequency_error,
        equalisation_in_instrument=actual.high_frequency_error > 0,
        noise=1 / actual.snr,
        low=np.array([-0.05, -0.05, -0.05, -0.05, -5]),
        high=np.array([0.05, 0.05, 0.05, 0.05, 5]),
        **{name: np.ascontiguousarray(values) for name, values in pixels.items()},
    )


def triplets(irm: IRM) -> np.ndarray:
    """Rows A t_m T_a [1, η cos 2α, η sin 2α] of each realisation, (COUNT, 3, 3)."""
    return np.broadcast_to(irm.sample_gain[..., None] * polarimeter.analyser(irm), (COUNT, 3, 3)).copy()


def response(irm: IRM) -> np.ndarray | None:
    """(c₁, c₂) of the response S (c₁ + c₂ S) of each realisation, (COUNT, 2), c₁ = 1 − b x₀ and c₂ = b / S_fs; None if linear."""
    b = np.broadcast_to(irm.non_linearity, COUNT)
    return np.stack([1 - b * irm.calibrated_at, b / irm.full_scale], axis=-1) if b.any() else None


def of_pixels(scene: Scene) -> dict[str, np.ndarray]:
    """The arrays of a `Job` that are fixed in a pixel, (..., pixel), from the nominal model of the scene's band."""
    irm, (i, q, u) = polarimeter.nominal(INSTRUMENT, scene.band), scene.stokes
    optics = polarimeter.optics(irm, scene)
    known = field(0, "inter_pixel", f"{INSTRUMENT.name}.{scene.band}", 0, scene.detector)[:3].astype(float)
    gain = (1 + even_polynomial(irm.low_frequency, scene.theta)) * (1 + irm.high_frequency * known)
    basis = np.einsum("ijp,jp->ip", optics, scene.stokes)
    back = np.linalg.inv(np.moveaxis(optics, -1, 0)) / i[:, None, None]
    signal = gain * (irm.sample_gain[:, None] * polarimeter.analyser(irm) @ basis)
    return {
        "basis": basis,
        "gain": gain,
        "inverse_gain": 1 / gain,
        "back": np.stack([back[:, a, b] for a, b in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))]),
        "reference": np.stack([q / i, u / i, np.hypot(q, u) / i]),
        "mean_signal": signal.mean(axis=0),
    }


def disagreement(case: str, ours: np.ndarray, theirs: np.ndarray, n: np.ndarray) -> str:
    """What differs between two sets of moments (realisation, stratum, 5, 4) by more than it may, or nothing.

    Without a random field both are the same numbers to rounding, which an angle of weakly polarised light (DoLP 0.02)
    magnifies 1500 times. With one they differ by its sampling: a mean by σ√(2/n), a standard deviation by σ/√n, each to six
    standard errors. Angles are left out there, their distribution having long tails.
    """
    if case == "scalar sources":
        return "" if np.allclose(ours, theirs, rtol=1e-9, atol=1e-11) else "moments differ by more than rounding"
    ours, theirs, n = ours[:, :, :4], theirs[:, :, :4], n[:, :4]
    spread = theirs[..., STD]
    if not (np.abs(ours[..., MEAN] - theirs[..., MEAN]) <= 6 * spread * np.sqrt(2 / n)).all():
        return "means differ by more than their sampling"
    return "" if (np.abs(ours[..., STD] / spread - 1) <= 6 / np.sqrt(n)).all() else "standard deviations differ"


def rounding(short: np.ndarray, long: np.ndarray) -> str:
    """What differs between the statistics (..., 5, 4) of float32 and those of float64 by more than rounding, or nothing."""
    differs = np.abs(short - long) > SINGLE * (long[..., STD, None] + np.abs(long))
    return "float32 differs from float64 by more than rounding" if differs.any() or np.isnan(short).any() else ""


def compared(case: str, scene: Scene, part: Partition, their: Baseline) -> list[str]:
    """What does not agree in a case: float64 with the baseline, float32 with float64, moments with quantiles and without."""
    sources, error_in = CASES[case]
    stages = {
        (kind, quantiles): stage(task(sources, error_in, kind, quantiles), scene, part, COUNT)
        for kind in PRECISIONS
        for quantiles in (False, True)
    }
    found = {key: realise.ended(one, [realise.worker(one)[0](0, COUNT)]) for key, one in stages.items()}
    if any(one.outcome.any() for one in found.values()):
        return [f"{case}: a realisation failed, so that nothing can be compared"]
    rows = {key: one.rows[..., KEPT] for key, one in found.items()}
    theirs = np.stack([their.realise(r, False)[0] for r in range(COUNT)])[..., [MEAN, STD, MIN, MAX]]
    wrong = [disagreement(case, rows["float64", False], theirs, found["float64", False].n)]
    wrong += [rounding(rows["float32", q], rows["float64", q]) for q in (False, True)]
    if not np.allclose(rows["float64", False], rows["float64", True], rtol=1e-9, atol=1e-14):
        wrong += ["moments change where quantiles are asked for"]
    return [f"{case}: {what}" for what in wrong if what]


def jobs(scene: Scene, part: Partition) -> tuple[dict[Any, tuple[Callable, float]], list[str]]:
    """The passes of all cases by case, code and whether it takes histograms, with their work [pixel × realisation]; what
    does not agree."""
    found: dict[Any, tuple[Callable, float]] = {}
    wrong, pixels = [], scene.theta.size
    for case, (sources, error_in) in CASES.items():
        # The same code takes up to 1.5 times as long at some addresses of its buffers: the least of three sets counts.
        sets = [Baseline(numpy_job(case, scene, part), seed) for seed in range(3)]
        wrong += compared(case, scene, part, sets[0])
        for histograms in (False, True):
            found[case, "numpy", histograms] = in_turn([partial(b.realise, 0, histograms) for b in sets]), pixels
            for kind in PRECISIONS:
                asked = task(sources, error_in, kind, histograms)
                found[case, kind, histograms] = batch(asked, scene, part), pixels * TIMED
    return found, wrong
