"""Noise of the high-frequency equalisation: an error on the inter-pixel coefficient of each detector pixel.

    g_a(l, p) → g_a(l, p) (1 + h_a),   h_a = σ (√ρ z₀ + √(1−ρ) z_a)

drawn once per realisation, the same for all scenes and views that fall on the pixel. In a filter-wheel instrument one
pixel sees the three polarisers, so that the common part ρ cancels in the degree of polarisation.
"""

from dataclasses import replace

from pydantic import Field

from radsens.sources._source import Amplitudes as Base
from radsens.sources._source import ErrorSource, correlation


class Amplitudes(Base):
    """Knobs of the equalisation noise."""

    sigma: float = Field(
        ge=0,
        le=0.1,
        description="1-sigma relative error on the coefficient of one detector pixel [1]",
        examples=[0.001],
    )
    correlation: float = correlation("inside the triplet, on one pixel")


def modify(irm, amplitudes, z):
    """Set the size and the correlation of the field; the pixels are drawn where they are used."""
    return replace(irm, high_frequency_error=amplitudes.sigma, high_frequency_correlation=amplitudes.correlation)


SOURCE = ErrorSource(
    name="hf_equalisation",
    symbol="δg_a / g_a",
    term="high-frequency inter-pixel coefficient g_ka(l, p)",
    model="polarimeter",
    Amplitudes=Amplitudes,
    unit="1",
    modify=modify,
    draws=0,
    distribution="normal",
    correlated="ρ inside the triplet; 0 between pixels and bands; fixed in time",
    reference="POLDER L1 user manual, appendix F (g of the radiometric model)",
)
