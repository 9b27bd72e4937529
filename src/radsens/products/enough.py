"""Decide how many realisations a source takes, from the gathered rows of its first stage."""

from pathlib import Path
from typing import Any

from radsens import gather, record, stopping
from radsens.products import tables
from radsens.schema import Fault, validated


def write(chunks: Path, settings: dict[str, Any], output: Path, key: str | None = None) -> stopping.Decision:
    """Decide on the source of a folder of chunks, which is named by their key, and write the decision.

    Parameters
    ----------
    settings : the fields of `stopping.Stages`
    key : that the decision must have

    Raises
    ------
    Fault : a chunk of the first stage that is missing or damaged, a stratum that the rows have not, or another key
    """
    stages: stopping.Stages = validated(stopping.Stages, settings)
    found = stopping.key(chunks.absolute().name, stages)
    if key not in (None, found):
        raise Fault(f"key: {key} was planned, but the code and the settings here give {found}; plan the workflow again")
    file, source = gather.gather(chunks, stages.first, stages.span), chunks.absolute().parent.name
    known = list(map(str, file["stratum"]))
    if missing := [name for name in stages.stop_at.strata if name not in known]:
        raise Fault(f"stop_at.strata: there is no stratum {missing[0]!r} in the rows; they have {', '.join(known)}")
    decision = stopping.decide(found, source, stages, stopping.cells(stages.stop_at, tables.rows_of(source, file)))
    try:
        record.write(output, decision.model_dump(mode="json"))
    except OSError as error:
        raise Fault(f"{output}: cannot be written ({error.strerror}); look at the space and the rights there") from error
    return decision
