"""Error on the relative transmission of the filters of a triplet.

    T_a → T_a (1 + t_a),   t ~ N(0, σ² C),   C = (1−ρ) 1 + ρ J

With `normalisation: middle` the middle polariser is not drawn (T_2 ≡ 1 by definition); ρ then couples the outer two.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from radsens.sources._source import DISTRIBUTION, Distribution, ErrorSource, correlated, correlation
from radsens.sources._source import Amplitudes as Base

DRAWN = {"free": np.array([1.0, 1.0, 1.0]), "middle": np.array([1.0, 0.0, 1.0])}


class Amplitudes(Base):
    """Knobs of the transmission error."""

    sigma: float = Field(
        ge=0, le=0.3, description="1-sigma relative error on the transmission of one polariser [1]", examples=[0.002]
    )
    correlation: float = correlation("of the transmissions inside the triplet")
    distribution: Distribution = DISTRIBUTION
    normalisation: Literal["free", "middle"] = Field(
        "free", description="free: three are drawn; middle: polariser 2 is not drawn"
    )


def modify(irm, amplitudes, z):
    """Change the transmissions; z: one draw per polariser and a common one."""
    t = amplitudes.sigma * correlated(z, amplitudes.correlation, amplitudes.distribution) * DRAWN[amplitudes.normalisation]
    return replace(irm, relative_transmission=irm.relative_transmission * (1 + t))


SOURCE = ErrorSource(
    name="relative_transmission",
    symbol="δT_a / T_a",
    term="relative transmission T_ka of filter and polariser",
    model="polarimeter",
    Amplitudes=Amplitudes,
    unit="1",
    modify=modify,
    draws=4,
    slot=8,
    distribution="normal or uniform",
    correlated="ρ inside the triplet; 0 between bands; fixed over the image",
    reference="Hagolle et al. 1999, IEEE TGRS 37(3) 1550 (T_ka of eq. 1)",
    polarised=True,
)
