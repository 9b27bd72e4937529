"""NetCDF in and out, the only place that knows the files of results: whole or not at all, checked by their digest."""

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from netCDF4 import Dataset

from radsens.schema import Fault

CONVENTIONS = "CF-1.11"
DIGEST = "results_sha256"


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
    h = sha256()
    for name in sorted(variables):
        v = variables[name]
        text = v.values.dtype.kind in "OUS"
        h.update(f"{name} {v.dimensions} {v.values.shape} {'str' if text else v.values.dtype.str}\n".encode())
        h.update("\n".join(map(str, v.values.ravel())).encode() if text else np.ascontiguousarray(v.values).tobytes())
    return h.hexdigest()


def _fill(dataset: Dataset, file: File) -> None:
    for name, v in file.variables.items():
        for axis, size in zip(v.dimensions, v.values.shape, strict=True):
            if axis not in dataset.dimensions:
                dataset.createDimension(axis, size)
        kind: Any = str if v.values.dtype.kind in "OU" else v.values.dtype
        sparse: dict[str, Any] = {"zlib": True, "complevel": 1, "shuffle": True} if v.attributes.get("sparse") else {}
        variable = dataset.createVariable(name, kind, v.dimensions, fill_value=False, **sparse)
        variable.setncatts({k: a for k, a in v.attributes.items() if k != "sparse"})
        variable[...] = v.values.astype(object) if kind is str else v.values


def write(path: str | Path, file: File) -> None:
    """Write a file whole or not at all: under another name first, then renamed.

    A variable whose attributes hold ``sparse`` is compressed; the others are not, since packing costs more than it saves.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.part")
    attributes = {"Conventions": CONVENTIONS, **file.attributes, DIGEST: results_sha256(file.variables)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with Dataset(part, "w", format="NETCDF4") as dataset:
            dataset.setncatts(attributes)
            _fill(dataset, file)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        raise Fault(
            f"{path}: cannot be written ({_words(error)}); nothing was kept; look at the space, the quota and the rights there"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def read(path: str | Path) -> File:
    """Content of a file of results.

    Raises
    ------
    Fault : the file is missing, not netCDF, truncated, or its data are not those that were written
    """
    path = Path(path)
    if not path.is_file():
        raise Fault(f"{path}: there is no such file")
    try:
        with Dataset(path) as dataset:
            dataset.set_auto_mask(False)
            attributes = {k: dataset.getncattr(k) for k in dataset.ncattrs()}
            variables = {
                n: Variable(v.dimensions, np.asarray(v[...]), {k: v.getncattr(k) for k in v.ncattrs()})
                for n, v in dataset.variables.items()
            }
    except (OSError, RuntimeError, ValueError, AttributeError, UnicodeDecodeError) as error:
        raise Fault(f"{path}: not a readable netCDF file ({_words(error)})") from error
    if DIGEST not in attributes:
        raise Fault(f"{path}: not a file that radsens wrote (it has no {DIGEST})")
    if attributes[DIGEST] != results_sha256(variables):
        raise Fault(f"{path}: damaged: its data do not have the digest that was written with them")
    return File(variables, attributes)


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
