"""Reference scenes: one module per kind (see `single`), all behind `render`."""

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Annotated

import numpy as np
from pydantic import Field

from radsens.instrument import Polarimeter
from radsens.scenes import collection, single
from radsens.scenes.collection import Collection
from radsens.scenes.single import Single
from radsens.schema import Fault, Scene
from radsens.transfer.tables import tables

SCENES: dict[str, ModuleType] = {**single.SCENES, "collection": collection}

SceneSpec = Annotated[Single | Collection, Field(discriminator="kind")]

ROUNDING = 1e-12
"""Room for the rounding of Q and U when DoLP = 1 [1]."""

MOST_SAMPLES = 1 << 32
"""Addresses that the random fields have for the samples of a band [1]."""


def render(spec: Single | Collection, instrument: Polarimeter, bands: Sequence[str], processes: int = 1) -> Iterator[Scene]:
    """Scenes described by `spec` as the `bands` of `instrument` see them, in this order, each made when it is asked for.

    The tables of radiative transfer that they need and that are not kept yet are made before, in `processes` processes.

    Raises
    ------
    Fault : a band that the instrument lacks or that comes twice; when it is asked for, a scene with I ≤ 0 or DoLP > 1 somewhere
    """
    if not bands or len(set(bands)) < len(bands):
        raise Fault(f"bands: name at least one band, each once; {instrument.name} has {', '.join(instrument.band_names)}")
    for name in bands:
        instrument.band(name)
    kind = SCENES[spec.kind]
    if hasattr(kind, "requests"):
        tables(kind.requests(spec, instrument, bands), processes)
    return map(_physical, kind.render(spec, instrument, tuple(bands)))


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
