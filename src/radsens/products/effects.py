"""The effects table: what each error source is, in the columns of the FIDUCEO effects tables."""

from typing import Any

from pydantic import BaseModel

from radsens.products.grid import console, grid
from radsens.sources import SOURCES

COLUMNS = ("name", "symbol", "affected term", "amplitude", "unit", "distribution", "correlation", "reference")


def effects() -> list[dict[str, str]]:
    """One row per error source."""
    found = []
    for source in SOURCES.values():
        values = (
            source.name,
            source.symbol,
            source.term,
            source.Amplitudes.size(),
            source.unit,
            source.distribution,
            source.correlated,
            source.reference,
        )
        found.append(dict(zip(COLUMNS, values, strict=True)))
    return found


def _shown(default: Any) -> str:
    """A default as one would write it in YAML."""
    if isinstance(default, BaseModel):
        return "see below"
    return {"None": "none", "True": "true", "False": "false"}.get(str(default), str(default))


def knobs(model: Any, prefix: str = "") -> list[tuple[str, str, str]]:
    """Name, default and description of the knobs of a typed record."""
    found = []
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        found.append((prefix + name, default, field.description or ""))
    return found


def show_effects() -> None:
    """Print the effects table, and the knobs of each source."""
    out = console()
    out.print(grid("error sources", COLUMNS, [list(row.values()) for row in effects()], left=len(COLUMNS)))
    for source in SOURCES.values():
        out.print(grid(f"\n{source.name}", ("knob", "default", "meaning"), knobs(source.Amplitudes), left=3))
