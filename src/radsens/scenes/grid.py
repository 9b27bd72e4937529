"""Grid scene: all combinations of ranges of I, DoLP and AoLP, for maps of sensitivity."""

from collections.abc import Iterator
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from radsens.instrument import Polarimeter
from radsens.scenes.uniform import alike
from radsens.schema import Fault, Frozen, Scene


class Range(Frozen):
    """Evenly spaced values, both ends included."""

    start: float
    stop: float
    steps: int = Field(ge=1, le=10000, description="number of values; 1 needs start = stop [1]")

    @model_validator(mode="after")
    def _single(self) -> Self:
        if self.steps == 1 and self.start != self.stop:
            raise ValueError("steps: 1 needs start = stop")
        return self

    def values(self) -> np.ndarray:
        """(steps,) the values."""
        return self.start + np.arange(self.steps) * ((self.stop - self.start) / max(self.steps - 1, 1))


class RadianceRange(Range):
    """Values of the normalised radiance."""

    start: float = Field(gt=0, le=100, description="first normalised radiance πL/E₀ [1]")
    stop: float = Field(gt=0, le=100, description="last normalised radiance πL/E₀ [1]")


class DolpRange(Range):
    """Values of the degree of linear polarisation."""

    start: float = Field(ge=0, le=1, description="first degree of linear polarisation [1]")
    stop: float = Field(ge=0, le=1, description="last degree of linear polarisation [1]")


class AolpRange(Range):
    """Values of the angle of polarisation."""

    start: float = Field(ge=-180, le=180, description="first angle of polarisation, from +x towards +y of the focal plane [deg]")
    stop: float = Field(ge=-180, le=180, description="last angle of polarisation, from +x towards +y of the focal plane [deg]")


class Grid(Frozen):
    """Product of three ranges; AoLP varies fastest, I slowest."""

    kind: Literal["grid"] = Field(description="all combinations of I, DoLP and AoLP")
    i: RadianceRange = Field(description="range of the normalised radiance")
    dolp: DolpRange = Field(description="range of the degree of linear polarisation")
    aolp: AolpRange = Field(description="range of the angle of polarisation")
    pixels: int = Field(1, ge=1, description="detector elements of each node, spread evenly over the focal plane [1]")


def render(spec: Grid, instrument: Polarimeter, bands: tuple[str, ...]) -> Iterator[Scene]:
    """Grid scene, the same in all `bands`."""
    nodes = spec.i.steps * spec.dolp.steps * spec.aolp.steps
    room = min(instrument.detector(band).focal_plane.size for band in bands)
    if nodes * spec.pixels > room:
        raise Fault(f"scene: {nodes} nodes x {spec.pixels} pixels asked; the focal plane has {room} pixels")
    i, dolp, aolp = np.meshgrid(spec.i.values(), spec.dolp.values(), spec.aolp.values(), indexing="ij")
    return alike(instrument, bands, spec.kind, (i.ravel(), dolp.ravel(), aolp.ravel()), spec.pixels)
