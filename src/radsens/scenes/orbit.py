"""An arc of orbit over a made-up Earth: seas, deserts, vegetation and snow, under low and high clouds.

Coasts and clouds are random fields, deserts lie between 15° and 32° of latitude, snow covers land beyond 60°; nothing of it
is a map. It serves to bring all landscapes, at the angles at which they are seen, into one campaign.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from radsens.instrument import Polarimeter
from radsens.scenes import mixture
from radsens.scenes.landscape import PRESETS
from radsens.scenes.mixture import Acquisition, Ground, Mixture
from radsens.scenes.structure import Texture, cover, texture
from radsens.schema import Frozen, Scene
from radsens.transfer.tables import Accuracy, Request

SLOPES = {"land": 3.3, "liquid": 8 / 3, "ice": 8 / 3}  # of the two-dimensional spectra; 3.3: coasts (assumed)
SHARP = 0.05  # width of a coast, in standard deviations of its random field (assumed)
BELT, SNOW_LINE, BLUR = (15.0, 32.0), 60.0, 5.0  # latitudes of deserts and of snow, and how gradually they begin [deg] (assumed)


class Orbit(Frozen):
    """Landscapes and clouds along an arc of orbit."""

    kind: Literal["orbit"] = Field(description="landscapes and clouds along an arc of orbit, by radiative transfer")
    acquisition: Acquisition = Field(
        Acquisition(views=4, every=20, latitude=20), description="when, where and how often the instrument looks"
    )
    land: float = Field(0.5, gt=0, lt=1, description="part of the area that is land [1]")
    liquid: float = Field(0.35, gt=0, lt=1, description="part of the area under low cloud [1]")
    ice: float = Field(0.15, gt=0, lt=1, description="part of the area under high cloud [1]")
    outer_scale: float = Field(400, ge=20, le=1000, description="size of the largest clouds; continents are 6 times larger [km]")
    edge: float = Field(0.3, ge=0, le=2, description="width of the clouds' edges, in standard deviations of the random field [1]")
    spacing: float = Field(
        3, ge=1, le=20, description="of the points of the random fields; the fields repeat after 2048 of them [km]"
    )
    oversampling: int = Field(3, ge=1, le=6, description="places in a pixel, each way, at which the ground is looked up [1]")
    blur: float = Field(0.4, ge=0, le=3, description="standard deviation of the point-spread function [pixel]")
    seed: int = Field(1, ge=0, lt=2**64, description="of the random fields")
    accuracy: Accuracy = Field("standard", description="of the tables: standard | reduced, quicker, within some per cent")


def requests(spec: Orbit, instrument: Polarimeter, bands: Sequence[str]) -> list[Request]:
    """Tables that the scene needs."""
    return mixture.requests(Mixture(PRESETS, accuracy=spec.accuracy), instrument, bands)


def render(spec: Orbit, instrument: Polarimeter, bands: Sequence[str]) -> Iterator[Scene]:
    """All landscapes of the arc, in each view and band."""
    scales = {"land": 6 * spec.outer_scale, "liquid": spec.outer_scale, "ice": spec.outer_scale}
    fields = {name: texture(spec.seed, f"orbit {name}", spec.spacing, scales[name], SLOPES[name]) for name in scales}
    levels = {name: field.level(getattr(spec, name)) for name, field in fields.items()}
    edges = {"land": SHARP, "liquid": spec.edge, "ice": spec.edge}

    def share(ground: Ground) -> np.ndarray:
        return shares({name: _covered(fields[name], levels[name], edges[name], ground) for name in fields}, ground.latitude)

    whole = Mixture(PRESETS, share, spec.oversampling, spec.blur, spec.accuracy)
    return mixture.render(whole, spec.acquisition, instrument, bands)


def _covered(field: Texture, level: float, edge: float, ground: Ground) -> np.ndarray:
    return cover(field.at(ground.along, ground.across), level, edge)


def shares(covered: dict[str, np.ndarray], latitude: np.ndarray) -> np.ndarray:
    """Parts of each place under the landscapes of `PRESETS`, in their order: (state, row, column); their sum is 1.

    Parameters
    ----------
    covered : part that is land, and that low (liquid) and high (ice) cloud covers, (row, column) each [1]
    latitude : (row, column) [deg]
    """
    away = np.abs(latitude)
    snow = np.clip((away - SNOW_LINE) / BLUR + 0.5, 0, 1)
    arid = np.clip((away - BELT[0]) / BLUR + 0.5, 0, 1) * np.clip((BELT[1] - away) / BLUR + 0.5, 0, 1)
    ice, liquid = covered["ice"], (1 - covered["ice"]) * covered["liquid"]
    clear = 1 - ice - liquid
    land = clear * covered["land"]
    found = {
        "clear_ocean": clear - land,
        "liquid_cloud": liquid,
        "ice_cloud": ice,
        "desert": land * (1 - snow) * arid,
        "vegetation": land * (1 - snow) * (1 - arid),
        "snow": land * snow,
    }
    return np.stack([found[name] for name in PRESETS])
