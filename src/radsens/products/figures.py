"""Drawings: the reference image of a campaign, and what the drawings of images with error share with it.

Figures are made on matplotlib's own canvas, without pyplot and its state, in its default style whatever the user's is,
so that the same image gives the same bytes. On maps x runs to the right along the columns and y upwards along the rows:
angles of polarisation turn from +x towards +y.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from radsens.gaps.strata import aolp, dolp
from radsens.scenes import files, render
from radsens.schema import Fault, Scene

PIXELS_PER_INCH = 130
NO_VALUE = "0.86"  # grey of what has no value, which no colour map below holds
FEWEST = 0.5  # share of a rectangle that pixels must fill to be an image
WIDTH = 2.2  # of a panel [inch]
SPACE = "\u00a0"  # that does not break a line of a title
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Layout:
    """Where the pixels of a scene stand in an image, or in an image for each view.

    Attributes
    ----------
    rows, columns : detector rows and columns that occur, if the pixels fill their rectangle; else those of each pixel
    views : views that occur, if the pixels fill their rectangles
    index : (pixel,) place of each pixel in the flattened images; None if the pixels are no image and stay a list
    spread : whether the place in the field tells the pixels apart, as in a product or a scene of one Stokes vector
    aspect : height over width of a detector element
    shown : the view that is drawn
    """

    rows: np.ndarray
    columns: np.ndarray
    views: np.ndarray
    index: np.ndarray | None
    spread: bool
    aspect: float
    shown: int

    @classmethod
    def of(cls, scene: Scene, aspect: float, shown: int = 0) -> "Layout":
        """Layout of a scene, on the views, the rows and the columns that it has.

        Raises
        ------
        Fault : there is no view `shown`
        """
        row, column = np.divmod(scene.detector, scene.shape[1])
        rows, i = np.unique(row, return_inverse=True)
        columns, j = np.unique(column, return_inverse=True)
        views, k = np.unique(scene.view, return_inverse=True)
        if shown not in views:
            raise Fault(f"--view: {shown} is none of the scene's views, {views[0]} to {views[-1]}")
        place = (scene.x + 1j * scene.y)[scene.view == shown]
        spread = bool((np.ptp(scene.stokes, axis=-1) == 0).all()) or np.unique(place).size >= FEWEST * place.size
        index = (k * rows.size + i) * columns.size + j
        if np.unique(index).size < index.size or index.size < FEWEST * views.size * rows.size * columns.size:
            return cls(row, column, scene.view, None, spread, aspect, shown)
        return cls(rows, columns, views, index, spread, aspect, shown)

    @property
    def height(self) -> float:
        """Height of a panel [inch]."""
        if self.index is None and not self.spread:
            return 0.8 * WIDTH
        return WIDTH * float(np.clip((np.ptp(self.rows) + 1) / (np.ptp(self.columns) + 1) * self.aspect, 0.4, 2.5))

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Axes of `place`."""
        if self.index is None:
            return ("pixel",)
        return ("row", "column") if self.views.size == 1 else ("view", "row", "column")

    def place(self, values: np.ndarray) -> np.ndarray:
        """Values (..., pixel) on the image, (..., row, column), or on those of several views, (..., view, row, column).

        NaN where there is no pixel; a list stays as it is.
        """
        if self.index is None:
            return np.asarray(values, dtype=float)
        shape = tuple(getattr(self, f"{axis}s").size for axis in self.dimensions)
        found = np.full((*values.shape[:-1], np.prod(shape)), np.nan)
        found[..., self.index] = values
        return found.reshape(*values.shape[:-1], *shape)

    def image(self, values: np.ndarray) -> np.ndarray:
        """Values (..., pixel) on the image of the view that is drawn, (..., row, column); those of the view if it is a list."""
        found = self.place(values)
        if self.index is None:
            return found[..., self.views == self.shown]
        return found if self.views.size == 1 else found[..., int(np.flatnonzero(self.views == self.shown)[0]), :, :]


