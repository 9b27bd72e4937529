"""The same job in the nearest peer, punpy (CoMet toolkit, National Physical Laboratory; LGPL-3.0): a Monte Carlo through a
measurement function, which its user writes.

The function is the most favourable one: tuned NumPy on buffers made once, closed over the scene (an input without
uncertainty would be copied for each realisation), returning statistics, not images. Triplets of numbers (orientation,
extinction, transmission) are inputs of three values, fields (equalisation, noise) images of three planes, all with
correlation "rand". The errors are in the instrument.

* as documented: one call of `propagate_random`, which holds the samples of all realisations at once. N = 1000 takes 6 GiB,
  so that N = 300 is timed, which costs some 5 % less for each realisation: already then each sample is fresh memory.
* hand-batched: its staged interface, twenty realisations at a time, so that the samples are small.

The job has five sources (all but the non-linearity) and 35 statistics of the whole image, exact percentiles among them.
radsens does more in its time: ten statistics, its quantiles from histograms, in eight strata and the whole.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks import cases
from benchmarks.baseline import Baseline, Job
from radsens.gaps.statistics import FIRST_QUANTILE, MAX, MEAN, MIN, STD
from radsens.gaps.strata import Partition
from radsens.models import polarimeter
from radsens.models.irm import IRM
from radsens.schema import Scene

ABSENT = "punpy is not installed: pip install .[bench]"
BATCH = 20  # realisations of a hand-made batch
SOURCES = {name: knobs for name, knobs in cases.ALL.items() if name != "non_linearity"}
QUANTILES = (5, 50, 95)  # [%]
STATISTICS = [MEAN, STD, MIN, MAX, FIRST_QUANTILE, FIRST_QUANTILE + 2, FIRST_QUANTILE + 4]  # the same in a row of radsens
STANDARD_ERRORS = 6.0  # by which two codes may differ: 70 numbers are compared, and tails are not normal


def installed() -> bool:
    """Whether there is a punpy to compare with."""
    return find_spec("punpy") is not None


@dataclass(frozen=True)
class Measurement:
    """A measurement function and its inputs.

    Attributes
    ----------
    function : of one realisation's inputs, in their order; returns statistics
    inputs, uncertainties : arrays
    """

    function: Callable[..., np.ndarray]
    inputs: list[np.ndarray]
    uncertainties: list[np.ndarray]


def whole(scene: Scene, part: Partition) -> Job:
    """The nominal retrieval of a scene as one stratum, in which the pixels with an angle come first."""
    order, pixels = np.argsort(~part.aolp, kind="stable"), scene.theta.size
    nominal = polarimeter.nominal(cases.INSTRUMENT, scene.band)
    triplet = cases.triplets(nominal)
    return Job(
        strata=[(0, pixels, int(part.aolp.sum()))],
        forward=triplet,
        inverse=np.linalg.inv(triplet),
        bend=None,
        unbend=None,
        equalisation=0.0,
        equalisation_in_instrument=True,
        noise=0.0,
        low=np.zeros(5),
        high=np.ones(5),
        **{name: np.ascontiguousarray(values[..., order]) for name, values in cases.of_pixels(scene).items()},
    )


def moments(gap: np.ndarray) -> list[float]:
    """What `total` needs of a gap (pixel)."""
    return [gap.mean(), gap.std()]


def statistics(gap: np.ndarray) -> list[float]:
    """The seven statistics of a gap (pixel)."""
    return [gap.mean(), gap.std(), gap.min(), gap.max(), *np.percentile(gap, QUANTILES)]


def quantities(irm: IRM, job: Job, sources: dict[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each input with its standard uncertainty, by source, after the definitions of `radsens.sources`."""
    ones = np.ones(3)
    found = {
        "polariser_orientation": lambda k: (np.degrees(irm.orientation), k["sigma"] * ones),
        "polariser_extinction": lambda k: (np.log(irm.extinction), k["sigma"] * ones),
        "relative_transmission": lambda k: (irm.relative_transmission, k["sigma"] * irm.relative_transmission),
        "hf_equalisation": lambda k: (job.gain, k["sigma"] * job.gain),
        "radiometric_noise": lambda k: (0 * job.gain, np.tile(job.mean_signal / k["snr"], (3, 1))),
        "non_linearity": lambda k: (np.zeros(2), np.array([k["sigma"], 0.0])),  # of one value punpy makes a number
    }
    return {name: found[name](knobs) for name, knobs in sources.items()}


