"""Radiometric noise of each sample.

    DN_a → DN_a + σ_a z_a,   σ_a = S̄ / snr   or   σ_a² = σ_read² + s S_a   (`model: instrument`)

S̄ is the mean nominal signal of the triplet, so that the three samples have the same σ; the SNR of I is then √3 snr.
"""

from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from radsens.sources._source import Amplitudes as Base
from radsens.sources._source import Direction, ErrorSource


class Amplitudes(Base):
    """Knobs of the noise: either `snr` or `model: instrument`. The reported amplitude is 1 / snr."""

    snr: float | None = Field(None, ge=1, le=1e6, description="signal-to-noise ratio of one polariser sample [1]", examples=[200])
    model: Literal["instrument"] | None = Field(None, description="instrument: read and shot noise of the instrument's file")

    @model_validator(mode="after")
    def either_a_ratio_or_the_instrument(self) -> Self:
        if (self.snr is None) == (self.model is None):
            raise ValueError("give either snr or model: instrument, not both and not neither")
        return self

    @property
    def amplitude(self) -> float | None:
        return None if self.snr is None else 1 / self.snr

    def scaled(self, k: float) -> Self:
        if self.snr is None:
            raise ValueError("model: instrument has no amplitude to scale")
        return self.model_validate({"snr": self.snr / k})

    @property
    def error_in(self) -> Direction | None:
        return "instrument"  # noise is what the instrument does, never what the processing believes


def modify(irm, amplitudes, z):
    """Set the noise of the samples; the pixels are drawn where they are used."""
    if amplitudes.snr is None:
        return irm.with_instrument_noise()
    return replace(irm, snr=amplitudes.snr)


SOURCE = ErrorSource(
    name="radiometric_noise",
    symbol="σ(DN_a)",
    term="noise of one sample",
    model="polarimeter",
    Amplitudes=Amplitudes,
    unit="1",
    modify=modify,
    draws=0,
    distribution="normal",
    correlated="0 between samples, pixels, views and bands",
    reference="EMVA Standard 1288 (linear camera model) for read and shot noise",
)
