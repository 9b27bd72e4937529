"""Put the last measurement into docs/performance.md: `python -m benchmarks.page`, after `make bench`."""

import json
from pathlib import Path
from typing import Any

from benchmarks.__main__ import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- measured: python -m benchmarks.page -->\n", "<!-- end of what was measured -->\n"


def table(record: dict[str, Any]) -> str:
    """Rows of a record in Markdown, the gated ones first; then the ceilings, and with what all was measured."""
    lines = ["| target | measured | wanted | | made of |", "| --- | ---: | ---: | --- | --- |"]
    for gated in (True, False):
        for row in (row for row in record["rows"] if row["gated"] == gated):
            measured = "" if row["measured"] is None else f"{row['measured']:.3g} {row['unit']}"
            verdict = row["verdict"] if gated else f"({row['verdict']})"
            lines.append(
                f"| {row['name']} | {measured} | {row['sense']} {row['wanted']:g} {row['unit']} | {verdict} | {row['note']} |"
            )
    about = record["about"]
    used = ", ".join(f"{name} {about[name]}" for name in ("python", "numpy", "numba", "punpy") if name in about)
    return "\n".join(
        [*lines, "", "```text", *record["ceilings"], "```", "", f"{about['time'][:10]}, {about['machine']}, {used}.", ""]
    )


def renewed(page: str, record: dict[str, Any]) -> str:
    """The page with the record between its two marks."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + table(record) + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    measured = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), measured), encoding="utf-8")
