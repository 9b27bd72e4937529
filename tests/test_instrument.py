"""Instruments are data with their sources; the focal plane is geometry."""

from pathlib import Path

import numpy as np
import pytest

from radsens.instrument import SHIPPED, FocalPlane, Polarimeter, line_of_sight, load, names
from radsens.schema import Fault


@pytest.fixture(scope="module")
def parasol() -> Polarimeter:
    return load("parasol")


@pytest.fixture(scope="module")
def ideal() -> Polarimeter:
    return load("ideal")


def numbers(node, knob=""):
    """Knobs of every number of a dumped instrument, a tuple of numbers counting once."""
    if isinstance(node, dict):
        for key, child in node.items():
            yield from numbers(child, f"{knob}.{key}" if knob else key)
    elif isinstance(node, tuple | list) and node and isinstance(node[0], dict):
        for child in node:
            yield from numbers(child, f"{knob}.{child['name']}")
    elif not isinstance(node, str | bool) and node is not None:
        yield knob


def test_parasol_and_ideal_are_shipped():
    assert {"ideal", "parasol"} <= set(names())


@pytest.mark.parametrize("name", names())
def test_every_number_of_an_instrument_carries_a_status_and_a_source(name):
    instrument = load(name)
    sourced = [origin.knob for origin in instrument.origins]
    assert sorted(sourced) == sorted(numbers(instrument.model_dump(exclude={"origins"})))
    assert all(origin.source and origin.status in ("verified", "recalled", "assumed") for origin in instrument.origins)


@pytest.mark.parametrize("name", names())
def test_an_assumption_says_why_and_a_verified_number_where(name):
    for origin in load(name).origins:
        if origin.status == "verified":
            assert any(
                word in origin.source for word in ("ICARE", "CNES", "Wikipedia", "sentinel.esa.int", "eo-atlas.org", "scite.ai")
            ), origin
        assert len(origin.source) > 20, origin


def test_parasol_has_the_bands_of_the_flown_instrument(parasol):
    assert parasol.band_names == (
        "443NP", "490P", "565NP", "670P", "763NP", "765NP", "865P", "910NP", "1020NP",
    )  # fmt: skip
    assert [band.name for band in parasol.bands if band.polarised] == ["490P", "670P", "865P"]


def test_parasol_sees_43_by_51_degrees_to_each_side(parasol):
    # source: CNES page GP_instrument.htm, field of view ± 43° and ± 51°; pixel centres lie just inside
    plane = parasol.detectors[0].focal_plane
    x, y, theta = plane.coordinates(np.arange(plane.size))
    assert np.degrees(np.arctan(x.max())) == pytest.approx(43, abs=1)
    assert np.degrees(np.arctan(y.max())) == pytest.approx(51, abs=1)
    assert np.degrees(theta.max()) == pytest.approx(56.8, abs=0.1)


def test_parasol_triplets_are_near_their_nominal_angles_and_known_mostly_polarising(parasol):
    for band in filter(lambda band: band.polarised, parasol.bands):
        assert np.abs(np.subtract(band.orientation, (-60, 0, 60))).max() < 1
        assert all(0.98 < eta < 1 for eta in band.efficiency)
        assert band.relative_transmission[1] == 1


def test_efficiency_is_that_of_the_extinction_ratio(parasol):
    # ER 200 → η = 199/201, ER 500 → 499/501
    assert parasol.band("490P").efficiency == pytest.approx((199 / 201,) * 3, rel=1e-15)
    assert parasol.band("865P").efficiency == pytest.approx((499 / 501,) * 3, rel=1e-15)
    assert parasol.band("565NP").efficiency is None


def test_diattenuation_and_vignetting_are_nil_on_the_axis_and_realistic_at_the_corner(parasol):
    theta = np.array([0.0, parasol.detectors[0].focal_plane.coordinates(0)[2]])
    for band in parasol.bands:
        epsilon, gain = band.optics_polarisation_at(theta), band.low_frequency_at(theta)
        assert epsilon[0] == 0
        assert gain[0] == 1
        assert 0.015 < epsilon[1] < 0.035
        assert 0.65 < gain[1] < 0.8


