"""The image with calibration error of one realisation: reference, with error, and gap of I, Q, U, DoLP and AoLP.

It is computed by the kernels of the campaign with the draws of that realisation, so that its statistics are the row
that the realisation has in the campaign's files:

    I' = I (1 + ΔI/I),   Q' = Q + I (ΔQ/I),   U' = U + I (ΔU/I),   DoLP' = DoLP + ΔDoLP,   AoLP' = AoLP + ΔAoLP
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from radsens import chunk, io, provenance
from radsens.gaps.quantities import AOLP, MEANING, QUANTITIES, UNITS
from radsens.gaps.statistics import MEAN, STD
from radsens.gaps.strata import Partition, Strata, dolp, partition
from radsens.models import polarimeter
from radsens.products import figures
from radsens.products.figures import Layout, Scale
from radsens.realise import OUTCOMES, BandGaps, acting, gap_image, realise_band
from radsens.schema import Fault, Scene
from radsens.sources import SOURCES

NAMES = {
    "I": "normalised radiance pi L / E0",
    "Q": "Stokes Q as normalised radiance, focal-plane frame",
    "U": "Stokes U as normalised radiance, focal-plane frame",
    "dolp": "degree of linear polarisation",
    "aolp": "angle of linear polarisation, focal-plane frame",
}
HEADS = {"I": "I", "Q": "Q", "U": "U", "dolp": "DoLP", "aolp": "AoLP"}
GAPS = {"I": "ΔI / I", "Q": "ΔQ / I", "U": "ΔU / I", "dolp": "ΔDoLP", "aolp": "ΔAoLP"}
CF_UNITS = {"1": "1", "deg": "degree"}
VERSIONS = ("reference", "with_error", "gap")


@dataclass(frozen=True)
class BandImage:
    """One realisation of one band.

    Attributes
    ----------
    band, plane : name of the band, and of its detector
    layout, theta : place of the pixels in an image, and (pixel,) field angle [rad]
    values : by version: (quantity, pixel), in the units of the quantities; I alone without polarisers
    gaps : statistics and outcome of the same realisation, and its draws
    threshold : reference DoLP at or below which a pixel has no gap of AoLP [1]
    """

    band: str
    plane: str
    layout: Layout
    theta: np.ndarray
    threshold: float
    values: dict[str, np.ndarray]
    gaps: BandGaps


def write_image(campaign: Any, source: str, realisation: int, output: Path | None, band: str | None, view: int = 0) -> list[Path]:
    """Write the image of one realisation: netCDF of all bands where the source acts, PNG of one.

    Parameters
    ----------
    campaign : radsens.campaign.Campaign
    source : error source, combination, or the control
    realisation : number of the realisation, one of the campaign's
    output : netCDF to write, with the PNG beside it; in the campaign's images/ if not given
    band, view : band and view of the PNG; the first where the source acts if not given

    Returns
    -------
    Paths of the netCDF and of the PNG

    Raises
    ------
    Fault : an unknown source, band or realisation, one that failed, or an output that cannot be written
    """
    task, path = campaign.task(source), Path(output or campaign.root / "images" / f"{source}-{realisation:06d}.nc")
    if realisation >= campaign.realisations(source):
        count = campaign.realisations(source)
        raise Fault(f"realisation: must be below {count}, as many as {source} has in the campaign, got {realisation}")
    if path.suffix not in (".nc", ".png"):
        raise Fault(f"--output: {path}: give a name that ends in .nc; the PNG beside it takes the same name")
    active = chunk.active_of(task)
    bands = bands_of(campaign, source, active)
    if band not in (None, *bands):
        raise Fault(f"--band: must be one where {source} acts: {', '.join(bands)}; got {band!r}")
    images = [band_image(campaign, task, *seen, active, realisation) for seen in figures.reference(campaign, bands, view)]
    drawing = draw(campaign, source, realisation, images[bands.index(band or bands[0])])
    io.write(path.with_suffix(".nc"), netcdf(campaign, source, realisation, images))
    figures.write(path.with_suffix(".png"), drawing)
    return [path.with_suffix(".nc"), path.with_suffix(".png")]


def bands_of(campaign: Any, source: str, active: Sequence[Any]) -> list[str]:
    """Bands of the campaign where a source acts; all of them for the control."""
    found = [b for b in campaign.config.bands if not active or acting(active, campaign.instrument, b)]
    if not found:
        raise Fault(f"source: {source} acts on none of the bands {', '.join(campaign.config.bands)}; it has no image")
    return found


def band_image(campaign: Any, task: Any, scene: Scene, layout: Layout, active: Sequence[Any], realisation: int) -> BandImage:
    """One realisation of the band of a scene.

    Raises
    ------
    Fault : the realisation failed, for the reason that its row in the campaign has
    """
    threshold = campaign.config.strata.aolp_min_dolp
    part, gaps, gap = realised(campaign, task, scene, active, realisation)
    stokes = scene.stokes
    reference = np.stack([*stokes, dolp(stokes), figures.angle(stokes)])[: len(gap)]
    error = reference + gap
    error[:3] = reference[:3] + stokes[0] * gap[:3]
    error[AOLP:] = 90 - (90 - error[AOLP:]) % 180
    gap[AOLP:, ~part.aolp] = np.nan
    values = dict(zip(VERSIONS, (reference, error, gap), strict=True))
    return BandImage(scene.band, scene.plane, layout, scene.theta, threshold, values, gaps)


def realised(
    campaign: Any, task: Any, scene: Scene, active: Sequence[Any], realisation: int
) -> tuple[Partition, BandGaps, np.ndarray]:
    """One realisation of the band of a scene: the whole as one stratum, its row, and its gaps (quantity, pixel).

    Raises
    ------
    Fault : the realisation failed, for the reason that its row in the campaign has
    """
    here = acting(active, campaign.instrument, scene.band)
    whole = Strata(aolp_min_dolp=campaign.config.strata.aolp_min_dolp)
    part, span = partition(whole, scene), range(realisation, realisation + 1)
    gaps = realise_band(task, campaign.instrument, scene, part, here, span)
    if gaps.outcome[0]:
        reason = OUTCOMES[gaps.outcome[0]]
        raise Fault(f"realisation: {realisation} failed in band {scene.band} ({reason}), so that it has no image")
    return part, gaps, gap_image(task, campaign.instrument, scene, here, realisation)


def netcdf(campaign: Any, source: str, realisation: int, images: Sequence[BandImage]) -> io.File:
    """The images of all bands as a CF file: (band, row, column), with several views (band, view, row, column), or (band, pixel)
    of a scene that is no image.

    Where the bands have several detectors, names of variables and axes end in that of the detector.
    """
    planes: dict[str, list[BandImage]] = {}
    for image in images:
        planes.setdefault(image.plane, []).append(image)
    variables = {
        "realisation": io.Variable(
            (),
            np.array(realisation),
            {"standard_name": "realization", "units": "1", "long_name": "number of the realisation"},
        ),
        "band": text("band", (i.band for i in images), "spectral band"),
        "polariser": text("polariser", chunk.POLARISERS, "nominal orientation of the polariser [deg]"),
    }
    for plane, group in planes.items():
        variables |= of_detector(group, f"_{plane}" if len(planes) > 1 else "")
    drawn = chunk.drawn_parameters([i.gaps for i in images], 1)
    variables |= {n: io.Variable(v.dimensions[1:], v.values[0], v.attributes) for n, v in drawn.items()}
    return io.File(variables, history(campaign, source, realisation))


def text(axis: str, values: Iterable[str], meaning: str) -> io.Variable:
    """Names along an axis."""
    return io.Variable((axis,), np.array(list(values), dtype=object), {"long_name": meaning})


def of_detector(images: Sequence[BandImage], mark: str) -> dict[str, io.Variable]:
    """The images of the bands of one detector and their coordinates; all names but `realisation` end in `mark`."""
    layout, grid = images[0].layout, images[0].layout.index is not None
    axes = tuple(f"{axis}{mark}" for axis in layout.dimensions)
    row = {"units": "1", "long_name": "detector row, along +y", **({"axis": "Y"} if grid else {})}
    column = {"units": "1", "long_name": "detector column, along +x", **({"axis": "X"} if grid else {})}
    field = {"units": "degree", "long_name": "field angle", "missing_value": np.nan}
    variables = {
        f"band{mark}": text(f"band{mark}", (i.band for i in images), "spectral band"),
        f"row{mark}": io.Variable(axes[-2:-1] if grid else axes, layout.rows, row),
        f"column{mark}": io.Variable(axes[-1:], layout.columns, column),
        f"field_angle{mark}": io.Variable(axes, layout.place(np.degrees(images[0].theta)), field),
    }
    if layout.dimensions != ("row", "column") and np.ptp(layout.views):
        variables[f"view{mark}"] = io.Variable(axes[:1], layout.views, {"units": "1", "long_name": "number of the view"})
    listed = (f"field_angle{mark}",) if grid else (f"field_angle{mark}", f"row{mark}", f"column{mark}")
    more = {"coordinates": " ".join(("realisation", *listed)), "missing_value": np.nan, "sparse": 1}
    for version in VERSIONS:
        for q, name in enumerate(QUANTITIES):
            absent = np.full(images[0].theta.size, np.nan)
            rows = [i.values[version][q] if q < len(i.values[version]) else absent for i in images]
            about = {**described(name, version, images[0].threshold), **more}
            variables[f"{name}_{version}{mark}"] = io.Variable((f"band{mark}", *axes), layout.place(np.stack(rows)), about)
    return variables


def history(campaign: Any, source: str, realisation: int) -> dict[str, Any]:
    """Global attributes: where the image comes from."""
    about: dict[str, Any] = {
        "title": f"Image with calibration error: {source}, realisation {realisation}",
        "comment": "gap = retrieve(measure(S; actual); believed) - S",
        "campaign": campaign.config.campaign,
        "instrument": campaign.instrument.name,
        "error_source": source,
        "realisation": realisation,
        "outcome": OUTCOMES[0],
        "key": campaign.keys[source],
        "scene_key": campaign.scene_key,
        "scene": campaign.scene_json,
        "task": campaign.task_json(source),
    }
    return provenance.attributes(**about)


def described(name: str, version: str, threshold: float) -> dict[str, str]:
    """Units and meaning of one variable."""
    about = {"units": CF_UNITS[UNITS[name]], "long_name": f"{NAMES[name]}, {version.replace('_', ' ')}"}
    missing = [] if name == "I" else ["in bands without polarisers"]
    if version == "gap":
        about["long_name"] = f"gap of {NAMES[name]}: {MEANING[name]}"
    if name == "aolp":
        missing.append(f"where the reference DoLP is {f'at most {threshold:g}' if version == 'gap' else '0'}")
    return about | ({"comment": f"missing {' and '.join(missing)}"} if missing else {})


def draw(campaign: Any, source: str, realisation: int, image: BandImage) -> bytes:
    """PNG of one band: a row per quantity; reference, with error and gap side by side."""
    count, title = len(image.values["gap"]), f"{source}, realisation {realisation}, band {image.band}"
    about = (
        f"{title} of {campaign.instrument.name}, campaign {campaign.config.campaign}",
        amplitudes(campaign, source),
        *draws(campaign, image),
    )
    with figures.figure(image.layout, count, "\n".join(about)) as (drawing, axes):
        for q, row in enumerate(axes):
            quantity_row(drawing, row, image, q)
        return figures.png(drawing, title)


def quantity_row(drawing: Any, axes: np.ndarray, image: BandImage, q: int) -> None:
    """Reference and with error on one scale, and the gap on its own."""
    quantity, layout = QUANTITIES[q], image.layout
    reference, error, gap = (image.values[version][q] for version in VERSIONS)
    scale, gap_scale = scale_of(quantity, np.stack([reference, error])), figures.signed(gap)
    figures.panel(axes[0], layout, reference, scale, f"{HEADS[quantity]}, reference")
    figures.panel(axes[1], layout, error, scale, f"{HEADS[quantity]}, with error")
    figures.bar(drawing, axes[:2], scale, f"{HEADS[quantity]} [{UNITS[quantity] if q > 2 else 'πL/E₀'}]")
    mean, std = image.gaps.rows[0, 0, q, [MEAN, STD]] / 10.0**gap_scale.power
    unit = gap_scale.unit(UNITS[quantity])
    found = f"mean {mean:.3g}, std {std:.3g} [{unit}]".replace("-", "−") if std == std else "in no pixel"
    where = f" where DoLP > {image.threshold:g}" if quantity == "aolp" else ""
    figures.panel(axes[2], layout, gap, gap_scale, f"gap: {found}")
    figures.bar(drawing, axes[2], gap_scale, f"{GAPS[quantity]} [{unit}]{where}")


def scale_of(name: str, values: np.ndarray) -> Scale:
    """Scale of a quantity, for its reference and its values with error."""
    if name == "aolp":
        return figures.cyclic()
    if name in ("Q", "U") and values.min() < 0 < values.max():
        return figures.signed(values, "PuOr_r", thousands=False)
    return figures.sequential(values, "cividis" if name == "dolp" else "viridis")


def amplitudes(campaign: Any, source: str) -> str:
    """The knobs of the sources that are drawn, and which model is wrong, for the title."""
    found, wrong = [], set()
    for member in campaign.members(source):
        record = campaign.config.amplitudes[member]
        knobs = figures.knobs(record.model_dump(exclude_defaults=True), SOURCES[member].unit)
        found.append(knobs if member == source else f"{member}:{figures.SPACE}{knobs}")
        wrong.add(record.error_in or campaign.config.error_in)
    return f"{'; '.join(found)}; error in the {' and in the '.join(sorted(wrong))}" if found else "no error"


def draws(campaign: Any, image: BandImage) -> list[str]:
    """The scalar draws of the realisation, as differences to the nominal model, for the title."""
    nominal, drawn = polarimeter.nominal(campaign.instrument, image.band), image.gaps.drawn
    of_each = {
        "Δα [deg]": drawn["orientation"][0] - np.degrees(nominal.orientation),
        "Δη": drawn["efficiency"][0] - nominal.efficiency,
        "ΔT/T": drawn["relative_transmission"][0] / nominal.relative_transmission - 1,
    }
    texts = {k: ", ".join(f"{v:+.3g}" if v else "0" for v in values) for k, values in of_each.items() if values.any()}
    found = [f"drawn for the polarisers {', '.join(chunk.POLARISERS)}"] if texts else []
    found += [f"{k} {text}".replace(" ", figures.SPACE) for k, text in texts.items()]
    b = float(drawn["non_linearity"][0])
    found += [f"b{figures.SPACE}{b:+.3g}" if texts else f"drawn: b{figures.SPACE}{b:+.3g}"] if b else []
    return ["; ".join(found).replace("-", "−")] if found else []
