"""Uniform scene: one Stokes vector everywhere, seen by detector elements spread over the whole field."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from radsens.elementary import cos, sin
from radsens.instrument import DEGREE, Detector, Polarimeter
from radsens.scenes.pixels import places
from radsens.schema import Fault, Frozen, Scene


class Uniform(Frozen):
    """One radiance, one degree and one angle of polarisation."""

    kind: Literal["uniform"] = Field(description="one Stokes vector everywhere")
    i: float = Field(gt=0, le=100, description="normalised radiance πL/E₀ of every pixel [1]")
    dolp: float = Field(ge=0, le=1, description="degree of linear polarisation of every pixel [1]")
    aolp: float = Field(ge=-180, le=180, description="angle of polarisation from +x towards +y of the focal plane [deg]")
    pixels: int = Field(ge=1, description="number of detector elements, spread evenly over the focal plane [1]")


def render(spec: Uniform, instrument: Polarimeter, bands: tuple[str, ...]) -> Iterator[Scene]:
    """Uniform scene, the same in all `bands`."""
    one = np.ones(1)
    return alike(instrument, bands, spec.kind, (spec.i * one, spec.dolp * one, spec.aolp * one), spec.pixels)


def alike(
    instrument: Polarimeter,
    bands: tuple[str, ...],
    kind: str,
    state: tuple[np.ndarray, np.ndarray, np.ndarray],
    pixels: int,
) -> Iterator[Scene]:
    """Scenes of the same polarisation states in all bands, made once for each detector; the arguments are those of `patches`."""
    made: dict[str, Scene] = {}
    for band in bands:
        detector = instrument.detector(band)
        if detector.name not in made:
            made[detector.name] = patches(detector, band, kind, state, pixels)
        yield replace(made[detector.name], band=band)


def patches(
    detector: Detector,
    band: str,
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
    plane, asked = detector.focal_plane, state[0].size * pixels
    if asked > plane.size:
        raise Fault(f"scene: {asked} pixels asked; the focal plane has {plane.rows} x {plane.columns} = {plane.size}")
    i, dolp, aolp = (np.repeat(values, pixels) for values in state)
    return Scene(
        band=band,
        stokes=stokes(i, dolp, aolp),
        scene_class=np.zeros(asked, dtype=np.int64),
        class_names=(kind,),
        geometry={},
        **places(detector, plane.spread(asked)),
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