def test_optical_thickness_follows_hansen_and_travis(parasol, ideal):
    # source: Hansen & Travis 1974, equation 2.30; the files hold four decimals
    for band in (*parasol.bands, *ideal.bands):
        um2 = (band.wavelength / 1e3) ** -2
        tau = 0.008569 * um2**2 * (1 + 0.0113 * um2 + 0.00013 * um2**2)
        assert band.rayleigh_optical_thickness == pytest.approx(tau, abs=5.1e-5)


def test_saturating_radiance_fills_the_scale(parasol):
    for band in parasol.bands:
        count = parasol.absolute_gain(band.name) * band.saturation * band.integration_time + parasol.detector(band.name).dark
        assert count == pytest.approx(2**12 - 1, rel=1e-14)


def test_signal_to_noise_ratio_exceeds_200_at_the_design_point(parasol):
    # recalled: Deschamps et al. 1994, SNR ≥ 200 at a normalised radiance of about 0.2
    for band in parasol.bands:
        signal = 0.2 * parasol.absolute_gain(band.name)
        detector = parasol.detector(band.name)
        assert signal / np.sqrt(detector.read_noise**2 + detector.shot * signal) > 200


def test_the_ideal_instrument_is_ideal(ideal, parasol):
    assert [band.polarised for band in ideal.bands] == [True, True, False]
    theta = np.linspace(0, 1, 5)
    for band in ideal.bands:
        assert (band.optics_polarisation_at(theta) == 0).all()
        assert (band.low_frequency_at(theta) == 1).all()
        assert band.high_frequency == 0
        assert band.integration_time == 1
        if band.polarised:
            assert band.efficiency == (1, 1, 1)
            assert band.orientation == (-60, 0, 60)
            assert band.relative_transmission == (1, 1, 1)
    assert ideal.detectors == parasol.detectors


def test_an_instrument_cannot_be_changed(parasol):
    with pytest.raises(ValueError, match="frozen"):
        parasol.bands[0].saturation = 2.0
    assert hash(parasol) == hash(load("parasol"))


def test_each_band_is_read_by_its_own_detector(ideal, parasol):
    assert {parasol.detector(name).name for name in parasol.band_names} == {"ccd"}
    coarse = parasol.detectors[0].model_copy(update={"name": "coarse", "bits": 10, "dark": 23.0})
    second = ideal.band("P2").model_copy(update={"detector": "coarse"})
    bands = tuple(second if band.name == "P2" else band for band in ideal.bands)
    both = Polarimeter.model_validate({**dict(ideal), "detectors": (*ideal.detectors, coarse), "bands": bands})
    assert [both.detector(name).name for name in both.band_names] == ["ccd", "coarse", "ccd"]
    # the absolute gain fills the scale of the band's own detector: 2^12 − 1 − 100 and 2^10 − 1 − 23 counts at I = 1
    assert [both.absolute_gain(name) for name in both.band_names] == [3995, 1000, 3995]


def test_parasol_flies_with_the_long_side_of_its_matrix_along_the_track(parasol):
    # source: CNES pages, swath of about 1600 km from 705 km: too little for the long side, whose middle alone sees more
    platform, plane = parasol.platform, parasol.detectors[0].focal_plane
    x = plane.columns * plane.pitch_column / 2 / plane.focal_length * np.array([1, 0])
    y = plane.rows * plane.pitch_row / 2 / plane.focal_length * np.ones(2)
    sight, height = line_of_sight(x, y), 1 + platform.altitude / 6371
    distance = sight[2] * height - np.sqrt((sight[2] * height) ** 2 - (height**2 - 1))
    short_side = 2 * 6371 * np.arcsin(distance * sight[0])[0]  # at the corners; with no heading, x is across the track
    long_side = 2 * 6371 * np.arcsin(distance * sight[1])[1]
    assert short_side == pytest.approx(1600, rel=0.05)
    assert long_side > 1900
    assert platform.heading == 0
    assert plane.rows > plane.columns
    assert (platform.passing, platform.local_time, platform.views) == ("ascending", 13.5, 16)


def test_only_the_bands_of_oxygen_and_of_water_vapour_absorb_more_the_narrower_they_are(parasol):
    absorbing = {band.name: band.gas for band in parasol.bands if band.gas != "none"}
    assert absorbing == {"763NP": "oxygen", "765NP": "oxygen", "910NP": "water_vapour"}
    # two-way transmission exp(−k (m f)^b) at air mass 2 with all of the gas above
    through = {name: np.exp(-k * 2**b) for name in absorbing for k, b in [parasol.band(name).gas_absorption]}
    assert 0.5 < through["763NP"] < 0.65 < 0.8 < through["765NP"] < 0.9
    assert 0.7 < through["910NP"] < 0.9


