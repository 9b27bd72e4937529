"""What the sensitivity table of a campaign will be, told by the Gram tier before anything is submitted.

The realisations are the campaign's own; no pass over the pixels is made, so that it takes as long as its scene takes.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsens import gram
from radsens.chunk import active_of
from radsens.config import CONTROL
from radsens.gaps.quantities import QUANTITIES, UNITS
from radsens.gaps.strata import partition, refuse_empty
from radsens.products.grid import console, grid
from radsens.products.screen import chosen_of
from radsens.products.tables import LABELS, amplitude_of, replicates, statistics_of
from radsens.realise import Active, acting, pixels_of, quantities_of, staged
from radsens.scenes import files, render
from radsens.schema import Fault, Scene

MOST = 20_000  # realisations that are taken: their totals have a standard error of about 1/√(2 MOST) = 0.5 %
VALUES = ("mean", "between", "within", "total", "rms", "mc_error", "sensitivity")
COLUMNS = (*LABELS, *VALUES, "predicted_by")
HEADS = ("source", "band", "gap", "unit", "mean", "between", "within", "total", "predicted by")
MEANING = {
    "exact": "but for rounding what the campaign will find",
    "expected": "expectation of the random fields, given the draws",
    "first order": "in the error, which must be small; where the DoLP is small, so must the error be beside it",
}


def show_preview(campaign: Any, stratum: str, output: Path | None) -> None:
    """Print the predicted table of a campaign in one stratum; with an output, write that of all strata.

    Raises
    ------
    Fault : a scene or strata that cannot be, a stratum that is not there, or an output that cannot be written
    """
    table = predicted_table(campaign)
    chosen = chosen_of(table, stratum)
    if output is not None:
        _write(table, output)
    size = {name: campaign.realisations(name) for name in campaign.names}
    taken = f"the first {MOST} of {max(size.values())}" if max(size.values()) > MOST else f"{max(size.values())}"
    out = console()
    words = ["source", "band", "quantity", "unit"]
    rows = [[*row[words], *_clean(row), row["predicted_by"]] for _, row in chosen.iterrows()]
    out.print(grid(f"predicted gaps, stratum {stratum}, {taken} realisations", HEADS, rows, left=4))
    for kind, meaning in MEANING.items():
        if (chosen["predicted_by"] == kind).any():
            out.print(f"{kind}: {meaning}")
    out.print(
        "left out: saturation, quantisation, quantiles and extremes, failures in a pixel, and, where it says first order, "
        "the higher orders" + ("" if output is None else f"\n{output}")
    )


def _clean(row: pd.Series) -> list[float]:
    """Values of a row to be printed; what is nothing but the rounding of its rms is 0."""
    return [0.0 if abs(row[name]) < 1e-12 * row["rms"] else row[name] for name in VALUES[:4]]


def _write(table: pd.DataFrame, output: Path) -> None:
    """Write the table whole or not at all."""
    part = output.with_name(f".{output.name}.part")
    try:
        part.write_text(table.to_csv(index=False), encoding="utf-8")
        part.replace(output)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Fault(f"--output: {output} cannot be written ({error.strerror}); give the path of a file in a folder") from error


def scenes_of(campaign: Any) -> Iterator[Scene]:
    """The scene of a campaign, band by band: that which stands, and from the first band that is not whole rendered here."""
    bands = campaign.config.bands
    for number, band in enumerate(bands):
        try:
            scene = files.read(campaign.scene, band, geometry=False)
        except Fault:
            yield from render(campaign.config.scene, campaign.instrument, bands[number:])
            return
        yield scene


def predicted_table(campaign: Any) -> pd.DataFrame:
    """Predicted rows of a campaign: sources and combinations, in the columns of the sensitivity table that exist."""
    strata = campaign.config.strata
    active = {name: active_of(campaign.task(name)) for name in campaign.names if name != CONTROL}
    rows = [row for scene in refuse_empty(strata, scenes_of(campaign)) for row in _rows_of_band(campaign, active, scene)]
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    order = {name: number for number, name in enumerate(active)}
    return found.sort_values("source", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def _rows_of_band(campaign: Any, active: dict[str, Active], scene: Scene) -> Iterator[dict[str, Any]]:
    """Predicted rows of one band, whose pixel table serves all sources."""
    part, table = partition(campaign.config.strata, scene), None
    for name, every in active.items():
        here = acting(every, campaign.instrument, scene.band)
        if here:
            span = range(min(campaign.realisations(name), MOST))
            stage = staged(campaign.task(name), campaign.instrument, scene, part, here, span)
            if table is None:
                table = pixels_of(stage.setting.nominal, campaign.instrument, scene)
            means = gram.of_rows(stage, partial(np.take, table, axis=1))
            yield from _rows_of(name, stage, *gram.told(stage, means))


def _rows_of(name: str, stage: Any, found: gram.Moments, kinds: list[int]) -> Iterator[dict[str, Any]]:
    """Predicted rows of one source in one band."""
    amplitude, unit = amplitude_of(name, stage.task)
    good, std = stage.setting.outcome == 0, gram.std(found.mean, found.rms)
    replicate = replicates(stage.task, np.array(stage.span))
    for s, stratum in enumerate(stage.partition.names):
        for q, quantity in enumerate(quantities_of(stage.setting.nominal)):
            told = good & np.isfinite(found.mean[:, s, q])
            dependent = None if replicate is None else replicate[told]
            values = statistics_of(found.mean[told, s, q], std[told, s, q], dependent)
            values["sensitivity"] = values["rms"] / amplitude if amplitude else np.nan
            here = (name, stage.scene.band, stratum, quantity, UNITS[quantity], amplitude, unit, good.size, int((~good).sum()))
            labels = dict(zip(LABELS, here, strict=True))
            yield {**labels, **values, "predicted_by": gram.KINDS[kinds[QUANTITIES.index(quantity)]]}
