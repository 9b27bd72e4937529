"""The reference image of a campaign, drawn: as the eye would see it, its classes, its bands, its geometry."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from radsens.gaps.strata import dolp
from radsens.products.figures import (
    NO_VALUE,
    Layout,
    Scale,
    angle,
    bar,
    cyclic,
    figure,
    knobs,
    panel,
    png,
    reference,
    sequential,
    write,
)
from radsens.schema import Fault, Scene

COLOURS_NM = (660, 555, 470)
"""Wavelengths of red, green and blue, near the peaks of the eye's cones for long waves and of the usual filters [nm]."""

FARTHEST_NM = 60  # a band farther than this from a colour does not stand for it
WHITE, GAMMA = 0.99, 2.2  # part of the pixels darker than white, and power law of screens (sRGB, nearly)
GEOMETRY = {
    "scattering_angle": "scattering angle",
    "vza": "view zenith angle",
    "sza": "solar zenith angle",
    "relative_azimuth": "relative azimuth",
}
CLASS_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#000000",
)  # Okabe & Ito 2008


def draw_scene(campaign: Any, output: Path, band: str | None, view: int = 0) -> None:
    """Draw one view of the reference image of a campaign to PNG.

    In natural colours if the campaign has bands for them, then scene classes and angles of the first band's detector, then
    I, DoLP and AoLP of each band (or of `band`).

    Raises
    ------
    Fault : a band or a view that the campaign does not have, or an output that is no PNG or cannot be written
    """
    if band not in (None, *campaign.config.bands):
        raise Fault(f"--band: {band!r} is not in the campaign; it has {', '.join(campaign.config.bands)}")
    if output.suffix.lower() != ".png":
        raise Fault(f"--output: {output}: a scene is drawn to PNG; give a name that ends in .png")
    drawn = [name for name in campaign.config.bands if band in (None, name)]
    colours = colour_bands(campaign)
    scenes = {scene.band: (scene, layout) for scene, layout in reference(campaign, [*dict.fromkeys((*drawn, *colours))], view)}
    first, layout = scenes[drawn[0]]
    title = f"reference image of campaign {campaign.config.campaign}, instrument {campaign.instrument.name}"
    several = f", view {view}" if np.ptp(first.view) else ""
    angles = {name: first.geometry[key] for key, name in GEOMETRY.items() if key in first.geometry}
    angles = angles or {"field angle": np.degrees(first.theta)}
    natural = [scenes[name][0].stokes[0] for name in colours] if layout.index is not None else []
    above = -(-(len(angles) + 1 + bool(natural)) // 3)
    about = knobs(campaign.config.scene.model_dump(exclude_none=True, exclude_defaults=True))
    with figure(layout, above + len(drawn), f"{title}{several}\n{about}") as (drawing, axes):
        places = list(axes[:above].ravel())
        if natural:
            _natural(places.pop(0), layout, natural, colours)
        _classes(drawing, places.pop(0), layout, first)
        _angles(drawing, places, layout, angles)
        for row, name in zip(axes[above:], drawn, strict=True):
            _stokes(drawing, row, scenes[name][1], scenes[name][0])
        content = png(drawing, title)
    write(output, content)


def colour_bands(campaign: Any) -> list[str]:
    """Bands of a campaign that stand for red, green and blue: the nearest ones; none if a colour has no band of its own."""
    waves = {name: campaign.instrument.band(name).wavelength for name in campaign.config.bands}
    nearest = [min(waves, key=lambda name: abs(waves[name] - colour)) for colour in COLOURS_NM]
    near = all(abs(waves[name] - colour) <= FARTHEST_NM for name, colour in zip(nearest, COLOURS_NM, strict=True))
    planes = {campaign.instrument.detector(name).name for name in nearest}
    return nearest if near and len(set(nearest)) == 3 and len(planes) == 1 else []


def natural_colours(radiances: Sequence[np.ndarray]) -> np.ndarray:
    """Red, green and blue from 0 to 1 of images (row, column), one white for all three: (row, column, 3), NaN is grey."""
    image = np.stack(radiances, axis=-1)
    white = float(np.nanquantile(image, WHITE)) or 1.0
    return np.where(np.isnan(image), float(NO_VALUE), np.clip(image / white, 0, 1) ** (1 / GAMMA))


def _natural(axes: Axes, layout: Layout, radiances: Sequence[np.ndarray], bands: Sequence[str]) -> None:
    images = natural_colours([layout.image(one) for one in radiances])
    panel(axes, layout, radiances[0], sequential(radiances[0], "gray"), f"{', '.join(bands)} as red, green, blue")
    shown = axes.images[0]
    shown.set_data(images)


def _classes(drawing: Figure, axes: Axes, layout: Layout, scene: Scene) -> None:
    """The scene classes, each in its colour."""
    count = len(scene.class_names)
    colours = ListedColormap([CLASS_COLOURS[i % len(CLASS_COLOURS)] for i in range(count)])
    scale = Scale(colours, -0.5, count - 0.5)
    panel(axes, layout, scene.scene_class.astype(float), scale, "scene class")
    found = drawing.colorbar(scale.mappable, ax=axes, ticks=np.arange(count), aspect=25, pad=0.03)
    found.set_ticklabels(list(scene.class_names))


def _angles(drawing: Figure, axes: Sequence[Axes], layout: Layout, angles: dict[str, np.ndarray]) -> None:
    """The angles [deg] of a scene; nothing on the axes that are left."""
    for ax, (name, values) in zip(axes, angles.items(), strict=False):
        scale = sequential(layout.image(values), "cividis")
        panel(ax, layout, values, scale, name)
        bar(drawing, ax, scale, "[deg]")
    for ax in axes[len(angles) :]:
        ax.set_axis_off()


def _stokes(drawing: Figure, axes: Sequence[Axes], layout: Layout, scene: Scene) -> None:
    """I, DoLP and AoLP of one band."""
    p = dolp(scene.stokes)
    rows = (
        ("I", scene.stokes[0], sequential(layout.image(scene.stokes[0])), "πL/E₀"),
        ("DoLP", p, sequential(layout.image(p), "cividis"), "1"),
        ("AoLP", angle(scene.stokes), cyclic(), "deg"),
    )
    for ax, (name, values, scale, unit) in zip(axes, rows, strict=True):
        panel(ax, layout, values, scale, f"{scene.band} {name}")
        bar(drawing, ax, scale, f"{name} [{unit}]")
