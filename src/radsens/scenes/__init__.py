"""Reference scenes: one module per kind, all behind `render`.

To add a kind: one module with a record whose `kind` is a literal and a function
`render(spec, instrument, bands) -> Scene`, one line in `SCENES` and one member of `SceneSpec`.
"""

from collections.abc import Sequence
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


def render(spec: Uniform | Grid | Analytic, instrument: Polarimeter, bands: Sequence[str]) -> Scene:
    """Scene described by `spec`, seen by the `bands` of `instrument`.

    Raises
    ------
    Fault : a band that the instrument lacks or that comes twice, or a scene with I ≤ 0 or DoLP > 1 somewhere
    """
    if not bands or len(set(bands)) < len(bands):
        raise Fault(f"bands: name at least one band, each once; {instrument.name} has {', '.join(instrument.band_names)}")
    for name in bands:
        instrument.band(name)
    scene = SCENES[spec.kind].render(spec, instrument, tuple(bands))
    _check_physical(scene)
    return scene


def _check_physical(scene: Scene) -> None:
    i, q, u = scene.stokes[:, 0], scene.stokes[:, 1], scene.stokes[:, 2]
    for wrong, what in (~((i > 0) & np.isfinite(i)), "I ≤ 0"), (~(q * q + u * u <= i * i * (1 + ROUNDING)), "DoLP > 1"):
        count = np.count_nonzero(wrong, axis=1)
        if count.any():
            worst = int(count.argmax())
            raise Fault(
                f"scene: {what} or not a number in {count[worst]} pixels of band {scene.bands[worst]}; "
                "every pixel needs I > 0 and DoLP ≤ 1"
            )
