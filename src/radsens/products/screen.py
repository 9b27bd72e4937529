"""What is printed: tables on a terminal, and how a campaign stands beside its files."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from radsens.gaps.quantities import UNITS
from radsens.schema import Fault

HEADS = {"I": "ΔI/I", "Q": "ΔQ/I", "U": "ΔU/I", "dolp": "ΔDoLP", "aolp": "ΔAoLP [deg]"}


def console() -> Console:
    """A terminal; where there is none, wide enough for every column."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=140)


def grid(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], left: int = 1) -> Table:
    """A table whose first `left` columns are words and the others numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.2e}"
    return escape(str(value))  # units stand in square brackets, which rich would read


def _pivot(frame: pd.DataFrame, column: str) -> list[list[Any]]:
    """One row per source and band, one value per quantity."""
    found = []
    for (source, band), rows in frame.groupby(["source", "band"], sort=False):
        values = dict(zip(rows["quantity"], rows[column].astype(float), strict=True))
        amplitude, unit = rows["amplitude"].iloc[0], rows["amplitude_unit"].iloc[0]
        size = "" if amplitude != amplitude else f"{amplitude:g}" + (f" {unit}" if unit not in ("1", "") else "")
        found.append([source, band, size, *(values.get(q, float("nan")) for q in UNITS)])
    return found


def show_table(campaign: Any, stratum: str) -> None:
    """Print the sensitivity table of a campaign in one stratum, the control row, and where the files are."""
    folder = campaign.root
    if lost := [path for path in campaign.tables if path != campaign.mark and not Path(path).is_file()]:
        raise Fault(f"{lost[0]}: not made yet; run snakemake --profile profiles/local --configfile with this campaign")
    frame = pd.read_csv(campaign.table, dtype={"amplitude_unit": str, "unit": str})
    if stratum not in set(frame["stratum"]):
        raise Fault(f"--stratum: {stratum!r} is not in the table; it has {', '.join(dict.fromkeys(frame['stratum']))}")
    out, chosen = console(), frame[frame["stratum"] == stratum]
    if campaign.stale:
        out.print(
            "[bold red]STALE:[/] the settings, the code or the instrument changed after this table was made; "
            "run snakemake again.\n"
        )
    heads = ("source", "band", "amplitude", *HEADS.values())
    count = int(frame["n_realisations"].max())
    out.print(grid(f"rms gap, stratum {stratum}, up to {count} realisations", heads, _pivot(chosen, "rms"), left=2))
    out.print(
        grid(
            "\nsensitivity: rms gap per unit of amplitude",
            heads,
            _pivot(chosen[chosen["sensitivity"].notna()], "sensitivity"),
            left=2,
        )
    )
    _control(out, campaign)
    _notes(out, folder, chosen)


def _control(out: Console, campaign: Any) -> None:
    folder = campaign.root
    control, strata = pd.read_csv(folder / "control.csv"), pd.read_csv(folder / "strata.csv")
    excluded = strata[strata["stratum"] == "all"].set_index("band")["aolp_excluded"]
    rows = []
    for band, group in control.groupby("band", sort=False):
        values = dict(zip(group["quantity"], group["max_abs_gap"], strict=True))
        part = excluded[band]
        rows.append([band, *(values.get(q, float("nan")) for q in UNITS), "" if part != part else f"{part:.1%}"])
    on = [name for name, there in campaign.config.measurement if there]
    title = "\ncontrol: largest |gap| without any error" + (f", but with {' and '.join(on)}" if on else "")
    out.print(grid(title, ("band", *HEADS.values(), "no AoLP (small DoLP)"), rows))


def _notes(out: Console, folder: Path, chosen: pd.DataFrame) -> None:
    """Failures, saturation, the precision reached, and the files."""
    about = json.loads((folder / "campaign.json").read_text(encoding="utf-8"))
    failed = {n: s["failed"] for n, s in about["sources"].items() if s["failed"]}
    saturated = {n: s["saturated_pixels"] for n, s in about["sources"].items() if s["saturated_pixels"]}
    precision = (chosen["mc_error"] / chosen["total"]).max()
    out.print(f"\nfailed realisations: {failed or 'none'}; saturated pixels: {saturated or 'none'}")
    if precision == precision:
        out.print(f"largest Monte Carlo standard error of a total: {precision:.1%}")
    out.print(f"campaign {about['id']}: {folder}/sensitivity.csv, control.csv, strata.csv, campaign.json")
