"""What an error source is: one row of the effects table, and what a draw of it does to the model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field

from radsens import elementary, random, sobol
from radsens.schema import Frozen

Distribution = Literal["normal", "uniform"]
Direction = Literal["knowledge", "instrument"]
Sampling = Literal["random", "sobol"]

DISTRIBUTION: Any = Field("normal", description="law of the draws: normal, or uniform with the same standard deviation")


def correlation(description: str) -> Any:
    """The knob of a correlation, with what it is common to."""
    return Field(0.0, ge=0, le=1, description=f"correlation {description} [1]")


class Amplitudes(Frozen):
    """Knobs of an error source; the first one is *the* amplitude."""

    @classmethod
    def size(cls) -> str:
        """Name of the first knob."""
        return next(iter(cls.model_fields))

    @property
    def amplitude(self) -> float | None:
        """Reported amplitude, in the unit of the source; None where the error has no size."""
        return getattr(self, self.size())

    def scaled(self, k: float) -> Self:
        """The same knobs with an amplitude k times as large."""
        return self.model_validate({**self.model_dump(exclude_defaults=True), self.size(): k * getattr(self, self.size())})

    @property
    def error_in(self) -> Direction | None:
        """Which model is wrong, where that is not the campaign's choice."""
        return None

    @property
    def random(self) -> bool:
        """Whether one realisation differs from another."""
        return True


@dataclass(frozen=True)
class ErrorSource:
    """One row of the effects table.

    Attributes
    ----------
    name : config key, wildcard and row of the sensitivity table
    symbol : what tables and figures print
    term : affected term of the measurement equation
    model : measurement model it belongs to
    Amplitudes : its typed knobs
    unit : of the reported amplitude
    modify : (irm, amplitudes, z) -> irm; z holds standard normal draws, (realisation, draws)
    draws : number of draws of one realisation
    distribution, correlated : of the error, in words, for the effects table
    reference : where the effect is described
    polarised : whether it acts on polarisers, and gives no row in an unpolarised band
    place : what a draw is common to: one band, or all bands of a detector
    slot : first of its dimensions in the Sobol points, `draws` of them, which no other source ever has. It stands in the file
        of the source, which the key of its results follows: no other source moves it, nor the order of the registry
    """

    name: str
    symbol: str
    term: str
    model: str
    Amplitudes: type[Any]
    unit: str
    modify: Callable
    draws: int
    distribution: str
    correlated: str
    reference: str
    polarised: bool = False
    place: Literal["band", "detector"] = "band"
    slot: int = 0


def normals(source: ErrorSource, sampling: Sampling, seed: int, place: str, realisations: range) -> np.ndarray:
    """Standard normal draws of a source in a place, a band or a detector: (realisation, draws) float64."""
    if sampling == "sobol":
        return sobol.draws(seed, source.name, place, realisations, range(source.slot, source.slot + source.draws))
    return random.draws(seed, source.name, place, realisations, source.draws)


def distributed(z: np.ndarray, distribution: Distribution) -> np.ndarray:
    """Draws of unit variance from standard normal ones: themselves, or uniform on ±√3 through their Φ."""
    return z if distribution == "normal" else np.sqrt(3) * (2 * elementary.ndtr(z) - 1)


def correlated(z: np.ndarray, rho: float, distribution: Distribution = "normal") -> np.ndarray:
    """Draws of unit variance with equal correlations, from one standard normal each and a common one (the last).

    Normal: √(1−ρ) z_a + √ρ z_c. Uniform on ±√3: Φ of normals with ρ_g = 2 sin(πρ/6), the Gaussian copula whose uniforms
    have the correlation ρ (Pearson 1907; Kruskal 1958, JASA 53, 814); √ρ u_c + √(1−ρ) u_a would not be uniform.

    Parameters
    ----------
    z : (..., n + 1) standard normal draws
    rho : correlation between any two of the n results

    Returns
    -------
    (..., n)
    """
    inner = rho if distribution == "normal" else 2 * elementary.sin(np.pi * rho / 6)
    return distributed(np.sqrt(1 - inner) * z[..., :-1] + np.sqrt(inner) * z[..., -1:], distribution)
