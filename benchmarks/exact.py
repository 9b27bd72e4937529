"""The Gram tier against the pixel pass: how much less a realisation costs, and whether it tells the same."""

from functools import partial

import numpy as np

from benchmarks import cases
from benchmarks.timing import least
from radsens import gram, realise
from radsens.gaps.statistics import MEAN, RMS
from radsens.gaps.strata import Partition
from radsens.models import polarimeter
from radsens.schema import Scene

REALISATIONS = 512  # that are evaluated together
LINEAR = slice(0, 3)  # I, Q and U


def tier(scene: Scene, part: Partition) -> tuple[float, float]:
    """Cost of a realisation in the pixel pass, float32 and moments only, by that in the Gram tier; and the relative error.

    The sources are the scalar ones, in the knowledge. Both begin with the parameters of the realisations, what is fixed in
    the pixels being laid out before. The error is the largest of a mean or a root mean square of I, Q or U in any stratum and
    realisation against the float64 pass, by the latter's root mean square.
    """
    sources, error_in = cases.CASES["scalar sources"]
    stage = cases.stage(cases.task(sources, error_in, "float64", quantiles=False), scene, part, REALISATIONS)
    s = stage.setting
    means = gram.of_scene(stage)
    p, none = polarimeter.parameters(s.actual, s.believed, REALISATIONS)[0], np.zeros(REALISATIONS)

    def exact() -> gram.Moments:
        return gram.evaluate(means, gram.features(means, p, none))

    pixels = cases.batch(cases.task(sources, error_in, "float32", quantiles=False), scene, part)
    found, rows = exact(), realise.worker(stage)[0](0, cases.COUNT).rows[:, :, LINEAR]
    difference = [found.mean[: cases.COUNT, :, LINEAR] - rows[..., MEAN], found.rms[: cases.COUNT, :, LINEAR] - rows[..., RMS]]
    times = least({"pixels": (partial(pixels), cases.TIMED), "gram": (exact, REALISATIONS)}, 1.0)
    return times["pixels"] / times["gram"], float((np.abs(difference) / rows[..., RMS]).max())
