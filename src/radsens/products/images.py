"""The image with calibration error of one realisation: reference, with error, and gap of I, Q, U, DoLP and AoLP.

It is computed by the kernels of the campaign with the draws of that realisation, so that its statistics are the row that
the realisation has in the campaign's tables:

    I' = I (1 + ΔI/I),   Q' = Q + I (ΔQ/I),   U' = U + I (ΔU/I),   DoLP' = DoLP + ΔDoLP,   AoLP' = AoLP + ΔAoLP
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from radsens import chunk, io, provenance
from radsens.gaps.quantities import AOLP, MEANING, QUANTITIES, UNITS
from radsens.gaps.statistics import MEAN, STD
from radsens.gaps.strata import Strata, aolp, dolp, partition
from radsens.models import polarimeter
from radsens.products import figures
from radsens.products.figures import Layout, Scale
from radsens.realise import OUTCOMES, BandGaps, acting, field_keys, image_pass, lay, models, quantities_of, realise_band
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
    band : name
    values : by version: (quantity, pixel), in the units of the quantities; I alone without polarisers
    gaps : statistics and outcome of the same realisation, and its draws
    """

    band: str
    values: dict[str, np.ndarray]
    gaps: BandGaps


def write_image(campaign: Any, source: str, realisation: int, output: Path | None, band: str | None) -> list[Path]:
    """Write the image with calibration error of one realisation: netCDF of all bands where the source acts, PNG of one.

    Parameters
    ----------
    campaign : radsens.campaign.Campaign
    source : error source, combination, or the control
    realisation : number of the realisation, one of the campaign's
    output : netCDF to write, with the PNG beside it; in the campaign's images/ if not given
    band : band of the PNG; the first where the source acts if not given

    Returns
    -------
    Paths of the netCDF and of the PNG

    Raises
    ------
    Fault : an unknown source, band or realisation, one that failed, or an output that cannot be written
    """
    task = campaign.task(source)
    if realisation >= campaign.realisations(source):
        raise Fault(f"realisation: {source} has {campaign.realisations(source)} of them, counted from 0; got {realisation}")
    default = campaign.root / "images" / f"{source}-{realisation:06d}.nc"
    path = Path(output or default)
    if path.suffix not in (".nc", ".png"):
        raise Fault(f"--output: {path}: give a name that ends in .nc; the PNG takes the same name")
    active = [(SOURCES[n], SOURCES[n].Amplitudes.model_validate(a)) for n, a in task.sources.items()]
    bands = [b for b in campaign.config.bands if not active or acting(active, campaign.instrument, b)]
    if not bands:
        raise Fault(f"source: {source} acts on none of the bands {', '.join(campaign.config.bands)}; it has no image")
    if band not in (None, *bands):
        raise Fault(f"--band: {source} does not act on {band!r}; it acts on {', '.join(bands)}")
    scene, layout = figures.reference(campaign)
    images = [band_image(campaign, task, scene, b, active, realisation) for b in bands]
    shown = next(image for image in images if band in (None, image.band))
    written = [path.with_suffix(".nc"), path.with_suffix(".png")]
    drawing = draw(campaign, source, realisation, layout, shown)
    io.write(written[0], netcdf(campaign, source, realisation, scene, layout, images))
    figures.write(written[1], drawing)
    return written


def band_image(campaign: Any, task: Any, scene: Scene, band: str, active: Sequence[Any], realisation: int) -> BandImage:
    """One realisation of one band.

    Raises
    ------
    Fault : the realisation failed, for the reason that its row in the campaign has
    """
    b, here = scene.bands.index(band), acting(active, campaign.instrument, band)
    whole = Strata(aolp_min_dolp=campaign.config.strata.aolp_min_dolp)
    part, span = partition(whole, scene, b), range(realisation, realisation + 1)
    gaps = realise_band(task, campaign.instrument, scene, b, part, here, span)
    if gaps.outcome[0]:
        raise Fault(f"realisation: {realisation} failed in band {band} ({OUTCOMES[gaps.outcome[0]]}), so that it has no image")
    gap = pixel_gaps(campaign, task, scene, b, here, realisation)
    stokes = scene.stokes[b]
    reference = np.stack([*stokes, dolp(stokes), aolp(stokes)])[: len(gap)]
    size = np.array([stokes[0], stokes[0], stokes[0], np.ones_like(stokes[0]), np.ones_like(stokes[0])])[: len(gap)]
    error = reference + size * gap
    error[AOLP:] = 90 - (90 - error[AOLP:]) % 180
    gap[AOLP:, ~part.aolp] = np.nan
    return BandImage(band, dict(zip(VERSIONS, (reference, error, gap), strict=True)), gaps)


