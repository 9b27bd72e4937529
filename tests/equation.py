"""The equation of the package in the hands of a test: two models in, gaps of every pixel out.

`gaps` composes the package's stages with any two models, and can disturb the counts in between. `realise` runs a span
with sources of the registry, every pixel being a stratum of its own if nothing else is asked.
"""

from dataclasses import replace

import numpy as np

from radsens.gaps.quantities import QUANTITIES, gap_row, intensity_gap_row
from radsens.gaps.strata import Partition, dolp
from radsens.models import polarimeter
from radsens.models.pixels import INVERSE_K, P0, Q0, S_MEAN, U0, J
from radsens.models.polarimeter import INVERSE
from radsens.realise import Measurement, Task, realise_band
from radsens.scenes.uniform import patches
from radsens.sources import SOURCES

RADIANS = np.pi / 180
MEAN, STD, RMS, LOW, HIGH = range(5)  # statistics of a row
I, Q, U, DOLP, AOLP = range(len(QUANTITIES))


def states(instrument, i, p, chi, pixels=1, band=None):
    """Scene of states of polarisation over the field, each seen by some pixels: I [1], DoLP [1] and AoLP [rad].

    Seen by the first band of the instrument if none is named.
    """
    i, p, chi = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, float)) for v in (i, p, chi)))
    named = band or instrument.band_names[0]
    return patches(instrument.detector(named), named, "states", (i, p, chi / RADIANS), pixels)


def lattice(*axes):
    """All combinations of the values of some axes, flat, one array per axis."""
    return [v.ravel() for v in np.meshgrid(*axes, indexing="ij")]


def gaps(actual, believed, scene, count=1, disturbed=0.0, optics=None):
    """Gaps (realisation, quantity, pixel) and outcomes (realisation,) of models without random fields.

    Parameters
    ----------
    actual, believed : IRM whose arrays have `count` realisations or none
    disturbed : (sample, ...) counts added after the measurement
    optics : IRM whose optics the retrieval believes; those of `actual` unless given
    """
    p, outcome = polarimeter.parameters(actual, believed, count)
    switch = polarimeter.switches(actual, believed)
    table = polarimeter.pixel_table(fixed_part(actual), scene, "test")
    if optics is not None:
        back = polarimeter.pixel_table(optics, scene, "test")
        table[J:Q0], table[INVERSE_K:S_MEAN] = back[J:Q0], back[INVERSE_K:S_MEAN]
    samples, n = (3 if actual.polarised else 1), table.shape[1]
    out = np.zeros((count, len(QUANTITIES) if samples == 3 else 1, n))
    fields, common, hit = np.zeros((6, n), np.float32), np.zeros(n), np.zeros(n)
    added = np.broadcast_to(disturbed, (samples, n))
    for r in range(count):
        d, x = np.zeros((2, samples, n))
        for a in range(samples):
            polarimeter.measure(d[a], x[a], hit, a, table, fields, common, p[r], switch)
            d[a] += added[a]
            polarimeter.retrieve(d[a], x[a], a, table, fields, common, p[r], switch)
        if optics is not None:  # what is expected is no longer retrieved as the reference: the whole signal is looked at
            d += x
        inverse_k = table[INVERSE_K : INVERSE_K + samples]
        if samples == 3:
            polarimeter.stokes(out[r], table[J:Q0], p[r, INVERSE : INVERSE + 9], d, inverse_k)
            out[r, :3] -= 0 if optics is None else [np.ones(n), table[Q0], table[U0]]
            gap_row(out[r], table[Q0], table[U0], table[P0])
        else:
            intensity_gap_row(out[r, 0], d[0], inverse_k[0], table[J], p[r, INVERSE])
            out[r, 0] -= 0 if optics is None else 1
    return out, outcome


def fixed_part(irm):
    """The model without its realisation axis, for the pixel table, which only takes the fixed part from it."""
    first = {k: v.reshape(-1, v.shape[-1])[0] for k, v in vars(irm).items() if isinstance(v, np.ndarray) and v.ndim > 1}
    return replace(irm, **first)


def whole(scene):
    """The whole image as one stratum; AoLP where the DoLP exceeds 0.02."""
    n = scene.theta.size
    aolp = dolp(scene.stokes) > 0.02
    return Partition(("all",), np.zeros(n, int), np.zeros((1, 1), int), aolp)


def each_pixel(scene):
    """A stratum for every pixel, after `all`."""
    n = scene.theta.size
    members = np.stack([np.zeros(n, int), 1 + np.arange(n)], axis=1)
    aolp = dolp(scene.stokes) > 0.02
    return Partition(("all", *(f"pixel{k}" for k in range(n))), np.arange(n), members, aolp)


def realise(instrument, scene, sources, span, error_in="instrument", strata=each_pixel, threads=1, **settings):
    """BandGaps of a span under sources given by name with their knobs; settings: seed, sampling, precision, measurement."""
    active = [(SOURCES[name], SOURCES[name].Amplitudes(**knobs)) for name, knobs in sources.items()]
    task = Task(
        instrument=instrument.name,
        seed=settings.get("seed", 20240229),
        sampling=settings.get("sampling", "random"),
        error_in=error_in,
        precision=settings.get("precision", "float64"),
        quantiles=settings.get("quantiles", True),
        measurement=settings.get("measurement", Measurement()),
        sources=sources,
    )
    return realise_band(task, instrument, scene, strata(scene), active, span, threads)


def pixel_gaps(found):
    """Gaps (realisation, quantity, pixel) of a run with a stratum for every pixel."""
    return np.moveaxis(found.rows[:, 1:, :, MEAN], 1, 2)


def with_detector(instrument, **numbers):
    """The instrument with other numbers of its one detector."""
    (detector,) = instrument.detectors
    return instrument.model_copy(update={"detectors": (detector.model_copy(update=numbers),)})


def with_extinction(instrument, ratio):
    """The instrument with another extinction ratio of all its polarisers."""
    bands = [b.model_copy(update={"extinction_ratio": (ratio,) * 3}) if b.polarised else b for b in instrument.bands]
    return instrument.model_copy(update={"bands": tuple(bands)})