def triplet(irm: IRM, orientation: np.ndarray, log_extinction: np.ndarray, transmission: np.ndarray) -> np.ndarray:
    """Rows A T_a [1, η cos 2α, η sin 2α] of a triplet, (3, 3); orientation (3) [deg]."""
    extinction, angle = np.exp(log_extinction), 2 * np.radians(orientation)
    eta = (1 - extinction) / (1 + extinction)
    rows = np.stack([np.ones(3), eta * np.cos(angle), eta * np.sin(angle)], axis=-1)
    return irm.absolute_gain * transmission[:, None] * rows


def measurement(
    sources: dict[str, Any], scene: Scene, part: Partition, taken: Callable[[np.ndarray], list[float]]
) -> Measurement:
    """The measurement function of some sources in one band: (quantity × statistic) of a realisation."""
    irm, job = polarimeter.nominal(cases.INSTRUMENT, scene.band), whole(scene, part)
    code, here, angles = Baseline(job), slice(0, scene.theta.size), job.strata[0][2]
    given = quantities(irm, job, sources)
    nominal = {"polariser_orientation": np.degrees(irm.orientation), "polariser_extinction": np.log(irm.extinction)}
    nominal |= {"relative_transmission": irm.relative_transmission, "hf_equalisation": job.gain}

    def function(*drawn: np.ndarray) -> np.ndarray:
        value = {**nominal, **dict(zip(given, drawn, strict=True))}
        rows = triplet(irm, *(value[n] for n in ("polariser_orientation", "polariser_extinction", "relative_transmission")))
        x, _, z, _ = code.views(here)
        np.dot(rows, job.basis, out=x)
        x *= value["hf_equalisation"]
        if "non_linearity" in value:  # S (1 + b S / S_fs), the quadratic response calibrated at zero
            np.multiply(x, value["non_linearity"][0] / irm.full_scale, out=z)
            z += 1
            x *= z
        if "radiometric_noise" in value:
            x += value["radiometric_noise"]
        gaps = code.retrieve(0, x, here)
        return np.array([taken(gap) for gap in (*gaps[:4], gaps[4, :angles])]).ravel()

    return Measurement(function, [x for x, _ in given.values()], [u for _, u in given.values()])


def batched(job: Measurement, batches: int, size: int = BATCH) -> np.ndarray:
    """Statistics (realisation, …) of so many batches, by punpy's staged interface."""
    from punpy import MCPropagation

    propagation, found = MCPropagation(size), []
    for _ in range(batches):
        sample = propagation.generate_MC_sample(job.inputs, job.uncertainties, ["rand"] * len(job.inputs))
        found.append(propagation.run_samples(job.function, sample))
    return propagation.combine_samples(found)


def documented(job: Measurement, realisations: int) -> np.ndarray:
    """Statistics (realisation, …) by one call, as the documentation shows it."""
    from punpy import MCPropagation

    propagation = MCPropagation(realisations)
    kinds: list[Any] = ["rand"] * len(job.inputs)
    _, found, _ = propagation.propagate_random(job.function, job.inputs, job.uncertainties, kinds, return_samples=True)
    return found


def disagreement(ours: np.ndarray, theirs: np.ndarray) -> str:
    """What differs between the statistics (realisation, …) of two codes with draws of their own, or nothing.

    Their means over the realisations are compared, in standard errors.
    """
    error = np.sqrt(ours.var(axis=0, ddof=1) / len(ours) + theirs.var(axis=0, ddof=1) / len(theirs))
    differs = ~(np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) <= STANDARD_ERRORS * error)
    return f"{np.count_nonzero(differs)} of {differs.size} statistics differ by more than their sampling" if differs.any() else ""