def pixel_gaps(campaign: Any, task: Any, scene: Scene, b: int, active: Sequence[Any], realisation: int) -> np.ndarray:
    """Gaps of all pixels of band number b in one realisation, as the campaign computes them: (quantity, pixel)."""
    instrument, name, pixels = campaign.instrument, scene.bands[b], scene.theta.size
    actual, believed = models(task, instrument, name, active, range(realisation, realisation + 1))
    nominal = polarimeter.nominal(instrument, name)
    table = polarimeter.pixel_table(nominal, scene, b, f"{instrument.name}.{name}")
    one_cell, weights = np.zeros(pixels, np.int64), np.ones((2, pixels))
    image = lay(np.arange(pixels), one_cell, table, weights, scene, task.precision, cut=False)
    parameters, _ = polarimeter.parameters(actual, believed, 1)
    out = np.zeros((len(quantities_of(nominal)), image.detector.size), task.precision)
    image_pass(
        out,
        image,
        parameters[0].astype(task.precision),
        polarimeter.switches(actual, believed),
        realisation,
        field_keys(task, name),
        nominal.relative_transmission.size,
    )
    return out[:, :pixels].astype(float)


def netcdf(
    campaign: Any, source: str, realisation: int, scene: Scene, layout: Layout, images: Sequence[BandImage]
) -> io.File:
    """The images of all bands as a CF file: (band, row, column), or (band, pixel) of a scene that is no image."""
    variables = coordinates(scene, layout, images, realisation)
    where = " ".join(("realisation", "field_angle", *(() if layout.index is not None else ("row", "column"))))
    for version in VERSIONS:
        for q, name in enumerate(QUANTITIES):
            rows = [i.values[version][q] if q < len(i.values[version]) else np.full(scene.theta.size, np.nan) for i in images]
            about = described(name, version, campaign.config.strata.aolp_min_dolp)
            more = {"missing_value": np.nan, "coordinates": where, "sparse": 1}
            variables[f"{name}_{version}"] = io.Variable(("band", *layout.dimensions), layout.place(np.stack(rows)), {**about, **more})
    drawn = chunk.drawn_parameters([i.gaps for i in images], 1)
    variables |= {n: io.Variable(v.dimensions[1:], v.values[0], v.attributes) for n, v in drawn.items()}
    about = {
        "title": f"Image with calibration error: {source}, realisation {realisation}, campaign {campaign.config.campaign}",
        "references": "gap = retrieve(measure(S; actual); believed) - S",
        "error_source": source,
        "realisation": realisation,
        "outcome": OUTCOMES[0],
        "instrument": campaign.instrument.name,
        "key": campaign.keys[source],
        "scene_key": campaign.scene_key,
        "scene": campaign.scene_json,
        "task": campaign.task_json(source),
    }
    return io.File(variables, provenance.attributes(**about))


def coordinates(scene: Scene, layout: Layout, images: Sequence[BandImage], realisation: int) -> dict[str, io.Variable]:
    """Coordinates of the images."""
    along = ("row", "column") if layout.index is not None else ("pixel", "pixel")
    angle = layout.place(np.degrees(scene.theta))
    return {
        "realisation": io.Variable((), np.array(realisation), {"standard_name": "realization", "units": "1", "long_name": "realisation"}),
        "band": io.Variable(("band",), np.array([i.band for i in images], dtype=object), {"long_name": "spectral band"}),
        "row": io.Variable(along[:1], layout.rows, {"units": "1", "long_name": "detector row, along +y", "axis": "Y"}),
        "column": io.Variable(along[1:], layout.columns, {"units": "1", "long_name": "detector column, along +x", "axis": "X"}),
        "polariser": io.Variable(
            ("polariser",), np.array(chunk.POLARISERS, dtype=object), {"long_name": "nominal orientation of the polariser [deg]"}
        ),
        "field_angle": io.Variable(layout.dimensions, angle, {"units": "degree", "long_name": "field angle"}),
    }