@dataclass(frozen=True)
class Scale:
    """Colours of a quantity from `low` to `high`, in units of 10^power; `extend`: on which sides values go beyond."""

    colours: str | Colormap
    low: float
    high: float
    power: int = 0
    extend: str = "neither"

    @property
    def mappable(self) -> ScalarMappable:
        """Colours for a bar, and for any number of panels."""
        colours = self.colours if isinstance(self.colours, Colormap) else colormaps[self.colours]
        return ScalarMappable(Normalize(self.low, self.high), colours.with_extremes(bad=NO_VALUE))

    def unit(self, unit: str) -> str:
        """Unit of the values drawn."""
        factor = f"10{str(self.power).translate(SUPERSCRIPT)}" if self.power else ""
        return f"{factor} {unit}".strip() if unit != "1" else factor or "1"


def finite(values: np.ndarray) -> np.ndarray:
    """The values that are numbers, or a zero if there is none."""
    found = values[np.isfinite(values)]
    return found if found.size else np.zeros(1)


def sequential(values: np.ndarray, colours: str = "viridis") -> Scale:
    """Scale of a quantity that only grows: all values but the extreme 0.5 % on either side."""
    some = finite(values)
    low, high = np.quantile(some, (0.005, 0.995))
    if high - low <= 1e-6 * abs(high):
        bottom = low - max(0.05 * abs(low), 1e-3)
        return Scale(colours, max(bottom, 0.0) if low >= 0 else bottom, high + max(0.05 * abs(high), 1e-3))
    below, above = some.min() < low, some.max() > high
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((bool(below), bool(above)), "neither")
    return Scale(colours, low, high, 0, extend)


def signed(values: np.ndarray, colours: str = "RdBu_r", thousands: bool = True) -> Scale:
    """Scale centred on 0 up to the 99th percentile of |value|, in units of a power of 1000 if asked."""
    size = np.abs(finite(values))
    limit = float(np.quantile(size, 0.99)) or float(size.max())
    power = 3 * int(np.floor(np.log10(limit) / 3)) if thousands and limit > 0 else 0
    extend = "both" if size.max() > limit else "neither"
    limit = limit / 10.0**power or 1.0
    return Scale(colours, -limit, limit, power, extend)


def cyclic() -> Scale:
    """Scale of an angle of polarisation [deg], the same colour at −90° and at 90°."""
    return Scale("twilight", -90, 90)


def angle(stokes: np.ndarray) -> np.ndarray:
    """AoLP of Stokes vectors (3, pixel) [deg], NaN where there is no polarisation."""
    return np.where(dolp(stokes) > 0, aolp(stokes), np.nan)


def panel(axes: Axes, layout: Layout, values: np.ndarray, scale: Scale, title: str) -> None:
    """One quantity (pixel,): a map; coloured dots in the field if that tells the pixels apart; else a row of dots."""
    axes.set_title(title, fontsize="medium")
    values = layout.image(values / 10.0**scale.power)
    mappable = scale.mappable
    colours: dict[str, Any] = {"cmap": mappable.get_cmap(), "norm": mappable.norm}
    names, ends = ("column", "row"), (_ends(layout.columns), _ends(layout.rows))
    if layout.index is None and not layout.spread:
        axes.scatter(np.arange(values.size), values, c=values, s=8, edgecolors="0.4", linewidths=0.2, **colours)
        names, ends = ("pixel of the scene", ""), ((-0.5, values.size - 0.5), _beyond(scale))
    elif layout.index is None:
        size = np.clip(2e4 / values.size, 1, 40)
        here = layout.views == layout.shown
        axes.scatter(layout.columns[here], layout.rows[here], c=values, s=size, plotnonfinite=True, linewidths=0, **colours)
        axes.set(aspect=layout.aspect, facecolor=NO_VALUE)
    else:
        extent = (*ends[0], *ends[1])
        axes.imshow(values, origin="lower", extent=extent, aspect=layout.aspect, interpolation="nearest", **colours)
    axes.set(xlabel=names[0], ylabel=names[1], xlim=ends[0], ylim=ends[1])
    axes.locator_params(nbins=5)
    if names[1]:
        axes.label_outer()


