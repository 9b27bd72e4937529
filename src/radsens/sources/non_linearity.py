"""Residual non-linearity of the detection chain.

    f(S) = S [1 + b ((S/S_fs)^(n−1) − x₀^(n−1))],   b ~ N(0, σ²)

b is the deviation at full scale, x₀ (`calibrated_at`) the fraction of full scale where the absolute calibration pins the
gain. One chain reads all bands of a detector: one draw, common to the triplet and to these bands.
"""

from dataclasses import replace
from typing import Literal

from pydantic import Field

from radsens.sources._source import DISTRIBUTION, Distribution, ErrorSource, distributed
from radsens.sources._source import Amplitudes as Base


class Amplitudes(Base):
    """Knobs of the non-linearity."""

    sigma: float = Field(ge=0, le=0.2, description="1-sigma deviation from linearity at full scale [1]", examples=[0.01])
    order: Literal[2, 3] = Field(2, description="2: quadratic response, 3: cubic response")
    calibrated_at: float = Field(0.0, ge=0, le=1, description="fraction of full scale where the calibration pins the gain [1]")
    distribution: Distribution = DISTRIBUTION


def modify(irm, amplitudes, z):
    """Bend the response; z: one draw."""
    b = amplitudes.sigma * distributed(z[..., 0], amplitudes.distribution)
    return replace(irm, non_linearity=b, non_linearity_order=amplitudes.order, calibrated_at=amplitudes.calibrated_at)


SOURCE = ErrorSource(
    name="non_linearity",
    symbol="b",
    term="response f of the detection chain",
    model="polarimeter",
    Amplitudes=Amplitudes,
    unit="1",
    modify=modify,
    draws=1,
    slot=12,
    distribution="normal or uniform",
    correlated="1 inside the triplet and between the bands of a detector; fixed over the image",
    reference="Fougnie, Hagolle & Cabot 2001 (POLDER-1 defect); form: docs/method.md",
    place="detector",
)
