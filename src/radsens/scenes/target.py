"""Calibration targets over the whole field: what a laboratory would show, known exactly, the same in all bands.

* flat: one radiance, unpolarised, so that all polarisation in a gap is false;
* rotating: fully polarised, its angle turning across the field, so that the polarimetric response is read at all angles;
* ramp: the radiance rises linearly along +x from `i_low` to `i`, for non-linearity;
* edge: dark below `i_low`, bright above, at 5° to the rows, blurred by the point-spread function, for gradients;
* point: a spot of the size of the point-spread function, over the background `i_low`, on the element nearest the axis.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from radsens.elementary import exp, ndtr
from radsens.instrument import DEGREE, FocalPlane, Polarimeter
from radsens.scenes.pixels import places
from radsens.scenes.uniform import stokes
from radsens.schema import Frozen, Scene

SLANT = float(np.tan(5 * DEGREE))  # of the edge, so that it crosses the rows at all distances (ISO 12233)


class Target(Frozen):
    """A calibration target."""

    kind: Literal["target"] = Field(description="calibration target over the whole field")
    pattern: Literal["flat", "rotating", "ramp", "edge", "point"] = Field(description="what it shows")
    i: float = Field(0.3, gt=0, le=100, description="normalised radiance πL/E₀, the largest of the pattern [1]")
    i_low: float = Field(0.03, gt=0, le=100, description="smallest radiance of a ramp, an edge or the ground of a point [1]")
    dolp: float = Field(0, ge=0, le=1, description="degree of linear polarisation of a ramp, an edge or a point [1]")
    aolp: float = Field(0, ge=-180, le=180, description="angle of polarisation of the same, from +x towards +y [deg]")
    turns: float = Field(1, gt=0, le=20, description="half turns of the angle of a rotating target across the field [1]")
    blur: float = Field(0.5, gt=0, le=20, description="standard deviation of the point-spread function [pixel]")
    step: int = Field(1, ge=1, le=64, description="keep one row and one column out of this many, 1 for the full image [1]")

    @model_validator(mode="after")
    def rises(self) -> Self:
        if self.pattern in ("ramp", "edge", "point") and self.i_low >= self.i:
            raise ValueError(f"i_low: must be below i ({self.i:g}), got {self.i_low:g}")
        return self


def pattern(spec: Target, plane: FocalPlane, detector: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Radiance [1], DoLP [1], AoLP [deg] and whether bright, of detector elements (pixel,)."""
    row, column = np.divmod(detector, plane.columns)
    x, y = column - (plane.columns - 1) / 2, row - (plane.rows - 1) / 2
    one = np.ones(detector.size)
    match spec.pattern:
        case "flat":
            return spec.i * one, 0 * one, 0 * one, one > 0
        case "rotating":
            return spec.i * one, one, 180 * spec.turns * (column + 0.5) / plane.columns - 90, one > 0
        case "ramp":
            share = column / max(plane.columns - 1, 1)
        case "edge":
            share = ndtr((y - SLANT * x) / spec.blur)
        case _:
            axis = np.argmin(x * x + y * y)  # between four elements where rows and columns are even, all of them darker than i
            x, y = x - x[axis], y - y[axis]
            share = exp(-np.minimum((x * x + y * y) / (2 * spec.blur * spec.blur), 700.0))
    return spec.i_low + (spec.i - spec.i_low) * share, spec.dolp * one, spec.aolp * one, share >= 0.5


def render(spec: Target, instrument: Polarimeter, bands: Sequence[str]) -> Iterator[Scene]:
    """The target on the focal plane of each band."""
    for name in bands:
        detector = instrument.detector(name)
        plane = detector.focal_plane
        address = plane.every(spec.step)
        i, dolp, aolp, bright = pattern(spec, plane, address)
        yield Scene(
            band=name,
            stokes=stokes(i, dolp, aolp),
            **places(detector, address),
            scene_class=np.where(bright, 0, 1),
            class_names=(spec.pattern,) if spec.pattern in ("flat", "rotating") else ("bright", "dark"),
            geometry={},
        )
