"""Spatial structure fixed to the ground: random fields of a power spectrum, and the part of each pixel that they cover.

References
----------
Davis, A., Marshak, A., Wiscombe, W. and Cahalan, R. (1996), J. Atmos. Sci. 53, 1538: clouds have spectra of about k^-5/3.
"""

from dataclasses import dataclass

import numpy as np

from radsens.random import field

SIZE = 2048  # points of a side; a field repeats itself beyond


@dataclass(frozen=True)
class Texture:
    """A periodic random field of mean 0 and variance 1.

    Attributes
    ----------
    values : (SIZE, SIZE) float32
    spacing : of its points [km]
    """

    values: np.ndarray
    spacing: float

    def at(self, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Values at places on the ground (...) [km], linear between the points; NaN at a place that is none."""
        known = np.isfinite(along) & np.isfinite(across)
        a, b = (np.where(known, place, 0.0) / self.spacing for place in (along, across))
        i, j = np.floor(a).astype(np.int64), np.floor(b).astype(np.int64)
        wa, wb = (a - i).astype(np.float32), (b - j).astype(np.float32)
        i, j = i % SIZE, j % SIZE
        k, l = (i + 1) % SIZE, (j + 1) % SIZE
        v = self.values
        value = (1 - wa) * ((1 - wb) * v[i, j] + wb * v[i, l]) + wa * ((1 - wb) * v[k, j] + wb * v[k, l])
        return np.where(known, value, np.nan)

    def level(self, cover: float) -> float:
        """Level above which the field is in a part `cover` of the area (0 to 1)."""
        return float(np.quantile(self.values, 1 - cover))


def texture(seed: int, name: str, spacing: float, outer_scale: float, slope: float) -> Texture:
    """Random field whose two-dimensional spectrum is (k₀² + k²)^(−slope/2), k₀ = 2π / outer_scale.

    A slope of 8/3 in two dimensions is 5/3 along any line (Davis et al. 1996).

    Parameters
    ----------
    seed, name : address of its random numbers
    spacing : of its points [km]
    outer_scale : beyond which there is no correlation [km]
    slope : of the spectrum, > 2 [1]
    """
    white = field(seed, name, "structure", 0, np.arange(SIZE * SIZE // 2))[:2].reshape(SIZE, SIZE)
    k = 2 * np.pi * np.fft.fftfreq(SIZE, spacing), 2 * np.pi * np.fft.rfftfreq(SIZE, spacing)
    power = ((2 * np.pi / outer_scale) ** 2 + k[0][:, None] ** 2 + k[1] ** 2) ** (-slope / 2)
    power[0, 0] = 0
    values = np.fft.irfft2(np.fft.rfft2(white) * np.sqrt(power).astype(np.float32), s=white.shape)
    return Texture((values / values.std()).astype(np.float32), spacing)


def cover(values: np.ndarray, level: float, edge: float) -> np.ndarray:
    """Cover from 0 to 1 of a field above a level, rising over `edge` standard deviations of the field around it."""
    if edge == 0:
        return (values > level).astype(float)
    return np.clip((values - level) / edge + 0.5, 0, 1)


def finer(values: np.ndarray, times: int) -> np.ndarray:
    """An image (row, column) on `times` as many rows and columns, linear between the centres of its pixels."""
    for _ in range(2):
        place = (np.arange(values.shape[0] * times) + 0.5) / times - 0.5
        first = np.clip(np.floor(place).astype(int), 0, max(values.shape[0] - 2, 0))
        second, weight = np.minimum(first + 1, values.shape[0] - 1), (place - first)[:, None]
        values = (values[first] * (1 - weight) + values[second] * weight).T
    return values


def blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    """An image (row, column) under a Gaussian point-spread function of `sigma` rows and columns, its border repeated."""
    if sigma == 0:
        return values
    reach = int(np.ceil(3.5 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    for _ in range(2):
        wide = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
        values = sum(w * wide[k : k + values.shape[0]] for k, w in enumerate(weights)).T
    return values


def binned(values: np.ndarray, times: int) -> np.ndarray:
    """An image (row, column) averaged over blocks of `times` rows and columns."""
    rows, columns = values.shape[0] // times, values.shape[1] // times
    return values.reshape(rows, times, columns, times).mean((1, 3))
