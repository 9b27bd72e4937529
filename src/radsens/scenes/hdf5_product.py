"""Level-1 products in HDF5, netCDF-4 files among them: datasets checked against their layout and read by blocks.

Nothing is allocated on the word of a header: sizes are held against the largest of the layout first, a dataset that was
declared and never written is refused, and a block is the most that is read at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from radsens.scenes.packing import Packing, packing
from radsens.schema import Fault

BLOCK = 2_000_000
"""Counts of one dataset that are read at once, 16 MB as float64 [1]."""


@dataclass(frozen=True)
class Layout:
    """What all products of one kind have in common.

    Attributes
    ----------
    title : what they are called in messages
    axes : names of the axes of their radiances
    largest : sizes of these axes that none exceeds
    """

    title: str
    axes: tuple[str, ...]
    largest: tuple[int, ...]


class Place(NamedTuple):
    """Where some samples of a scene stand in the datasets of one block of a product.

    Attributes
    ----------
    group : that holds the datasets, with its last /, or nothing
    block : index of the block in a dataset
    samples : which samples of the scene
    inside : index of these samples in the block
    """

    group: str
    block: tuple[Any, ...]
    samples: slice
    inside: tuple[np.ndarray, ...]


class Product(NamedTuple):
    """An open file and what it should be."""

    file: Any
    layout: Layout

    def __contains__(self, name: object) -> bool:
        return name in self.file


@dataclass(frozen=True)
class Field:
    """One dataset of a product.

    Attributes
    ----------
    dataset : of h5py
    packing : how its values are stored
    """

    dataset: Any
    packing: Packing

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of its axes."""
        return tuple(self.dataset.shape)

    def values(self, *index: Any) -> tuple[np.ndarray, np.ndarray]:
        """Values of a part in float64, and where there is one; the index has one entry for each axis, or more."""
        return self.packing.unpack(np.asarray(self.dataset[index[: self.dataset.ndim]]))


@contextmanager
def opened(path: Path, layout: Layout) -> Iterator[Product]:
    """A product, whose faults are told in one sentence: missing, not HDF5, truncated, damaged inside."""
    import h5py

    try:
        if not path.is_file():
            raise Fault(f"{path}: there is no such file; give the path of {layout.title}")
        with h5py.File(path, "r") as file:
            yield Product(file, layout)
    except (OSError, RuntimeError) as error:
        raise Fault(f"{path}: cannot be read as {layout.title} ({' '.join(str(error).split())[:160]})") from error


def field(product: Product, name: str, kinds: tuple[str, ...], shape: tuple[int, ...] | None = None) -> Field:
    """One dataset, checked against what the layout says of it before anything is read.

    Parameters
    ----------
    product : open
    name : groups and dataset
    kinds : types that it may have
    shape : that it must have; if not given, any that a radiance of the layout can have

    Raises
    ------
    Fault : it is missing, no dataset, of another type or shape, too large, or was declared but never written
    """
    import h5py

    layout, where = product.layout, f"{product.file.filename}: {name}"
    found = product.file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise Fault(f"{where} is missing or damaged; {layout.title} has it")
    kind, attributes = _header(found, where)
    if kind.name not in kinds:
        raise Fault(f"{where} holds {kind.name}, which must be {' or '.join(kinds)}")
    axes = ", ".join(layout.axes)
    if shape is not None and found.shape != shape:
        raise Fault(f"{where} has the shape {times(found.shape)}, which must be {times(shape)}, from ({axes})")
    over = any(n > most for n, most in zip(found.shape, layout.largest, strict=False))
    if over or (shape is None and found.ndim != len(layout.largest)):
        raise Fault(f"{where} has the shape {times(found.shape)}; ({axes}) are at most {times(layout.largest)}")
    if found.size == 0 or found.id.get_storage_size() == 0:
        raise Fault(f"{where} is declared with the shape {times(found.shape)}, but nothing was written into it")
    return Field(found, packing(attributes, kind, where))


def _header(dataset: Any, where: str) -> tuple[np.dtype, dict[str, Any]]:
    """Type and attributes of a dataset, which numpy may have no words for when they are damaged."""
    try:
        return dataset.dtype, dict(dataset.attrs)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise Fault(f"{where} has a damaged header ({' '.join(str(error).split())[:160]})") from error


def blocks(first: int, stop: int, width: int) -> Iterator[slice]:
    """Parts of the first axis, of at most `BLOCK` counts where one step of that axis holds `width`."""
    height = max(1, BLOCK // width)
    for start in range(first, stop, height):
        yield slice(start, min(start + height, stop))


def times(shape: tuple[int, ...]) -> str:
    """A shape in words."""
    return " × ".join(map(str, shape)) or "of a single number"
