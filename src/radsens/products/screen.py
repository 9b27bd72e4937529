"""What is printed: tables on a terminal, and how a campaign stands beside its files."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape

from radsens.gaps.quantities import UNITS
from radsens.products.grid import console, grid
from radsens.products.tables import agreement
from radsens.schema import Fault

HEADS = {"I": "ΔI/I", "Q": "ΔQ/I", "U": "ΔU/I", "dolp": "ΔDoLP", "aolp": "ΔAoLP [deg]"}


def _pivot(frame: pd.DataFrame, column: str, number: bool) -> list[list[Any]]:
    """One row per source and band, one value per quantity; with the number of realisations if it differs between rows."""
    found = []
    for (source, band), rows in frame.groupby(["source", "band"], sort=False):
        values = dict(zip(rows["quantity"], rows[column].astype(float), strict=True))
        amplitude, unit = rows["amplitude"].iloc[0], rows["amplitude_unit"].iloc[0]
        size = "" if amplitude != amplitude else f"{amplitude:g}" + (f" {unit}" if unit not in ("1", "") else "")
        count = [rows["n_realisations"].iloc[0]] if number else []
        found.append([source, band, size, *count, *(values.get(q, float("nan")) for q in UNITS)])
    return found


def chosen_of(frame: pd.DataFrame, stratum: str) -> pd.DataFrame:
    """Rows of one stratum."""
    if stratum not in set(frame["stratum"]):
        raise Fault(f"--stratum: {stratum!r} is not in the table; it has {', '.join(dict.fromkeys(frame['stratum']))}")
    return frame[frame["stratum"] == stratum]


def show_table(campaign: Any, stratum: str) -> None:
    """Print the sensitivity table of a campaign in one stratum, the control row, and where the files are."""
    folder = campaign.root
    if lost := [path for path in campaign.tables if path != campaign.mark and not Path(path).is_file()]:
        raise Fault(
            f"{lost[0]}: not made yet; run snakemake --profile profiles/local --configfile with this campaign, or add "
            "--partial to see what stands by now"
        )
    table = pd.read_csv(campaign.table, dtype={"amplitude_unit": str, "unit": str})
    chosen = chosen_of(table, stratum)
    out = console()
    if campaign.stale:
        out.print(
            "[bold red]STALE:[/] the settings, the code or the instrument changed after this table was made; "
            "run snakemake again.\n"
        )
    show_rows(out, chosen, stratum)
    show_control(out, campaign, pd.read_csv(folder / "control.csv"), pd.read_csv(folder / "strata.csv"))
    about = json.loads((folder / "campaign.json").read_text(encoding="utf-8"))
    show_notes(out, about["sources"], chosen)
    show_agreement(out, table)
    show_unreached(out, about.get("unreached", []))
    out.print(f"campaign {about['id']}: {folder}/sensitivity.csv, control.csv, strata.csv, campaign.json")


def show_rows(out: Console, chosen: pd.DataFrame, stratum: str, partial: bool = False) -> None:
    """Print the rows of one stratum; if some sources are not complete, each with its number of realisations."""
    heads = ("source", "band", "amplitude", *(["realisations"] if partial else []), *HEADS.values())
    mark, count = "PARTIAL, " if partial else "", int(chosen["n_realisations"].max())
    title = f"{mark}rms gap, stratum {stratum}, up to {count} realisations"
    out.print(grid(title, heads, _pivot(chosen, "rms", partial), left=2))
    sensitive = chosen[chosen["sensitivity"].notna()]
    title = f"\n{mark}sensitivity: rms gap per unit of amplitude"
    out.print(grid(title, heads, _pivot(sensitive, "sensitivity", partial), left=2))


def show_control(out: Console, campaign: Any, control: pd.DataFrame, strata: pd.DataFrame) -> None:
    """Print the control row, and the part of the image that has no angle."""
    excluded = strata[strata["stratum"] == "all"].set_index("band")["aolp_excluded"]
    rows = []
    for band, group in control.groupby("band", sort=False):
        values = dict(zip(group["quantity"], group["max_abs_gap"], strict=True))
        part = excluded[band]
        rows.append([band, *(values.get(q, float("nan")) for q in UNITS), "" if part != part else f"{part:.1%}"])
    on = [name for name, there in campaign.config.measurement if there]
    title = "\ncontrol: largest |gap| without any error" + (f", but with {' and '.join(on)}" if on else "")
    out.print(grid(title, ("band", *HEADS.values(), "no AoLP (small DoLP)"), rows))


def show_unreached(out: Console, cells: list[dict[str, Any]]) -> None:
    """Print which sources have not reached the precision that `stop_at` asks, each with its worst cell."""
    for source in dict.fromkeys(one["source"] for one in cells):
        of_source = [one for one in cells if one["source"] == source]
        worst = of_source[0]
        name = f"{worst['band']} {worst['quantity']} in {worst['stratum']}"
        told = "no precision can be told"
        if worst["total"] is not None:
            reached, wanted = worst["mc_error"] / worst["total"], worst["wanted"] / worst["total"]
            told = f"standard error {reached:.2g} of total, {wanted:.2g} is wanted"
        out.print(f"[bold]stop_at not reached:[/] {source}, in {len(of_source)} cells; the worst is {escape(name)}: {told}")


def show_notes(out: Console, sources: dict[str, Any], chosen: pd.DataFrame) -> None:
    """Print failures, saturation and the precision reached; of each source its failures and saturated pixels are given."""
    failed = {n: s["failed"] for n, s in sources.items() if s["failed"]}
    saturated = {n: s["saturated_pixels"] for n, s in sources.items() if s["saturated_pixels"]}
    precision = (chosen["mc_error"] / chosen["total"]).max()
    out.print(f"\nfailed realisations: {failed or 'none'}; saturated pixels: {saturated or 'none'}")
    if precision == precision:
        out.print(f"largest Monte Carlo standard error of a total: {precision:.1%}{_refined(chosen)}")


def _refined(chosen: pd.DataFrame) -> str:
    """The same of the totals that the Gram tier refines, if there are some."""
    precision = (chosen["refined_error"] / chosen["refined"]).max()
    return f"; of `refined`, with the Gram tier as control variate: {precision:.1%}" if precision == precision else ""


def show_agreement(out: Console, table: pd.DataFrame) -> None:
    """Print whether the totals that can be known without a pass over the pixels are those of the pass."""
    found = agreement(table)
    if found["doubtful"]:
        out.print(
            f"[bold red]DOUBTFUL:[/] {len(found['doubtful'])} of {found['checked']} totals are not what the Gram tier, which is "
            f"exact there, says: {'; '.join(found['doubtful'][:5])}; do not use these results, and report them"
        )
    elif found["checked"]:
        out.print(f"{found['checked']} totals are known exactly without the pixels: they agree to {found['largest']:.1g}")
