"""Reference scenes: one module per kind, all behind `render`.

To add a kind: one module with a record whose `kind` is a literal and a function `render(spec, instrument, bands)` that gives
the scenes of the bands one after the other, made when they are asked for; one line in `SCENES` and one member of `SceneSpec`.
"""

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Annotated

import numpy as np
from pydantic import Field

from radsens.instrument import Polarimeter
from radsens.scenes import analytic, grid, uniform
from radsens.scenes.analytic import Analytic
from radsens.scenes.grid import Grid
from radsens.scenes.uniform import Uniform
from radsens.schema import Fault, Scene

SCENES: dict[str, ModuleType] = {
    "uniform": uniform,
    "grid": grid,
    "analytic": analytic,
}

SceneSpec = Annotated[Uniform | Grid | Analytic, Field(discriminator="kind")]

ROUNDING = 1e-12
"""Room for the rounding of Q and U when DoLP = 1 [1]."""

MOST_SAMPLES = 1 << 32
"""Addresses that the random fields have for the samples of a band [1]."""


def render(spec: Uniform | Grid | Analytic, instrument: Polarimeter, bands: Sequence[str]) -> Iterator[Scene]:
    """Scenes described by `spec` as the `bands` of `instrument` see them, in this order, each made when it is asked for.

    Raises
    ------
    Fault : a band that the instrument lacks or that comes twice; when it is asked for, a scene with I ≤ 0 or DoLP > 1 somewhere
    """
    if not bands or len(set(bands)) < len(bands):
        raise Fault(f"bands: name at least one band, each once; {instrument.name} has {', '.join(instrument.band_names)}")
    for name in bands:
        instrument.band(name)
    return map(_physical, SCENES[spec.kind].render(spec, instrument, tuple(bands)))


def _physical(scene: Scene) -> Scene:
    """The scene, which is refused unless an instrument can see it."""
    i, q, u = scene.stokes
    for wrong, what in (~((i > 0) & np.isfinite(i)), "I ≤ 0"), (~(q * q + u * u <= i * i * (1 + ROUNDING)), "DoLP > 1"):
        if count := np.count_nonzero(wrong):
            raise Fault(
                f"scene: {what} or not a number in {count} pixels of band {scene.band}; every pixel needs I > 0 and DoLP ≤ 1"
            )
    if scene.sample.max(initial=0) >= MOST_SAMPLES:
        raise Fault(f"scene: its views have {scene.sample.max() + 1} samples in band {scene.band}, at most 2^32 are addressed")
    return scene
