"""The kinds of scenes, one module each.

To add a kind: one module with a record whose `kind` is a literal and a function `render(spec, instrument, bands)` that gives
the scenes of the bands one after the other, made when they are asked for; one line in `SCENES` and one member of `Single`.
A kind by radiative transfer has a function `requests(spec, instrument, bands)` too: the tables that it needs.
"""

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Annotated, Any

from pydantic import Field

from radsens.instrument import Polarimeter
from radsens.scenes import analytic, broken_cloud, grid, l1c_3mi, landscape, orbit, parasol_l1b, target, uniform
from radsens.scenes.analytic import Analytic
from radsens.scenes.broken_cloud import BrokenCloud
from radsens.scenes.grid import Grid
from radsens.scenes.l1c_3mi import L1C3MI
from radsens.scenes.landscape import Landscape
from radsens.scenes.orbit import Orbit
from radsens.scenes.parasol_l1b import ParasolL1B
from radsens.scenes.target import Target
from radsens.scenes.uniform import Uniform
from radsens.schema import Scene
from radsens.transfer.tables import Request

SCENES: dict[str, ModuleType] = {
    "uniform": uniform,
    "grid": grid,
    "target": target,
    "analytic": analytic,
    **dict.fromkeys(landscape.PRESETS, landscape),
    "broken_cloud": broken_cloud,
    "orbit": orbit,
    "parasol_l1b": parasol_l1b,
    "l1c_3mi": l1c_3mi,
}

Single = Uniform | Grid | Target | Analytic | Landscape | BrokenCloud | Orbit | ParasolL1B | L1C3MI

SingleSpec = Annotated[Single, Field(discriminator="kind")]


def requests(spec: Any, instrument: Polarimeter, bands: Sequence[str]) -> list[Request]:
    """Tables of radiative transfer that a scene needs; none for the kinds without."""
    needs = getattr(SCENES.get(spec.kind), "requests", None)
    return needs(spec, instrument, bands) if needs else []


def render(spec: Single, instrument: Polarimeter, bands: Sequence[str]) -> Iterator[Scene]:
    """Scenes of the bands, one after another."""
    found: Iterator[Scene] = SCENES[spec.kind].render(spec, instrument, tuple(bands))
    return found