def described(name: str, version: str, threshold: float) -> dict[str, str]:
    """Units and meaning of one variable."""
    unit = CF_UNITS[UNITS[name]]
    if version != "gap":
        return {"units": unit, "long_name": f"{NAMES[name]}, {version.replace('_', ' ')}"}
    about = {"units": unit, "long_name": f"gap of {NAMES[name]}: {MEANING[name]}"}
    return about | ({"comment": f"missing where the reference DoLP is at most {threshold:g}"} if name == "aolp" else {})


def draw(campaign: Any, source: str, realisation: int, layout: Layout, image: BandImage) -> bytes:
    """PNG of one band: a row per quantity; reference, with error and gap side by side."""
    count, title = len(image.gaps.rows[0, 0]), f"{source}, realisation {realisation}, band {image.band}"
    about = (title, f"campaign {campaign.config.campaign}, {campaign.instrument.name}", *amplitudes(campaign, source), *draws(campaign, image))
    with figures.figure(10, 2.9 * count + 1.2, "\n".join(about)) as drawing:
        for q, axes in enumerate(drawing.subplots(count, 3, squeeze=False)):
            quantity_row(drawing, axes, layout, image, q)
        return figures.png(drawing, title)


def quantity_row(drawing: Any, axes: np.ndarray, layout: Layout, image: BandImage, q: int) -> None:
    """Reference and with error on one scale, and the gap on its own."""
    name = QUANTITIES[q]
    reference, error, gap = (image.values[version][q] for version in VERSIONS)
    scale, gap_scale = scale_of(name, np.stack([reference, error])), figures.signed(gap)
    figures.panel(axes[0], layout, reference, scale, f"{HEADS[name]}, reference")
    figures.panel(axes[1], layout, error, scale, f"{HEADS[name]}, with error")
    statistics = image.gaps.rows[0, 0, q]
    factor = 10.0**gap_scale.power
    found = f"mean {statistics[MEAN] / factor:.3g}, std {statistics[STD] / factor:.3g}"
    figures.panel(axes[2], layout, gap, gap_scale, f"{GAPS[name]}: {found}")
    figures.bar(drawing, axes[:2], scale, scale.label(HEADS[name] if q > 2 else f"π{HEADS[name]}/E₀", UNITS[name]))
    figures.bar(drawing, axes[2], gap_scale, gap_scale.label(GAPS[name], UNITS[name]))


def scale_of(name: str, values: np.ndarray) -> Scale:
    """Scale of a quantity, for its reference and its values with error."""
    if name == "aolp":
        return figures.cyclic()
    if name in ("Q", "U"):
        return figures.signed(values, "PuOr_r", thousands=False)
    return figures.sequential(values, "viridis" if name == "I" else "cividis")


def amplitudes(campaign: Any, source: str) -> list[str]:
    """The knobs of the sources that are drawn, for the title."""
    found = []
    for member in campaign.members(source):
        record, unit = campaign.config.amplitudes[member], SOURCES[member].unit
        knobs = record.model_dump(mode="json", exclude_defaults=True)
        size = record.size()
        values = [f"{k} {v}{f' {unit}' if k == size and unit != '1' else ''}" for k, v in knobs.items()]
        found.append(f"{f'{member}: ' if member != source else ''}{', '.join(values)}")
    return [f"{'; '.join(found) or 'no error'}; error in the {campaign.config.error_in}"]


def draws(campaign: Any, image: BandImage) -> list[str]:
    """The scalar draws of the realisation, as differences to the nominal model, for the title."""
    nominal, drawn = polarimeter.nominal(campaign.instrument, image.band), image.gaps.drawn
    differences = {
        "Δα [deg]": drawn["orientation"][0] - np.degrees(nominal.orientation),
        "Δη": drawn["efficiency"][0] - nominal.efficiency,
        "ΔT/T": drawn["relative_transmission"][0] / nominal.relative_transmission - 1,
        "b": drawn["non_linearity"] - nominal.non_linearity,
    }
    moved = [f"{k} = {', '.join(f'{v:+.2g}' for v in values)}" for k, values in differences.items() if np.any(values)]
    return [f"drawn: {'; '.join(moved)}"] if moved else []
