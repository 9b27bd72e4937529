"""All rows of a source from its chunks: each checked, concatenated in order, their histograms added."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from radsens import io, provenance, work
from radsens.chunk import ROW, span_name, spans
from radsens.gaps.statistics import LOG_BITS, LOG_HALF, LOG_LOWEST, TOTAL_BINS
from radsens.schema import Fault


def _holds(file: io.File, span: range) -> bool:
    """Whether a chunk is that of a span."""
    return "realisation" in file.variables and np.array_equal(file["realisation"], span)


def _checked(path: Path, key: str, span: range) -> io.File:
    """A chunk that is what it should be; a damaged one is set aside, so that the next run computes it again."""
    file = io.read_made(path)
    if file.attributes.get("key") != key:
        held = file.attributes.get("key")
        raise Fault(f"{path}: holds the key {held}, not {key} of its folder; take it away, and the next run makes it")
    if not _holds(file, span):
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
    _sweep(folder, cuts)
    return joined(chunks)


def joined(chunks: Sequence[io.File]) -> io.File:
    """Rows of the chunks of one source, in their order, which may leave spans out.

    Raises
    ------
    Fault : they were not all computed on the same bits of the scene
    """
    _refuse_two_scenes(chunks)
    first = chunks[0]
    variables = {}
    for name, v in first.variables.items():
        if v.dimensions[0] == "realisation":
            variables[name] = io.Variable(v.dimensions, np.concatenate([c[name] for c in chunks]), v.attributes)
        elif v.dimensions[0] != "filled":
            variables[name] = v
    variables["histogram"] = _added(chunks)
    kept = {k: first.attributes[k] for k in ("key", "scene_key", "scene_sha256", "task")}
    numbers = variables["realisation"].values
    about = {"realisation_first": int(numbers[0]), "realisation_count": len(numbers)}
    return io.File(variables, {**provenance.attributes(), **kept, **about})


def _added(chunks: Sequence[io.File]) -> io.Variable:
    """Sum of the histograms of some chunks, of which each holds the bins that are not empty."""
    added = np.zeros((*(chunks[0][axis].size for axis in ROW[1:]), TOTAL_BINS), np.int64)
    row = added.reshape(-1)
    for one in chunks:
        row[one["histogram_bin"]] += one["histogram_count"].astype(np.int64)  # no bin of a chunk is named twice
    bins = f"counts of gaps by sign, power of two from {LOG_LOWEST} and {1 << LOG_BITS} steps in it; bin {LOG_HALF} begins at 0"
    return io.Variable((*ROW[1:], "bin"), added, {"units": "1", "long_name": bins, "sparse": 1})


def _refuse_two_scenes(chunks: Sequence[io.File]) -> None:
    """Refuse chunks of two renderings of one scene, whose last bits can differ between processors: they are not one sample.

    The youngest chunk tells which scene stands.
    """
    youngest = max(chunks, key=lambda chunk: chunk.attributes["date_created"])
    stands = youngest.attributes["scene_sha256"]
    others = [_span(chunk) for chunk in chunks if chunk.attributes["scene_sha256"] != stands]
    if others:
        more = f" (and {len(others) - 1} more)" if others[1:] else ""
        raise Fault(
            f"key {youngest.attributes['key']}: the chunk {others[0]}{more} was computed on other bits of the scene than "
            f"{_span(youngest)}, since the scene was rendered again elsewhere; take it away, and the next run makes it again"
        )


def _span(chunk: io.File) -> str:
    """Name of the span of a chunk."""
    first = int(chunk.attributes["realisation_first"])
    return span_name(range(first, first + int(chunk.attributes["realisation_count"])))


def standing(folder: Path, realisations: int, span: int) -> list[io.File]:
    """The chunks of one source that stand and are good; nothing is set aside. The arguments are those of `gather`."""
    found = []
    for cut in spans(realisations, span):
        with suppress(Fault):
            file = io.read(folder / f"{span_name(cut)}.nc")
            if file.attributes.get("key") == folder.absolute().name and _holds(file, cut):
                found.append(file)
    return found


def _sweep(folder: Path, cuts: Iterable[range]) -> None:
    """Take away what killed jobs left: of each chunk that stands, what was half written, and its work."""
    for left in (*folder.glob(".*.part"), *(work.beside(folder / f"{span_name(cut)}.nc") for cut in cuts)):
        left.unlink(missing_ok=True)