def test_a_lacking_band_is_a_fault_that_lists_the_bands(parasol):
    with pytest.raises(Fault, match=r"parasol has no band '555P'; it has 443NP, 490P, .*1020NP"):
        parasol.band("555P")
    with pytest.raises(Fault, match="555P"):
        parasol.absolute_gain("555P")


@pytest.mark.parametrize("name", ["modis", "../parasol", "", "parasol.yaml"])
def test_a_lacking_instrument_is_a_fault_that_lists_those_shipped(name):
    with pytest.raises(Fault, match=r"ideal, .*parasol"):
        load(name)


def lines_of(name: str) -> list[str]:
    return (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8").splitlines()


def sourced(value) -> str:
    return f"{{value: {value}, status: assumed, source: long enough}}"


PLANE = "".join(f"      {n}: {sourced(1)}\n" for n in ("rows", "columns", "pitch_row", "pitch_column", "focal_length"))
CHAIN = f"    bits: {sourced(12)}\n    dark: {sourced(0)}\n    read_noise: {sourced(0)}\n    shot: {sourced(0)}\n"
TWIN = f"  - name: ccd\n    focal_plane:\n{PLANE}{CHAIN}"
WIDTH, ABSORPTION = f"    width: {sourced(20)}\n", f"    gas_absorption: {sourced([0.4, 0.5])}"

MALFORMED = {
    "bare number": ("    bits:", "    bits: 12", r"detectors\.ccd\.bits: a number needs value, status"),
    "bare list": ("    orientation:", "    orientation: [-60, 0, 60]", r"bands\.P1\.orientation: a number"),
    "no source": ("    dark:", "    dark: {value: 100, status: assumed}", r"detectors\.ccd\.dark\.source: field required"),
    "odd status": ("    dark:", "    dark: {value: 1, status: sure, source: long enough}", r"detectors\.ccd\.dark\.status"),
    "number as text": ("    bits:", "    bits: '12'", r"detectors\.ccd\.bits: .*integer"),
    "value as text": ("    bits:", "    bits: {value: x, status: assumed, source: long text}", r"detectors\.ccd\.bits\.value: "),
    "out of range": ("    bits:", "    bits: {value: 99, status: assumed, source: long enough}", r"detectors\.ccd\.bits: .*24"),
    "lacking knob": ("    width:", "", r"bands\.P1\.width: field required"),
    "unknown knob": ("    bits:", "    bytes: {value: 2, status: assumed, source: long enough}", r"detectors\.ccd\.bytes: extra"),
    "wrong length": (
        "    orientation:", "    orientation: {value: [-60, 60], status: assumed, source: long enough}",
        r"bands\.P1\.orientation",
    ),
    "wrong order": (
        "    orientation:", "    orientation: {value: [60, 0, -60], status: assumed, source: long enough}",
        r"bands\.P1: orientation must increase",
    ),
    "middle not 1": (
        "    relative_transmission:",
        "    relative_transmission: {value: [1, 2, 1], status: assumed, source: long enough}",
        r"bands\.P1: relative_transmission of the middle",
    ),
    "extinction below 1": (
        "    extinction_ratio:",
        "    extinction_ratio: {value: [500, 0.5, 500], status: assumed, source: long enough}",
        r"bands\.P1\.extinction_ratio\.1: .*greater than 1",
    ),
    "triplet half given": ("    extinction_ratio:", "", r"bands\.P1: extinction_ratio is given for a polarised"),
    "strong diattenuation": (
        "    optics_polarisation:",
        "    optics_polarisation: {value: [2, 0], status: assumed, source: long enough}",
        r"bands\.P1\.optics_polarisation must stay inside",
    ),
    "dark corner": (
        "    low_frequency:", "    low_frequency: {value: [-2, 0], status: assumed, source: long enough}",
        r"bands\.P1\.low_frequency must keep",
    ),
    "dark beyond scale": (
        "    dark:", "    dark: {value: 5000, status: assumed, source: long enough}", r"detectors\.ccd\.dark must be below",
    ),
    "twice the same detector": ("bands:", TWIN + "bands:", r"detectors must have different names"),
    "band of no detector": ("    detector:", "    detector: swir", r"bands\.P1\.detector must be one of ccd"),
    "gas without numbers": ("    width:", WIDTH + "    gas: oxygen", r"bands\.P1: gas_absorption is given with a gas"),
    "numbers without gas": ("    width:", WIDTH + ABSORPTION, r"bands\.P1: gas_absorption is given with a gas"),
    "unknown gas": ("    width:", WIDTH + "    gas: ozone", r"bands\.P1\.gas: .*water_vapour"),
    "unknown half of the orbit": ("  passing:", "  passing: rising", r"platform\.passing: .*descending"),
    "orbit inside the Earth": (
        "  altitude:", "  altitude: {value: -1, status: assumed, source: long enough}", r"platform\.altitude: .*100",
    ),
    "local time of tomorrow": (
        "  local_time:", "  local_time: {value: 24, status: assumed, source: long enough}", r"platform\.local_time: .*24",
    ),
    "twice the same band": ("  - name: P2", "  - name: P1", r"bands must have different names"),
    "not YAML": ("model:", "model: [", r"not readable as YAML"),
    "another model": ("model:", "model: sounder", r"model: .*polarimeter"),
    "own name": ("model:", "model: polarimeter\nname: x", r"without name"),
    "unsafe tag": ("title:", "title: !!python/object/apply:os.getcwd []", r"not readable as YAML"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_instrument_is_a_fault_that_names_the_knob(tmp_path: Path, case):
    start, replacement, message = MALFORMED[case]
    lines = lines_of("ideal")
    index = next(i for i, line in enumerate(lines) if line.startswith(start))
    anchors = [word for word in lines[index].split() if word.startswith("&")]
    text = "\n".join([*lines[:index], replacement, *lines[index + 1 :]])
    for anchor in anchors:
        text = text.replace(f"*{anchor[1:]}", '"the anchor was replaced"')
    (tmp_path / "odd.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(Fault, match=message) as fault:
        load("odd", tmp_path)
    assert str(fault.value).startswith("instrument odd: ")
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("text", ["", "12", "- 1", "\x00"])
def test_a_file_that_is_no_mapping_is_a_fault(tmp_path: Path, text):
    (tmp_path / "odd.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(Fault, match="instrument odd: "):
        load("odd", tmp_path)


def test_coordinates_are_centred_and_follow_rows_along_y_and_columns_along_x():
    plane = FocalPlane(rows=3, columns=5, pitch_row=0.2, pitch_column=0.1, focal_length=2)
    x, y, theta = plane.coordinates(np.arange(15))
    assert x.reshape(3, 5)[0] == pytest.approx([-0.1, -0.05, 0, 0.05, 0.1], abs=1e-16)
    assert y.reshape(3, 5)[:, 0] == pytest.approx([-0.1, 0, 0.1], abs=1e-16)
    assert np.tan(theta) == pytest.approx(np.hypot(x, y), abs=1e-15)
    assert theta[7] == 0


@pytest.mark.parametrize("pixels", [1, 7, 274, 1000, 4096, 66308])
def test_spread_pixels_are_distinct_and_sample_the_field_evenly(parasol, pixels):
    plane = parasol.detectors[0].focal_plane
    detector = plane.spread(pixels)
    assert len(set(detector.tolist())) == pixels
    assert detector.min() >= 0
    assert detector.max() < plane.size
    quadrant = 2 * (detector // plane.columns >= 137) + (detector % plane.columns >= 121)
    assert np.ptp(np.bincount(quadrant, minlength=4)) <= max(3, 0.03 * pixels)
    assert (plane.spread(plane.size)[:pixels] == detector).all()


def test_a_thousand_spread_pixels_have_the_field_angles_of_the_full_plane(parasol):
    plane = parasol.detectors[0].focal_plane
    quantiles = np.linspace(0.05, 0.95, 10)
    few, full = (np.quantile(plane.coordinates(plane.spread(n))[2], quantiles) for n in (1000, plane.size))
    assert few == pytest.approx(full, abs=0.01)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 7), (2, 2), (5, 1), (128, 128)])
def test_spread_covers_any_plane(rows, columns):
    plane = FocalPlane(rows=rows, columns=columns, pitch_row=0.03, pitch_column=0.03, focal_length=3)
    assert sorted(plane.spread(plane.size).tolist()) == list(range(rows * columns))
