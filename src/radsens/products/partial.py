"""The table of what stands of a campaign while some of it is missing; it is printed, and nothing is written."""

from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from radsens import io
from radsens.config import CONTROL
from radsens.gather import joined, standing
from radsens.products import screen, tables
from radsens.products.grid import console
from radsens.schema import Fault


class Standing(NamedTuple):
    """The rows of one source that stand, None if none do, how many spans are missing, and whether more may be decided on."""

    rows: io.File | None
    missing: int
    spans: int
    open: bool


def stands(campaign: Any, name: str) -> Standing:
    """What stands of a source: its gathered rows, else its chunks that are good."""
    spans, undecided = len(campaign.spans(name)), campaign.most(name) > campaign.realisations(name)
    with suppress(Fault):
        return Standing(io.read(campaign.gaps(name)), 0, spans, undecided)
    chunks = standing(Path(campaign.chunk_folder(name)), campaign.realisations(name), campaign.config.span)
    return Standing(joined(chunks) if chunks else None, spans - len(chunks), spans, undecided)


def show_partial(campaign: Any, stratum: str) -> None:
    """Print the rows that stand of a campaign in one stratum, and what is missing; a source has those of its spans that stand."""
    found = {name: stands(campaign, name) for name in campaign.names}
    files = {name: one.rows for name, one in found.items() if one.rows is not None}
    if not files.keys() - {CONTROL}:
        raise Fault(f"{campaign.root}: no span of any source stands yet, so that there is no table, not even a partial one")
    table, out = tables.sensitivity(files), console()
    chosen = screen.chosen_of(table, stratum)
    missing = {name: one for name, one in found.items() if one.missing or one.open}
    if missing:
        out.print(f"[bold red]PARTIAL:[/] {len(missing)} of {len(found)} sources are not complete.")
    for name, one in missing.items():
        rest = f"; its rows are those of {one.rows.attributes['realisation_count']} realisations" if one.rows else ""
        more = ", and more may be decided on" if one.open else ""
        out.print(f"  {name}: {one.missing} of {one.spans} spans missing{more}{rest}")
    screen.show_rows(out, chosen, stratum, bool(missing))
    if CONTROL in files:
        screen.show_control(out, campaign, tables.control(files[CONTROL]), tables.strata(files[CONTROL]))
    screen.show_notes(out, {name: tables.counts(file) for name, file in files.items()}, chosen)
    screen.show_agreement(out, table)
    out.print("nothing was written: " + ("run snakemake again for the whole table" if missing else "no span is missing"))