def _beyond(scale: Scale) -> tuple[float, float]:
    """Limits of an axis that shows a scale and a little of what goes beyond."""
    margin = 0.1 * (scale.high - scale.low)
    return scale.low - margin, scale.high + margin


def _ends(places: np.ndarray) -> tuple[float, float]:
    """Outer edges of the first and the last pixel, pixels being evenly spaced, or one wide if they are a list."""
    occur = np.unique(places)
    half = (occur[-1] - occur[0]) / max(occur.size - 1, 1) / 2 or 0.5
    return float(occur[0] - half), float(occur[-1] + half)


def bar(drawing: Figure, axes: Axes | np.ndarray, scale: Scale, label: str) -> None:
    """The colour bar of one or several panels."""
    found = drawing.colorbar(scale.mappable, ax=axes, label=label, extend=scale.extend, aspect=25, pad=0.03)
    if scale.colours == "twilight":
        found.set_ticks(range(-90, 91, 30))


@contextmanager
def figure(layout: Layout, rows: int, title: str) -> Iterator[tuple[Figure, np.ndarray]]:
    """A figure of rows of three panels in matplotlib's default style, under a title whose long lines are folded."""
    width, lines = 3 * (WIDTH + 1), [fill(line, 105) for line in title.splitlines()]
    text = "\n".join(lines)
    height = rows * (layout.height + 0.35) + 0.6 + 0.2 * (1 + text.count("\n"))
    with style.context(["default", {"font.size": 9, "axes.linewidth": 0.6}]):
        found = Figure(figsize=(width, height), dpi=PIXELS_PER_INCH, layout="compressed")
        found.get_layout_engine().set(w_pad=0.08, h_pad=0.06)  # type: ignore[union-attr, call-arg]
        found.suptitle(text, fontsize=10.5, linespacing=1.4)
        yield found, found.subplots(rows, 3, squeeze=False)


def png(drawing: Figure, title: str) -> bytes:
    """The drawing as PNG, without date and version, so that the same drawing gives the same bytes."""
    stream = BytesIO()
    drawing.savefig(stream, format="png", bbox_inches="tight", metadata={"Software": None, "Title": title})
    return stream.getvalue()


def write(path: Path, content: bytes) -> None:
    """Write a drawing whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise Fault(f"{path}: cannot be written ({error.strerror}); nothing was kept") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def reference(campaign: Any, bands: Sequence[str], view: int = 0) -> Iterator[tuple[Scene, Layout]]:
    """Scenes of some bands of a campaign, from its file if that is there, and their layouts, one after the other."""
    if Path(campaign.scene).is_file():
        scenes: Iterator[Scene] = (files.read(campaign.scene, band) for band in bands)
    else:  # of all bands, since a scene may keep the pixels alone that all of them see
        scenes = render(campaign.config.scene, campaign.instrument, campaign.config.bands)
    for scene in (one for one in scenes if one.band in bands):
        plane = campaign.instrument.detector(scene.band).focal_plane
        yield scene, Layout.of(scene, plane.pitch_row / plane.pitch_column, view)


def knobs(values: Mapping[str, Any], unit: str = "1") -> str:
    """Knobs of a campaign in one line; the first has the given unit."""
    texts = [f"{k}{SPACE}{_text(v)}" for k, v in values.items()]
    if unit != "1":
        texts[0] += SPACE + unit
    return ", ".join(texts)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({knobs(value)})"
    if isinstance(value, tuple | list):
        return "; ".join(map(_text, value)) or "none"
    return f"{value:g}".replace("-", "−") if isinstance(value, float) else str(value)
