"""Level-1 products opened for writing: I, Q and U replaced sample by sample, all else left as it is.

HDF5 files that netCDF did not make need h5py, since netCDF-C refuses to write into them; netCDF files are written by netCDF,
which keeps its own books of dimensions.
"""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from netCDF4 import Dataset

from radsens.scenes.hdf5_product import Place, blocks
from radsens.scenes.packing import Packing, packing
from radsens.schema import Fault

GROUP = "radsens"
"""Group that says where the errors come from."""


GROWTH = 3
"""Space that a product may take while it is changed, over its size (assumed; 32-bit reals took 1.1 in files of tests) [1]."""


class Format(NamedTuple):
    """What differs between the formats of products.

    Attributes
    ----------
    opened : context of a file to write in
    unpack : make some datasets of a file 32-bit reals
    """

    opened: Callable[[Path], Any]
    unpack: Callable[[Path, Collection[str]], None]


def add(file: Any, name: str, place: Place, change: np.ndarray) -> int:
    """Add changes to some samples of a dataset; how many of the sums do not fit its packing, and were cut."""
    dataset = file[name]
    packed = packing(_attributes(dataset), np.dtype(dataset.dtype), name)
    counts = np.asarray(dataset[place.block])
    values, _ = packed.unpack(counts[place.inside])
    counts[place.inside], cut = packed.pack(values + change)
    dataset[place.block] = counts
    return cut


def sign(file: Any, line: str, about: dict[str, Any]) -> None:
    """Add a line to the history of a file, and the group that says where its errors come from."""
    if GROUP in (file if isinstance(file, h5py.File) else file.groups):
        raise Fault(f"scene.path: the product has a group {GROUP}: it is an export already; give the one that it was made from")
    own = _attributes(file)
    before = own.get("history", "")
    before = before.decode(errors="replace") if isinstance(before, bytes) else str(before)
    line = f"{before}\n{line}" if before else line
    if isinstance(file, h5py.File):
        file.attrs["history"] = line
        file.create_group(GROUP).attrs.update(about)
    else:
        file.setncattr("history", line)
        file.createGroup(GROUP).setncatts(about)


def _attributes(thing: Any) -> dict[str, Any]:
    return dict(thing.attrs) if hasattr(thing, "attrs") else {name: thing.getncattr(name) for name in thing.ncattrs()}


def reserve(path: Path) -> None:
    """Take space for a file to grow in, which HDF5 gives back when it closes the file.

    HDF5 kills the whole process where it finds no space for its own books, so that a full disk must be met before.
    """
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, GROWTH * path.stat().st_size)


@contextmanager
def _hdf5(path: Path) -> Iterator[Any]:
    reserve(path)
    with h5py.File(path, "r+") as file:
        yield file


@contextmanager
def _netcdf(path: Path) -> Iterator[Any]:
    with Dataset(path, "a") as file:
        file.set_auto_maskandscale(False)
        yield file


def _real(packed: Packing, counts: np.ndarray) -> np.ndarray:
    """Values as 32-bit reals; codes keep their numbers."""
    values, present = packed.unpack(counts)
    return np.where(present, values, counts).astype(np.float32)


def _real_attributes(packed: Packing, attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a dataset that is no longer packed; every code is named, since the type does not tell them."""
    kept = {name: value for name, value in attributes.items() if name not in ("_FillValue", "missing_value")}
    kept |= {name: np.float32(value) for name, value in (("scale_factor", 1), ("add_offset", 0)) if name in attributes}
    return kept | ({"missing_value": np.array(packed.codes, np.float32)} if packed.codes else {})


def _fill(attributes: dict[str, Any]) -> np.float32 | None:
    return np.float32(np.asarray(attributes["_FillValue"]).ravel()[0]) if "_FillValue" in attributes else None


def _unpack_hdf5(path: Path, names: Collection[str]) -> None:
    """Each dataset is made anew beside the old one, in its place, chunks and compression."""
    with _hdf5(path) as file:
        for name in names:
            old = file[name]
            attributes = dict(old.attrs)
            packed, fill = packing(attributes, old.dtype, name), _fill(attributes)
            how = {"chunks": old.chunks, "compression": old.compression, "compression_opts": old.compression_opts}
            new = file.create_dataset(f"{name}.float32", old.shape, np.float32, shuffle=old.shuffle, fillvalue=fill, **how)
            for rows in blocks(0, old.shape[0], int(np.prod(old.shape[1:]))):
                new[rows] = _real(packed, old[rows])
            new.attrs.update(_real_attributes(packed, attributes) | ({} if fill is None else {"_FillValue": fill}))
            del file[name]
            file.move(f"{name}.float32", name)


def _unpack_netcdf(path: Path, names: Collection[str]) -> None:
    """The file is written anew, since netCDF changes no type in place."""
    part = path.with_name(f"{path.name}.float32")
    try:
        with Dataset(path) as old, Dataset(part, "w") as new:
            old.set_auto_maskandscale(False)
            _copy_group(old, new, "", names)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _copy_group(old: Any, new: Any, where: str, names: Collection[str]) -> None:
    """A group with all that is in it."""
    new.setncatts(_attributes(old))
    for name, axis in old.dimensions.items():
        new.createDimension(name, None if axis.isunlimited() else axis.size)
    for name, variable in old.variables.items():
        _copy_variable(variable, new, name, where + name in names)
    for name, group in old.groups.items():
        _copy_group(group, new.createGroup(name), f"{where}{name}/", names)


def _copy_variable(old: Any, group: Any, name: str, real: bool) -> None:
    attributes, filters, chunks = _attributes(old), old.filters() or {}, old.chunking()
    kind = np.float32 if real else old.dtype
    fill = _fill(attributes) if real else attributes.get("_FillValue")
    how: dict[str, Any] = {n: filters[n] for n in ("shuffle", "complevel", "fletcher32") if n in filters}
    how |= {"zlib": filters.get("zlib", False), "chunksizes": None if chunks == "contiguous" else chunks}
    new = group.createVariable(name, kind, old.dimensions, fill_value=fill, **how)
    new.set_auto_maskandscale(False)
    packed = packing(attributes, old.dtype, name) if real else None
    if packed:
        attributes = _real_attributes(packed, attributes)
    new.setncatts({n: value for n, value in attributes.items() if n != "_FillValue"})
    for part in blocks(0, old.shape[0], int(np.prod(old.shape[1:]))) if old.shape else (...,):
        new[part] = _real(packed, old[part]) if packed else old[part]


FORMATS = {"parasol_l1b": Format(_hdf5, _unpack_hdf5), "l1c_3mi": Format(_netcdf, _unpack_netcdf)}
"""The kinds of scene that are products."""
