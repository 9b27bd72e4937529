"""Ignorance of the extinction of the polarisers.

    ln ρ_e,a → ln ρ_e,a + δ_a,   ρ_e = 1 / extinction ratio,   η = (1 − ρ_e) / (1 + ρ_e)

at fixed mean transmission. The draw is on ln ρ_e, which always stays physical: drawing η near 1 and failing the draws
beyond 1 would bias the sample. `assume_ideal` is the other ignorance: the processing believes η = 1.
"""

from dataclasses import replace
from typing import Self

from pydantic import Field, model_validator

from radsens import elementary
from radsens.sources._source import DISTRIBUTION, Direction, Distribution, ErrorSource, correlated, correlation
from radsens.sources._source import Amplitudes as Base


class Amplitudes(Base):
    """Knobs of the extinction error: either `sigma` or `assume_ideal`."""

    sigma: float | None = Field(
        None,
        ge=0,
        le=3,
        description="1-sigma error on ln of 1/extinction ratio; 0.25 = known to 25 % [1]",
        examples=[0.25],
    )
    correlation: float = correlation("of the extinctions inside the triplet")
    distribution: Distribution = DISTRIBUTION
    assume_ideal: bool = Field(False, description="the processing believes perfect polarisers, the instrument is nominal")

    @model_validator(mode="after")
    def either_an_error_or_an_assumption(self) -> Self:
        if (self.sigma is None) != self.assume_ideal:
            raise ValueError("give either sigma or assume_ideal: true, not both and not neither")
        return self

    @property
    def error_in(self) -> Direction | None:
        return "knowledge" if self.assume_ideal else None

    @property
    def random(self) -> bool:
        return not self.assume_ideal


def modify(irm, amplitudes, z):
    """Change the extinction; z: one draw per polariser and a common one."""
    if amplitudes.assume_ideal:
        return replace(irm, extinction=0 * irm.extinction)
    delta = amplitudes.sigma * correlated(z, amplitudes.correlation, amplitudes.distribution)
    return replace(irm, extinction=irm.extinction * elementary.exp(delta))


SOURCE = ErrorSource(
    name="polariser_extinction",
    symbol="δ ln ρ_e,a",
    term="efficiency η_ka of the polariser, at fixed mean transmission",
    model="polarimeter",
    Amplitudes=Amplitudes,
    unit="1",
    modify=modify,
    draws=4,
    slot=4,
    distribution="normal or uniform in ln ρ_e; none with assume_ideal",
    correlated="ρ inside the triplet; 0 between bands; fixed over the image",
    reference="Hagolle et al. 1999, IEEE TGRS 37(3) 1550 (η of eq. 2)",
    polarised=True,
)
