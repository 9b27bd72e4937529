"""What the Gram tier expects of the law of a task's draws: sums of its moments over many realisations.

A realisation of that tier costs a few µs with its draws, so that thousands of them, the first of the task itself, cost less
than a tenth of a second in a band. They depend on the task and on nothing else, no span among them. `products.refined`
takes them as expectations of a control variate.
"""

from dataclasses import dataclass

import numpy as np

from radsens import gram
from radsens.gram import Gram
from radsens.realise import Active, Stage, models
from radsens.sobol import REPLICATES

# A total of normal draws is then known to 1/√(2 · 2¹⁴) = 0.6 %; fewer Sobol points leave 0.06 to 0.5 % (measured).
REALISATIONS = {"random": 1 << 14, "sobol": 1 << 12}
TERMS = ("mean", "rms²", "mean²", "mean rms²", "rms⁴")
TOGETHER = 1 << 10  # realisations taken together
VALUES = 1 << 19  # of one moment of them, at most: 4 MiB


@dataclass(frozen=True)
class Expectation:
    """Sums over realisations; realisation r counts in r mod 8, its replicate where draws are Sobol points.

    Attributes
    ----------
    n : (replicate,) realisations that did not fail by their draws
    sums : (replicate, stratum, quantity, term) sums of TERMS over them; NaN where nothing is told
    """

    n: np.ndarray
    sums: np.ndarray


def expected(stage: Stage, means: Gram, active: Active) -> Expectation:
    """Sums of the Gram tier over the law of the draws of a stage, whatever its span; of one realisation if nothing is drawn.

    Parameters
    ----------
    stage : a band of a task
    means : of that band
    active : the sources that act there, with their amplitudes
    """
    number = REALISATIONS[stage.task.sampling] if any(source.draws for source, _ in active) else 1
    block = max(min(TOGETHER, VALUES // int(np.prod(means.shape))) // REPLICATES, 1) * REPLICATES
    n, sums = np.zeros(REPLICATES, np.int64), np.zeros((REPLICATES, *means.shape, len(TERMS)))
    for first in range(0, number, block):
        span = range(first, min(first + block, number))
        actual, believed = models(stage.task, stage.instrument, stage.scene.band, active, span)
        found = gram.moments(means, actual, believed, len(span))
        good = np.isfinite(found.mean).any(axis=(1, 2))  # nothing is told of one that fails
        m, w = (np.where(good[:, None, None], x, 0.0) for x in (found.mean, found.rms * found.rms))
        for term, value in enumerate((m, w, m * m, m * w, w * w)):
            sums[..., term] += _by_replicate(value)
        n += _by_replicate(good.astype(np.int64))
    return Expectation(n, sums if n.any() else np.full_like(sums, np.nan))


def _by_replicate(x: np.ndarray) -> np.ndarray:
    """Sums of consecutive realisations (realisation, ...), the first of replicate 0, by replicate, (8, ...), in their order."""
    short = -len(x) % REPLICATES
    whole = np.concatenate([x, np.zeros((short, *x.shape[1:]), x.dtype)]) if short else x
    return np.asarray(whole.reshape(-1, REPLICATES, *x.shape[1:]).sum(axis=0))
