"""NetCDF in and out, the only place that knows the files of results: whole or not at all, checked by their digest."""

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from netCDF4 import Dataset

from radsens.schema import Fault

CONVENTIONS = "CF-1.11"
DIGEST = "results_sha256"  # of a file
VALUES = "sha256"  # of one variable
SLAB = 1 << 16  # values of the last axis that are read at a time


@dataclass(frozen=True)
class Variable:
    """Named axes, values and CF attributes of one variable."""

    dimensions: tuple[str, ...]
    values: np.ndarray
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class File:
    """Content of a file of results."""

    variables: dict[str, Variable]
    attributes: dict[str, Any]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.variables[name].values


def results_sha256(variables: Mapping[str, Variable]) -> str:
    """Digest of the data: names, axes, types and values; not of the attributes, where hosts, dates and seconds are."""
    return _whole({name: _head(v.dimensions, _kind(v.values.dtype), v.values) for name, v in variables.items()})


class Head(NamedTuple):
    """What is told of a variable by the digest of its file: axes, sizes, type and digest of the values."""

    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    kind: str
    digest: str


def _kind(dtype: Any) -> str:
    """Name of a type in the digest of a file."""
    return "str" if dtype is str or dtype.kind in "OUS" else dtype.str


def _head(dimensions: tuple[str, ...], kind: str, values: np.ndarray) -> Head:
    text = "\n".join(map(str, values.ravel())).encode() if kind == "str" else np.ascontiguousarray(values).ravel().data
    return Head(dimensions, values.shape, kind, sha256(text).hexdigest())


def _whole(heads: Mapping[str, Head]) -> str:
    """Digest of a file: of the names of its variables and their heads, so that it can be told without all data at hand."""
    return sha256("".join(f"{name} {tuple(heads[name])}\n" for name in sorted(heads)).encode()).hexdigest()


def write(path: str | Path, file: File) -> None:
    """Write a file whole or not at all; the arguments are as of `stream`."""
    stream(path, file.variables.items(), file.attributes)


def stream(path: str | Path, variables: Iterable[tuple[str, Variable]], attributes: Mapping[str, Any]) -> None:
    """Write variables one after the other, each made when it is asked for: under another name first, then renamed.

    The file is written whole or not at all. A variable whose attributes hold ``sparse`` is compressed; the others are not,
    since packing costs more than it saves.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.part")
    heads: dict[str, Head] = {}
    try:
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            dataset = Dataset(part, "w", format="NETCDF4")
        try:
            for name, variable in variables:  # what fails while they are made is no failure of writing
                with _writing(path):
                    heads[name] = _put(dataset, name, variable)
                del variable  # before the next is made
            with _writing(path):
                dataset.setncatts({"Conventions": CONVENTIONS, **attributes, DIGEST: _whole(heads)})
        finally:
            with _writing(path):
                dataset.close()
        with _writing(path):
            os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise Fault(
            f"{path}: cannot be written ({_words(error)}); nothing was kept; look at the space, the quota and the rights there"
        ) from error


def _put(dataset: Dataset, name: str, v: Variable) -> Head:
    """Write one variable with the digest of its values, which is part of its head."""
    for axis, size in zip(v.dimensions, v.values.shape, strict=True):
        if axis not in dataset.dimensions:
            dataset.createDimension(axis, size)
    head = _head(v.dimensions, _kind(v.values.dtype), v.values)
    kind: Any = str if head.kind == "str" else v.values.dtype
    sparse: dict[str, Any] = {"zlib": True, "complevel": 1, "shuffle": True} if v.attributes.get("sparse") else {}
    variable = dataset.createVariable(name, kind, v.dimensions, fill_value=False, **sparse)
    variable.setncatts({**{k: a for k, a in v.attributes.items() if k != "sparse"}, VALUES: head.digest})
    variable[...] = v.values.astype(object) if kind is str else v.values
    return head


def read(path: str | Path, wanted: Callable[[str], bool] = lambda name: True) -> File:
    """Content of a file of results: the variables whose names are wanted, which alone are read and checked.

    Raises
    ------
    Fault : the file is missing, not netCDF, truncated, or its data are not those that were written
    """
    path = Path(path)
    if not path.is_file():
        raise Fault(f"{path}: there is no such file")
    try:
        with Dataset(path) as dataset:
            dataset.set_auto_maskandscale(False)  # what is written here is neither masked nor scaled
            attributes = {k: dataset.getncattr(k) for k in dataset.ncattrs()}
            about = {n: {k: v.getncattr(k) for k in v.ncattrs()} for n, v in dataset.variables.items()}
            heads = {
                n: Head(v.dimensions, v.shape, _kind(v.dtype), str(about[n].pop(VALUES, "")))
                for n, v in dataset.variables.items()
            }
            values = {n: _values(v) for n, v in dataset.variables.items() if wanted(n)}
    except (OSError, RuntimeError, ValueError, AttributeError, UnicodeDecodeError) as error:
        raise Fault(f"{path}: not a readable netCDF file ({_words(error)})") from error
    if DIGEST not in attributes:
        raise Fault(f"{path}: not a file that radsens wrote (it has no {DIGEST})")
    found = {n: _head(heads[n].dimensions, heads[n].kind, v) for n, v in values.items()}
    if attributes[DIGEST] != _whole(heads | found):
        raise Fault(f"{path}: damaged: its data do not have the digest that was written with them")
    return File({n: Variable(heads[n].dimensions, v, about[n]) for n, v in values.items()}, attributes)


def _values(variable: Any) -> np.ndarray:
    """Values of a variable; some at a time if they are many, since the library holds those of one reading twice."""
    size = variable.shape[-1] if variable.shape else 0
    if size <= SLAB or variable.chunking() != "contiguous":
        return np.asarray(variable[...])
    found = np.empty(variable.shape, variable.dtype)
    for first in range(0, size, SLAB):
        found[..., first : first + SLAB] = variable[..., first : first + SLAB]
    return found


def slices(path: str | Path, names: Sequence[str], size: int) -> Iterator[dict[str, np.ndarray]]:
    """Values of some variables of a file, so many of their last axis at a time; at least one piece.

    They are those of a file that `read` has found whole, and are not checked again.
    """
    try:
        with Dataset(path) as dataset:
            dataset.set_auto_mask(False)
            for first in range(0, max(dataset[names[0]].shape[-1], 1), size):
                yield {name: np.asarray(dataset[name][..., first : first + size]) for name in names}
    except (OSError, RuntimeError) as error:
        raise Fault(f"{path}: cannot be read any more ({_words(error)})") from error


def set_aside(path: Path, why: str) -> Fault:
    """Rename a file that the workflow made and that is not what it should be; the fault to raise."""
    path.replace(path.with_name(path.name + ".corrupt"))
    return Fault(f"{path}: {why}; it was set aside as {path.name}.corrupt, and the next run makes it again")


def read_made(path: Path) -> File:
    """Content of a file that the workflow made and can make again: a damaged one is set aside.

    One that the system could not open (rights, too many files, a stale handle) is not damaged, and stays.
    """
    try:
        return read(path)
    except Fault as fault:
        system = isinstance(fault.__cause__, OSError) and (fault.__cause__.errno or 0) > 0  # netCDF's own are negative
        if system or not path.is_file():
            raise
        raise set_aside(path, str(fault).removeprefix(f"{path}: ")) from fault


def _words(error: BaseException) -> str:
    """What the library says, on one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())
