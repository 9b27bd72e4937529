"""Error on the orientation of each polariser's transmission axis.

    α_a → α_a + δ_a,   δ ~ N(0, σ² C),   C = (1−ρ) 1 + ρ J

ρ is the part common to the triplet: a common rotation only turns the angle of polarisation (ε = 0).
"""

from dataclasses import replace

import numpy as np
from pydantic import Field

from radsens.sources._source import DISTRIBUTION, Distribution, ErrorSource, correlated, correlation
from radsens.sources._source import Amplitudes as Base


class Amplitudes(Base):
    """Knobs of the orientation error."""

    sigma: float = Field(ge=0, le=10, description="1-sigma error on the orientation of one polariser [deg]", examples=[0.1])
    correlation: float = correlation("of the orientations inside the triplet")
    distribution: Distribution = DISTRIBUTION


def modify(irm, amplitudes, z):
    """Turn the polarisers; z: one draw per polariser and a common one."""
    delta = amplitudes.sigma * correlated(z, amplitudes.correlation, amplitudes.distribution)
    return replace(irm, orientation=irm.orientation + delta * (np.pi / 180))


SOURCE = ErrorSource(
    name="polariser_orientation",
    symbol="δα_a",
    term="orientation α_ka of the polariser",
    model="polarimeter",
    Amplitudes=Amplitudes,
    unit="deg",
    modify=modify,
    draws=4,
    slot=0,
    distribution="normal or uniform",
    correlated="ρ inside the triplet; 0 between bands; fixed over the image",
    reference="Hagolle et al. 1999, IEEE TGRS 37(3) 1550 (angle α of eq. 2)",
    polarised=True,
)
