"""The instruments that are shipped are those of their missions, as far as these are published, and go through the whole chain."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from netCDF4 import Dataset

from radsens.cli import app, run
from radsens.instrument import load
from radsens.scenes.acquisition import Look, Overpass, look, passage, place

CHANNELS = {  # eo-atlas.org, sensors 3MI and DPC
    "3mi": "410P 443P 490P 555P 670P 763NP 765NP 865P 910NP 1370P 1650P 2130P",
    "dpc": "443NP 490P 565NP 670P 763NP 765NP 865P 910NP",
}


def overpass(name: str, latitude: float = 45.0) -> Overpass:
    platform = load(name).platform
    return Overpass(platform, passage(platform, date(2026, 3, 21), latitude, 0.0), latitude, 0.0)


def edges(name: str, band: str) -> tuple[float, float]:
    """Half the field, to the outer edge of the last pixels, along x and y [1]."""
    plane = load(name).detector(band).focal_plane
    return plane.columns / 2 * plane.pitch_column / plane.focal_length, plane.rows / 2 * plane.pitch_row / plane.focal_length


def border(name: str, band: str) -> Look:
    """Left, right, rear and front end of the field, and the pixel beside the centre."""
    x, y = edges(name, band)
    pixel = 2 * x / load(name).detector(band).focal_plane.columns
    return look(overpass(name), np.array([x, -x, 0, 0, 0, pixel]), np.array([0, 0, y, -y, 0, 0]))


@pytest.mark.parametrize("name", CHANNELS)
def test_the_bands_are_those_of_the_mission_each_polarised_or_not_as_its_name_says(name):
    instrument = load(name)
    assert " ".join(instrument.band_names) == CHANNELS[name]
    for band in instrument.bands:
        assert band.name == f"{band.wavelength:g}{'P' if band.polarised else 'NP'}"
        assert (band.gas == "none") == (band.wavelength not in (763, 765, 910, 1370))


@pytest.mark.parametrize("name", CHANNELS)
def test_the_rayleigh_optical_thickness_is_that_of_the_wavelength(name):
    # Hansen & Travis 1974, equation 2.30, wavelength in µm
    for band in load(name).bands:
        inverse = (1000 / band.wavelength) ** 2
        tau = 0.008569 * inverse**2 * (1 + 0.0113 * inverse + 0.00013 * inverse**2)
        assert band.rayleigh_optical_thickness == pytest.approx(tau, abs=6e-5)


@pytest.mark.parametrize("name", CHANNELS)
def test_a_sample_of_radiance_0_2_stands_out_of_its_noise_by_200_on_the_axis(name):
    # the reason that the files give for their noise
    for band in load(name).bands:
        chain = load(name).detector(band.name)
        signal = chain.full_scale * 0.2 / band.saturation
        assert signal / np.sqrt(chain.read_noise**2 + chain.shot * signal) == pytest.approx(215, abs=15)


@pytest.mark.parametrize(
    ("name", "band", "across", "along", "pixel"),
    [
        # CEOS data base, instrument 1627: 2200 x 2200 km and 2200 x 1100 km, 4 km; square SWIR pixels give 1030 km
        ("3mi", "490P", 2200, 2200, 3.85),
        ("3mi", "1650P", 2200, 1035, 3.92),
        # eo-atlas.org, sensor DPC: 1850 km, 3.3 km (Li et al. 2018)
        ("dpc", "670P", 1875, 1880, 3.32),
    ],
)
def test_the_field_on_the_ground_has_the_size_of_the_mission(name, band, across, along, pixel):
    ground = border(name, band)
    assert ground.across[0] - ground.across[1] == pytest.approx(across, rel=0.01)
    assert ground.along[2] - ground.along[3] == pytest.approx(along, rel=0.01)
    assert ground.across[5] - ground.across[4] == pytest.approx(pixel, rel=0.01)


def test_the_diagonal_field_of_dpc_is_118_74_degrees():
    # Huang et al. 2020, Optics Express 28, 13187, abstract
    assert 2 * np.degrees(np.arctan(np.hypot(*edges("dpc", "670P")))) == pytest.approx(118.74, abs=0.01)


@pytest.mark.parametrize(
    ("name", "band", "views"),
    # published are 14 (eo-atlas.org), of the 15 that 22 s give; 6 to 7 in the SWIR (eoPortal); at least 9 for DPC
    [("3mi", "490P", {15, 16}), ("3mi", "1650P", {6, 7}), ("dpc", "670P", {9, 10})],
)
def test_a_target_on_the_track_is_seen_in_the_views_of_the_mission(name, band, views):
    passing = overpass(name)
    half_x, half_y = edges(name, band)
    found = set()
    for shift in np.linspace(0, 0.9, 4):  # of a target between two sub-satellite points, about 1.3° apart
        target = [place(passing, np.array([45.0 + shift]), np.array([0.0]), view) for view in range(-12, 13)]
        found.add(sum(abs(x[0]) < half_x and abs(y[0]) < half_y for x, y in target))
    assert found <= views


@pytest.mark.parametrize(("name", "north", "hour"), [("3mi", -1, 9.5), ("dpc", 1, 13.5)])
def test_3mi_flies_south_in_the_morning_and_dpc_north_in_the_afternoon(name, north, hour):
    after = look(overpass(name), np.zeros(1), np.zeros(1), view=3)
    assert np.sign(after.latitude[0] - 45) == north
    when = overpass(name, 0.0).when
    assert when.hour + when.minute / 60 + when.second / 3600 == pytest.approx(hour, abs=1e-3)


@pytest.mark.parametrize("name", CHANNELS)
def test_the_command_line_lists_each_number_with_its_status(name, capsys):
    assert run(lambda: app(["instruments", name])) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("platform.altitude", "bands.865P.orientation", "verified", "assumed"))


@pytest.mark.parametrize(("name", "bands"), [("3mi", ["410P", "763NP", "1650P"]), ("dpc", ["490P", "763NP", "865P"])])
def test_a_realisation_runs_on_an_instrument_that_is_nothing_but_its_file(here, name, bands):
    scene = {"kind": "uniform", "i": 0.2, "dolp": 0.3, "aolp": 20, "pixels": 40}
    spec = {"instrument": name, "bands": bands, "scene": scene, "strata": {}}
    task = {"instrument": name, "seed": 1, "error_in": "knowledge", "precision": "float64", "measurement": {}}
    assert run(lambda: app(["scene", json.dumps(spec), "--output", "scene.nc"])) == 0
    for file, sources in (("control.nc", {}), ("bent.nc", {"non_linearity": {"sigma": 0.01}})):
        words = ["realise", "x", "000000-000000", "--task", json.dumps({**task, "sources": sources}), "--scene", "scene.nc"]
        assert run(lambda words=words, file=file: app([*words, "--output", file])) == 0
    with Dataset(Path("control.nc")) as control, Dataset(Path("bent.nc")) as bent:
        assert np.nanmax(np.abs(control["max"][:].filled())) < 1e-12  # no error, no gap; no Q in an unpolarised band
        assert not bent["outcome"][:].any()
        assert (bent["rms"][0, :, 0, 0] > 1e-6).all()
        detectors = [load(name).detector(band).name for band in bands]
        drawn = bent["non_linearity"][0]
        assert all((drawn[i] == drawn[0]) == (detectors[i] == detectors[0]) for i in range(3))  # one draw per detector
