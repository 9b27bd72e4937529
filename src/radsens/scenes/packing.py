"""Numbers of a level-1 product as they are stored: integer counts with a scale, an offset and codes for what is missing.

    value = scale_factor × count + add_offset

One rule serves both directions, so that what is read and written back unchanged is the same count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from radsens.schema import Fault

UNWRITTEN = 9.969209968386869e36  # what netCDF gives for a real number that was never written (verified: NC_FILL_FLOAT)
CODES: dict[str, tuple[float, ...]] = {
    "int16": (32767, -32767),
    "uint16": (65535, 65534),
    "int8": (127, -127),
    "float32": (UNWRITTEN,),
    "float64": (UNWRITTEN,),
}
"""Counts that hold no value, by type: those of integers are two, which the attributes of a dataset do not all name
(verified: ICARE, page of the product POLDER3_L1_B-HDF)."""

FINEST, COARSEST = 1e-12, 1.0
"""Steps of one count that a radiance, an angle [deg] or a detector row can have (assumed: any other is a damaged header)."""

LARGEST = 1e3
"""Largest magnitude of an offset, beyond that of any angle [deg] or detector row (assumed)."""


@dataclass(frozen=True)
class Packing:
    """How the values of one dataset are stored.

    Attributes
    ----------
    kind : type of the counts
    scale, offset : of value = scale × count + offset [unit of the value]
    codes : counts that hold no value
    """

    kind: np.dtype
    scale: float
    offset: float
    codes: tuple[float, ...]

    def unpack(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values in float64, and where there is one; the other values are 0."""
        present = np.isfinite(counts) & ~np.isin(counts, np.array(self.codes, self.kind))
        return np.where(present, counts, 0) * self.scale + np.where(present, self.offset, 0.0), present

    def pack(self, values: np.ndarray) -> tuple[np.ndarray, int]:
        """Counts nearest to the values, and how many values were cut to the nearest count that stands for a value."""
        counts = (np.asarray(values, dtype=float) - self.offset) / self.scale
        if self.kind.kind == "f":
            return counts.astype(self.kind), 0
        low, high = self._limits()
        rounded = np.rint(counts)
        cut = np.clip(rounded, low, high)
        return cut.astype(self.kind), int(np.count_nonzero(cut != rounded))

    def _limits(self) -> tuple[int, int]:
        """Smallest and largest count that stands for a value: the codes lie at the ends of the type."""
        info = np.iinfo(self.kind)
        middle = (int(info.min) + int(info.max)) // 2
        low = max([int(info.min), *(int(c) + 1 for c in self.codes if c <= middle)])
        return low, min([int(info.max), *(int(c) - 1 for c in self.codes if c > middle)])


def packing(attributes: Mapping[str, Any], kind: np.dtype, where: str) -> Packing:
    """Packing of a dataset from its attributes `scale_factor`, `add_offset`, `_FillValue` and `missing_value`.

    Parameters
    ----------
    attributes : of the dataset
    kind : type of its counts
    where : the file and the dataset, for messages

    Raises
    ------
    Fault : a scale or an offset that is no number, or one that no radiance, angle or place can have
    """
    scale, offset = (_number(attributes, name, default, where) for name, default in (("scale_factor", 1.0), ("add_offset", 0.0)))
    if not FINEST <= scale <= COARSEST:
        raise Fault(f"{where}: its scale_factor is {scale:g}, which must lie between {FINEST:g} and {COARSEST:g}")
    if not abs(offset) <= LARGEST:
        raise Fault(f"{where}: its add_offset is {offset:g}, which must be at most {LARGEST:g} in magnitude")
    own = [float(c) for n in ("_FillValue", "missing_value") if n in attributes for c in _numbers(attributes[n], n, where)]
    if kind.kind in "iu":
        info = np.iinfo(kind)
        own = [c for c in own if info.min <= c <= info.max]
    return Packing(kind, scale, offset, tuple(sorted({*own, *map(float, CODES.get(kind.name, ()))})))


def _numbers(value: Any, name: str, where: str) -> np.ndarray:
    found = np.asarray(value).ravel()
    if found.dtype.kind not in "iuf":
        raise Fault(f"{where}: its {name} is {str(value)[:40]!r}, which must be a number")
    return found


def _number(attributes: Mapping[str, Any], name: str, default: float, where: str) -> float:
    if name not in attributes:
        return default
    found = _numbers(attributes[name], name, where)
    if found.size != 1:
        raise Fault(f"{where}: its {name} holds {found.size} numbers, which must be one")
    return float(found[0])
