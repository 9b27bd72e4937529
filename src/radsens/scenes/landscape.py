"""One landscape over the whole field: an atmosphere over a surface, with the parameters of a preset unless others are given."""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from radsens.instrument import Polarimeter
from radsens.scenes import mixture
from radsens.scenes.mixture import Acquisition, Mixture
from radsens.schema import Frozen, Scene
from radsens.transfer.land import Land
from radsens.transfer.ocean import Ocean
from radsens.transfer.states import Cloud, IceCloud, LiquidCloud, Mode, State
from radsens.transfer.surfaces import Surface
from radsens.transfer.tables import Accuracy, Request

# Aerosols: sizes and indices of the order of those of Dubovik et al. 2002 for the open sea, desert dust and continents
# (recalled), thicknesses of clear days (assumed).
FINE_MARINE = Mode(median_radius=0.08, ln_sigma=0.55, index=1.45, absorption=0.003, thickness=0.04)
COARSE_MARINE = Mode(median_radius=0.5, ln_sigma=0.65, index=1.37, absorption=0.0003, thickness=0.06)
DUST = Mode(median_radius=0.5, ln_sigma=0.6, index=1.53, absorption=0.002, thickness=0.2)
FINE_CONTINENTAL = Mode(median_radius=0.08, ln_sigma=0.45, index=1.45, absorption=0.006, thickness=0.12)
COARSE_CONTINENTAL = Mode(median_radius=0.5, ln_sigma=0.65, index=1.48, absorption=0.003, thickness=0.04)

MARINE = (FINE_MARINE, COARSE_MARINE)
CONTINENTAL = (FINE_CONTINENTAL, COARSE_CONTINENTAL)

PRESETS = {
    "clear_ocean": State(surface=Ocean(kind="ocean"), aerosols=MARINE),
    "liquid_cloud": State(surface=Ocean(kind="ocean"), aerosols=MARINE, cloud=LiquidCloud(kind="liquid")),
    "ice_cloud": State(surface=Ocean(kind="ocean"), aerosols=MARINE, cloud=IceCloud(kind="ice")),
    "desert": State(surface=Land(kind="land", cover="desert"), aerosols=(DUST,)),
    "vegetation": State(surface=Land(kind="land", cover="vegetation"), aerosols=CONTINENTAL),
    "snow": State(surface=Land(kind="land", cover="snow")),
}
"""Landscapes by name."""


class Landscape(Frozen):
    """One landscape everywhere; `surface`, `aerosols` and `cloud` replace those of the preset."""

    kind: Literal["clear_ocean", "liquid_cloud", "ice_cloud", "desert", "vegetation", "snow"] = Field(
        description="landscape over the whole field, by radiative transfer"
    )
    acquisition: Acquisition = Field(Acquisition(), description="when, where and how often the instrument looks")
    surface: Surface | None = Field(None, description="the ground; that of the landscape if not given")
    aerosols: tuple[Mode, ...] | None = Field(None, max_length=4, description="aerosols; those of the landscape if not given")
    cloud: Cloud | None = Field(None, description="the cloud; that of the landscape if not given")
    accuracy: Accuracy = Field("standard", description="of the tables: standard | reduced, quicker, within some per cent")


def state_of(name: str, **given: object) -> State:
    """State of a preset in which what is given, and not None, replaces what it has."""
    return PRESETS[name].model_copy(update={key: value for key, value in given.items() if value is not None})


def _mixture(spec: Landscape) -> Mixture:
    state = state_of(spec.kind, surface=spec.surface, aerosols=spec.aerosols, cloud=spec.cloud)
    return Mixture({spec.kind: state}, accuracy=spec.accuracy)


def requests(spec: Landscape, instrument: Polarimeter, bands: Sequence[str]) -> list[Request]:
    """Tables that the scene needs."""
    return mixture.requests(_mixture(spec), instrument, bands)


def render(spec: Landscape, instrument: Polarimeter, bands: Sequence[str]) -> Iterator[Scene]:
    """The landscape in each view and band."""
    return mixture.render(_mixture(spec), spec.acquisition, instrument, bands)
