"""Broken cloud over a landscape: a random field with the spectrum of clouds, cut at a level.

What calibration errors of one polariser do to an image depends on its gradients (a shift of a tenth of a pixel changes DoLP
by several hundredths at the edges of clouds), which a uniform landscape does not have.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from radsens.instrument import Polarimeter
from radsens.scenes import mixture
from radsens.scenes.landscape import PRESETS, state_of
from radsens.scenes.mixture import Acquisition, Ground, Mixture, Share
from radsens.scenes.structure import cover, texture
from radsens.schema import Frozen, Scene
from radsens.transfer.states import Cloud, LiquidCloud
from radsens.transfer.tables import Accuracy, Request

SLOPE = 8 / 3  # of the two-dimensional spectrum of clouds, 5/3 along a line


class BrokenCloud(Frozen):
    """A landscape under a field of clouds."""

    kind: Literal["broken_cloud"] = Field(description="broken cloud over a landscape, by radiative transfer")
    acquisition: Acquisition = Field(Acquisition(), description="when, where and how often the instrument looks")
    below: Literal["clear_ocean", "desert", "vegetation", "snow"] = Field("clear_ocean", description="landscape between clouds")
    cloud: Cloud = Field(LiquidCloud(kind="liquid"), description="the clouds, alike inside their edges")
    cover: float = Field(0.4, gt=0, lt=1, description="part of the area under cloud [1]")
    outer_scale: float = Field(250, ge=20, le=1000, description="size of the largest clouds [km]")
    edge: float = Field(0.3, ge=0, le=2, description="width of the edges, in standard deviations of the random field [1]")
    spacing: float = Field(
        2, ge=1, le=20, description="of the points of the random field; the field repeats after 2048 of them [km]"
    )
    oversampling: int = Field(3, ge=1, le=6, description="places in a pixel, each way, at which the cloud is looked up [1]")
    blur: float = Field(0.4, ge=0, le=3, description="standard deviation of the point-spread function [pixel]")
    seed: int = Field(1, ge=0, lt=2**64, description="of the random field")
    accuracy: Accuracy = Field("standard", description="of the tables: standard | reduced, quicker, within some per cent")


def _mixture(spec: BrokenCloud, share: Share | None = None) -> Mixture:
    states = {spec.below: PRESETS[spec.below], f"{spec.cloud.kind}_cloud": state_of(spec.below, cloud=spec.cloud)}
    return Mixture(states, share, spec.oversampling, spec.blur, spec.accuracy)


def requests(spec: BrokenCloud, instrument: Polarimeter, bands: Sequence[str]) -> list[Request]:
    """Tables that the scene needs."""
    return mixture.requests(_mixture(spec), instrument, bands)


def render(spec: BrokenCloud, instrument: Polarimeter, bands: Sequence[str]) -> Iterator[Scene]:
    """Clouds and what is between them, in each view and band."""
    clouds = texture(spec.seed, spec.kind, spec.spacing, spec.outer_scale, SLOPE)
    level = clouds.level(spec.cover)

    def share(ground: Ground) -> np.ndarray:
        covered = cover(clouds.at(ground.along, ground.across), level, spec.edge)
        return np.stack([1 - covered, covered])

    return mixture.render(_mixture(spec, share), spec.acquisition, instrument, bands)
