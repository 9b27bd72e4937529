"""What was wanted, what was measured, and whether it was reached."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Verdict = Literal["PASS", "short", "absent"]


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes
    ----------
    name : what is measured
    measured : the figure; None if it could not be measured
    sense, wanted : how it must compare, and with what
    unit : of both
    gated : whether the exit code depends on it
    note : what the figure is made of, or why there is none
    """

    name: str
    measured: float | None
    sense: Literal["≥", "≤"]
    wanted: float
    unit: str = "×"
    gated: bool = True
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """Whether the target is reached; a figure that is not a number reaches none."""
        if self.measured is None:
            return "absent"
        reached = self.measured >= self.wanted if self.sense == "≥" else self.measured <= self.wanted
        return "PASS" if reached else "short"


def passed(rows: list[Row], wrong: list[str]) -> bool:
    """Whether each gated target is reached by codes that do the same job; `wrong` says which do not."""
    return not wrong and all(row.verdict == "PASS" for row in rows if row.gated)


def show(rows: list[Row], lines: list[str], wrong: list[str], console: Console) -> None:
    """Print the gated targets, then the others, then what is only told."""
    table = Table(title="Ratios of processor times, one thread, measured in this run")
    for head, justify in (("target", "left"), ("measured", "right"), ("wanted", "right"), ("", "left"), ("made of", "left")):
        table.add_column(head, justify=justify, overflow="fold")
    for gated in (True, False):
        for row in (row for row in rows if row.gated == gated):
            measured = "" if row.measured is None else f"{row.measured:.3g} {row.unit}"
            verdict = row.verdict if gated else f"({row.verdict})"
            style = "red" if gated and row.verdict != "PASS" else None
            table.add_row(row.name, measured, f"{row.sense} {row.wanted:g} {row.unit}", verdict, escape(row.note), style=style)
        table.add_section()
    console.print(table)
    console.print("Verdicts in brackets are not gated: machines are shared.")
    for line in lines:
        console.print(line, highlight=False, markup=False)
    for what in wrong:
        console.print(f"Two codes do not do the same job: {what}", style="red", markup=False)


def record(rows: list[Row], wrong: list[str], **more: Any) -> dict[str, Any]:
    """All of it, for JSON."""
    return {"passed": passed(rows, wrong), "disagreements": wrong, "rows": [row_record(row) for row in rows], **more}


def row_record(row: Row) -> dict[str, Any]:
    """A row with its verdict."""
    return {**asdict(row), "verdict": row.verdict}
