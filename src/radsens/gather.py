"""All rows of a source from its chunks: each checked, concatenated in order, their histograms added."""

from pathlib import Path

import numpy as np

from radsens import io, provenance
from radsens.chunk import span_name, spans
from radsens.schema import Fault


def _checked(path: Path, key: str, span: range) -> io.File:
    """A chunk that is what it should be; a damaged one is set aside, so that the next run computes it again."""
    file = io.read_made(path)
    if file.attributes.get("key") != key:
        held = file.attributes.get("key")
        raise Fault(f"{path}: holds the key {held}, not {key} of its folder; take it away, and the next run makes it")
    if "realisation" not in file.variables or list(file["realisation"]) != list(span):
        raise io.set_aside(path, "holds other realisations than its name says")
    return file


def gather(folder: Path, realisations: int, span: int) -> io.File:
    """All rows of a source: chunks concatenated in order, their histograms added, each checked.

    Parameters
    ----------
    folder : of the chunks, named by their key
    realisations, span : how the campaign was cut
    """
    cuts = spans(realisations, span)
    chunks, faults = [], []
    for cut in cuts:
        try:
            chunks.append(_checked(folder / f"{span_name(cut)}.nc", folder.absolute().name, cut))
        except Fault as fault:
            faults.append(str(fault))
    if faults:
        raise Fault(faults[0] + (f" (and {len(faults) - 1} more)" if faults[1:] else ""))
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)  # of a job that was killed while it wrote; its chunk stands by now
    first = chunks[0]
    variables = {}
    for name, v in first.variables.items():
        values = [c[name] for c in chunks]
        if v.dimensions[0] == "realisation":
            variables[name] = io.Variable(v.dimensions, np.concatenate(values), v.attributes)
        elif name == "histogram":
            variables[name] = io.Variable(
                v.dimensions, np.asarray(np.sum(values, axis=0, dtype=np.int64)), {**v.attributes, "sparse": 1}
            )
        else:
            variables[name] = v
    kept = {k: first.attributes[k] for k in ("key", "scene_key", "task")}
    return io.File(variables, {**provenance.attributes(), **kept, "realisation_first": 0, "realisation_count": realisations})
