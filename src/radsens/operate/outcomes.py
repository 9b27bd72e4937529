"""Numerical failures: realisations that a chunk holds as failed, which are results."""

from pathlib import Path
from typing import Any

import numpy as np
from netCDF4 import Dataset

from radsens import io


def outcomes(file: io.File) -> dict[str, Any]:
    """Realisations of a file and, by reason, those that failed in some band; the first band that failed gives the reason."""
    return counted(file["outcome"], file["outcome_name"])


def counted(outcome: np.ndarray, names: np.ndarray) -> dict[str, Any]:
    """The same of outcomes (realisation, band) and of what they are called."""
    first = outcome[np.arange(len(outcome)), (outcome > 0).argmax(axis=1)]
    codes, counts = np.unique(first[first > 0], return_counts=True)
    return {
        "realisations": len(outcome),
        "numerical": {str(names[c]): int(n) for c, n in zip(codes, counts, strict=True)},
    }


def glance(path: Path) -> dict[str, Any] | None:
    """Outcomes of a file of results read without the rest of it, nor its digest; None if it cannot be read."""
    try:
        with Dataset(path) as dataset:
            dataset.set_auto_mask(False)
            return counted(np.asarray(dataset["outcome"][...]), np.asarray(dataset["outcome_name"][...]))
    except (OSError, RuntimeError, IndexError):
        return None


def precision(path: Path) -> float | None:
    """Largest mc_error/total of the whole image in gathered rows [1], read without the rest; None where nothing tells it."""
    from radsens.products.tables import replicates, statistics_of
    from radsens.realise import Task

    found = []
    try:
        with Dataset(path) as dataset:
            dataset.set_auto_mask(False)
            mean, std, n = (np.asarray(dataset[name][:, :, 0, :]) for name in ("mean", "std", "n"))
            good = np.asarray(dataset["outcome"][...]) == 0
            replicate = replicates(Task.model_validate_json(dataset.task), np.asarray(dataset["realisation"][...]))
    except (OSError, RuntimeError, IndexError, AttributeError, ValueError):
        return None
    for b, q in np.ndindex(mean.shape[1:]):
        here = good[:, b] & (n[:, b, q] > 0)
        if here.sum() > 1:
            row = statistics_of(mean[here, b, q], std[here, b, q], None if replicate is None else replicate[here])
            if row["total"] > 0:
                found.append(float(row["mc_error"] / row["total"]))
    return max(found, default=None)
