"""Uniform scene: one Stokes vector everywhere, seen by detector elements spread over the whole field."""

from typing import Literal

import numpy as np
from pydantic import Field

from radsens.elementary import cos, sin
from radsens.instrument import DEGREE, FocalPlane, Polarimeter
from radsens.schema import Fault, Frozen, Scene


class Uniform(Frozen):
    """One radiance, one degree and one angle of polarisation."""

    kind: Literal["uniform"] = Field(description="one Stokes vector everywhere")
    i: float = Field(gt=0, le=100, description="normalised radiance πL/E₀ of every pixel [1]")
    dolp: float = Field(ge=0, le=1, description="degree of linear polarisation of every pixel [1]")
    aolp: float = Field(ge=-180, le=180, description="angle of polarisation from +x towards +y of the focal plane [deg]")
    pixels: int = Field(ge=1, description="number of detector elements, spread evenly over the focal plane [1]")


def render(spec: Uniform, instrument: Polarimeter, bands: tuple[str, ...]) -> Scene:
    """Uniform scene, the same in all `bands`."""
    one = np.ones(1)
    return patches(
        instrument.detector(bands[0]).focal_plane, bands, spec.kind, (spec.i * one, spec.dolp * one, spec.aolp * one), spec.pixels
    )


def patches(
    plane: FocalPlane,
    bands: tuple[str, ...],
    kind: str,
    state: tuple[np.ndarray, np.ndarray, np.ndarray],
    pixels: int,
) -> Scene:
    """Scene of several polarisation states, each seen by `pixels` elements spread over the field.

    Parameters
    ----------
    state : I [1], DoLP [1] and AoLP [deg] of each state, (state,)
    pixels : elements of one state [1]
    """
    asked = state[0].size * pixels
    if asked > plane.size:
        raise Fault(f"scene: {asked} pixels asked; the focal plane has {plane.rows} x {plane.columns} = {plane.size}")
    i, dolp, aolp = (np.repeat(values, pixels) for values in state)
    detector = plane.spread(asked)
    x, y, theta = plane.coordinates(detector)
    return Scene(
        bands=bands,
        stokes=np.tile(stokes(i, dolp, aolp), (len(bands), 1, 1)),
        x=x,
        y=y,
        theta=theta,
        detector=detector,
        sample=detector,
        scene_class=np.zeros(asked, dtype=np.int64),
        class_names=(kind,),
        shape=(plane.rows, plane.columns),
        geometry={},
    )


def stokes(i: np.ndarray, dolp: np.ndarray, aolp: np.ndarray) -> np.ndarray:
    """Stokes vector in the focal-plane frame, Q = I P cos 2χ, U = I P sin 2χ (Hansen & Travis 1974, section 1).

    Parameters
    ----------
    i, dolp, aolp : (pixel,) radiance [1], degree of linear polarisation [1] and its angle χ [deg]

    Returns
    -------
    (3, pixel) I, Q, U [1]
    """
    double = 2 * DEGREE * aolp
    return np.stack([i, i * dolp * cos(double), i * dolp * sin(double)])
