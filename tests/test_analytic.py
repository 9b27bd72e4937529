"""The analytic scene is physics in the focal-plane frame: each law is checked by another road than that of the code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.equation import with_detector
from tests.oracles import polarisation, radial_frame, stokes_of_fields, unpolarised_beam, wrapped

from radsens.instrument import DEGREE, FocalPlane, Polarimeter, frame_turn, line_of_sight, load, rotate
from radsens.scenes import analytic, render
from radsens.scenes.analytic import Analytic
from radsens.schema import Fault, Scene
from radsens.transfer.facets import fresnel

PARASOL = load("parasol")


def seen(band: str, instrument: Polarimeter = PARASOL, **knobs) -> Scene:
    """The scene as one band sees it."""
    (scene,) = render(Analytic(kind="analytic", **knobs), instrument, [band])
    return scene


@pytest.fixture(scope="module")
def bands() -> dict[str, Scene]:
    """The scene as all bands see it."""
    return {scene.band: scene for scene in render(Analytic(kind="analytic"), PARASOL, PARASOL.band_names)}


@pytest.fixture(scope="module")
def image(bands) -> Scene:
    """The scene in the red, with the pixels of all bands."""
    return bands["670P"]


def flat_earth(sight: np.ndarray, sun: np.ndarray) -> analytic.Geometry:
    """Geometry of lines of sight (3, pixel) over a plane of zenith −z."""
    mu, mu0 = sight[2], -sun[2] * np.ones_like(sight[2])
    cosine = (sun * sight).sum(0)
    across = np.cross(sun, sight, axis=0)
    zenith = np.array([[0.0], [0.0], [-1.0]]) * np.ones_like(sight)
    return analytic.Geometry(sight, sun, zenith, mu, mu0, cosine, cosine + 2 * mu0 * mu, across)


def scattered_at(angle: float) -> analytic.Geometry:
    """One pixel seen at the specular point, under the scattering angle `angle` [deg]."""
    tilt = (90 - angle / 2) * DEGREE
    along = np.array([[np.sin(tilt)], [0.0], [np.cos(tilt)]])
    return flat_earth(along, along * np.array([[1.0], [0.0], [-1.0]]))


def test_analytic_scene_is_the_whole_focal_plane(bands, image):
    assert tuple(bands) == PARASOL.band_names
    assert all(scene.stokes.shape == (3, 274 * 242) for scene in bands.values())
    assert image.shape == (274, 242)
    assert (image.detector == np.arange(274 * 242)).all()
    assert image.class_names == ("ocean", "glint")
    assert 0.1 < image.scene_class.mean() < 0.4
    assert set(image.geometry) == {"sza", "vza", "relative_azimuth", "scattering_angle", "glint_angle"}
    assert all(field.shape == (274 * 242,) for field in image.geometry.values())


def test_geometry_is_that_of_a_spherical_earth(image):
    # law of sines in the triangle Earth centre, instrument, ground: sin VZA = (1 + h/R) sin θ
    vza = np.degrees(np.arcsin((1 + 705 / 6371) * np.sin(image.theta)))
    assert image.geometry["vza"] == pytest.approx(vza, abs=1e-6)
    centre = np.argsort(image.theta)[:4]
    assert image.geometry["sza"][centre] == pytest.approx(40, abs=0.05)
    assert image.geometry["scattering_angle"][centre] == pytest.approx(140, abs=0.4)


def test_scattering_and_glint_angles_follow_the_zenith_angles_and_the_azimuth(image):
    # spherical trigonometry at the ground pixel; relative azimuth 0 on the backscatter side
    sza, vza, azimuth = (np.radians(image.geometry[name]) for name in ("sza", "vza", "relative_azimuth"))
    crossed = np.sin(sza) * np.sin(vza) * np.cos(azimuth)
    scattering = -np.cos(sza) * np.cos(vza) - crossed
    specular = np.cos(sza) * np.cos(vza) - crossed
    assert np.cos(np.radians(image.geometry["scattering_angle"])) == pytest.approx(scattering, abs=1e-12)
    assert np.cos(np.radians(image.geometry["glint_angle"])) == pytest.approx(specular, abs=1e-12)
    assert (image.scene_class == (image.geometry["glint_angle"] < 30)).all()


def test_light_is_polarised_across_the_scattering_plane(bands, image):
    # independent: direction of sun × sight projected on the radial frame by trigonometry, then radial transport
    sun = np.array([np.sin(40 * DEGREE) * np.cos(60 * DEGREE), np.sin(40 * DEGREE) * np.sin(60 * DEGREE), 0])
    sun[2] = -np.cos(40 * DEGREE)
    sight, _, _ = radial_frame(image.x, image.y)
    _, chi = polarisation(stokes_of_fields([np.cross(sun[:, None], sight, axis=0)], image.x, image.y))
    for scene in bands.values():
        dolp, aolp = polarisation(scene.stokes)
        clear = dolp > 1e-4
        assert clear.mean() > 0.95
        assert wrapped(aolp - chi)[clear] == pytest.approx(0, abs=1e-10)


@settings(deadline=None)
@given(st.floats(-1.3, 1.3), st.floats(-1.3, 1.3), st.floats(0, 75), st.floats(-180, 180))
def test_air_scatters_as_an_electric_dipole(x, y, zenith, azimuth):
    # independent: the scattered field of a dipole is the incident field projected across the line of sight
    x, y = np.array([x]), np.array([y])
    spec = Analytic(kind="analytic", solar_zenith=zenith, solar_azimuth=azimuth, altitude=100)
    try:
        directions = analytic.geometry(spec, x, y)
    except Fault:
        return
    sight, _, _ = radial_frame(x, y)
    fields = [e - (e * sight).sum(0) * sight for e in unpolarised_beam(directions.sun[:, 0])]
    i, q, u = stokes_of_fields(fields, x, y)
    air, polarised = analytic.air_light(directions, 0.1, 0.0)
    turn = analytic.polarisation_turn(directions, x, y)
    assert polarised * turn[0] / air == pytest.approx(q / i, abs=1e-12)
    assert polarised * turn[1] / air == pytest.approx(u / i, abs=1e-12)


@settings(deadline=None)
@given(st.floats(-1.2, 1.2), st.floats(-1.2, 1.2), st.floats(0, 70), st.floats(-180, 180))
def test_glint_is_the_fresnel_reflection_on_the_facet_that_sends_the_sun_to_the_instrument(x, y, zenith, azimuth):
    # independent: electric vectors split along and across the facet's plane of incidence, each with its amplitude
    x, y = np.array([x]), np.array([y])
    spec = Analytic(kind="analytic", solar_zenith=zenith, solar_azimuth=azimuth, altitude=100)
    try:
        directions = analytic.geometry(spec, x, y)
    except Fault:
        return
    sight, sun = radial_frame(x, y)[0][:, 0], directions.sun[:, 0]
    normal = (sun - sight) / np.linalg.norm(sun - sight)
    s = np.cross(sun, sight)
    if np.linalg.norm(s) < 1e-6:
        return
    s /= np.linalg.norm(s)
    incidence = np.arccos(sun @ normal)
    refraction = np.arcsin(np.sin(incidence) / 1.34)
    r_s = -np.sin(incidence - refraction) / np.sin(incidence + refraction)
    r_p = np.tan(incidence - refraction) / np.tan(incidence + refraction)
    fields = []
    for e in unpolarised_beam(sun):
        along, across = e[:, 0] @ np.cross(s, sun), e[:, 0] @ s
        fields.append((r_p * along * np.cross(s, sight) + r_s * across * s)[:, None] / np.sqrt(2))
    i, q, u = stokes_of_fields(fields, x, y)
    reflected, polarised, _ = fresnel(np.cos([incidence]), 1.34)
    turn = analytic.polarisation_turn(directions, x, y)
    assert reflected == pytest.approx(i, rel=1e-8)
    assert polarised * turn[0] == pytest.approx(q, abs=1e-10)
    assert polarised * turn[1] == pytest.approx(u, abs=1e-10)


def test_fresnel_reflection_at_normal_incidence_and_at_brewsters_angle():
    reflected, polarised, _ = fresnel(np.array([1.0]), 1.34)
    assert reflected == pytest.approx((0.34 / 2.34) ** 2, rel=1e-14)
    assert np.isfinite(polarised).all()
    brewster = np.arctan(1.34)
    reflected, polarised, _ = fresnel(np.cos(np.array([brewster])), 1.34)
    assert polarised * np.sin(2 * brewster) ** 2 == pytest.approx(reflected, rel=1e-14)


@pytest.mark.parametrize("depolarisation", [0.0, 0.0279, 0.1, 0.5])
def test_single_scattering_at_90_degrees_is_polarised_to_the_depolarisation_limit(depolarisation):
    # definition of the depolarisation factor: DoLP(90°) = (1 − δ) / (1 + δ)
    air, polarised = analytic.air_light(scattered_at(90), 0.1, depolarisation)
    limit = (1 - depolarisation) / (1 + depolarisation)
    assert polarised / air == pytest.approx(limit, rel=1e-14)
    for angle in (95, 120, 150, 179):
        air, polarised = analytic.air_light(scattered_at(angle), 0.1, depolarisation)
        assert polarised / air * np.sin(angle * DEGREE) ** 2 < limit


@pytest.mark.parametrize("depolarisation", [0.0, 0.0279, 0.5])
def test_the_phase_function_is_normalised(depolarisation):
    # Gauss-Legendre over one hemisphere, the phase function being even in cos Θ; exact for a parabola
    nodes, weights = np.polynomial.legendre.leggauss(4)
    thickness, values = 1e-9, []
    for angle in np.degrees(np.arccos(-(nodes + 1) / 2)):
        directions = scattered_at(angle)
        air, _ = analytic.air_light(directions, thickness, depolarisation)
        values.append(air[0] * 4 * directions.mu[0] / thickness)
    assert (weights / 2) @ np.array(values) == pytest.approx(1, rel=1e-6)  # 1 − exp(−1e-9 m) keeps 7 digits


@pytest.mark.parametrize("zenith", [0, 20, 40])
def test_a_rough_sea_reflects_as_much_light_as_fresnel_says(zenith):
    # ∫ L μ dΩ / (E₀ μ₀) over the hemisphere; 3 %: facets of σ = 0.09 hide a little and average over incidences
    tilt = zenith * DEGREE
    sun = np.array([[np.sin(tilt)], [0.0], [-np.cos(tilt)]])
    angle, azimuth = np.meshgrid((np.arange(900) + 0.5) * np.pi / 1800, (np.arange(720) + 0.5) * np.pi / 360)
    angle, azimuth = angle.ravel(), azimuth.ravel()
    sight = np.array([np.sin(angle) * np.cos(azimuth), np.sin(angle) * np.sin(azimuth), np.cos(angle)])
    radiance, _ = analytic.glint(flat_earth(sight, sun), 0.0, 1.0, 1.34)
    solid_angle = np.sin(angle) * (np.pi / 1800) * (np.pi / 360)
    albedo = (radiance / np.pi * np.cos(angle) * solid_angle).sum() / np.cos(tilt)
    assert albedo == pytest.approx(fresnel(np.cos(np.array([tilt])), 1.34)[0][0], rel=0.03)


def test_the_glint_shines_at_the_specular_point_and_its_polarised_part_beyond_it(bands, image):
    calm = seen("865P", wind_speed=1)
    specular = calm.geometry["glint_angle"].argmin()
    assert calm.geometry["vza"][specular] == pytest.approx(calm.geometry["sza"][specular], abs=0.5)
    assert calm.geometry["relative_azimuth"][specular] == pytest.approx(180, abs=1)
    assert calm.geometry["glint_angle"][calm.stokes[0].argmax()] < 4
    azimuth = np.degrees(np.arctan2(calm.y[specular], calm.x[specular]))
    assert azimuth == pytest.approx(60, abs=1)  # towards the sun
    stokes = bands["865P"].stokes
    total, polarised = stokes[0].argmax(), np.hypot(stokes[1], stokes[2]).argmax()
    assert image.geometry["vza"][polarised] > image.geometry["vza"][total] > image.geometry["vza"][specular] - 1


def test_wind_spreads_the_glint(image):
    near = image.geometry["glint_angle"] < 3
    levels = []
    for wind in (2, 5, 10):
        radiance = seen("865P", wind_speed=wind).stokes[0]
        levels.append((radiance[near].mean(), np.percentile(radiance, 75)))
    assert levels[0][0] > levels[1][0] > levels[2][0]
    assert levels[0][1] < levels[1][1] < levels[2][1]


def test_dolp_rises_from_the_backscatter_point_to_90_degrees(bands, image):
    blue = polarisation(bands["443NP"].stokes)[0]
    angle, ocean = image.geometry["scattering_angle"], image.scene_class == 0
    assert blue[angle > 178].max() < 0.002
    means = [blue[ocean & (np.abs(angle - centre) < 2)].mean() for centre in (170, 150, 130, 110, 95)]
    assert np.all(np.diff(means) > 0)
    assert np.abs(angle[blue.argmax()] - 90) < 5
    assert blue.max() < (1 - 0.0279) / (1 + 0.0279)


def test_the_ocean_darkens_towards_the_red_as_air_does(bands, image):
    dark = (image.scene_class == 0) & (image.geometry["vza"] < 30)
    by_wavelength = sorted(bands, key=lambda name: PARASOL.band(name).wavelength)
    medians = [np.median(bands[name].stokes[0, dark]) for name in by_wavelength]
    assert np.all(np.diff(medians) < 0)
    assert 0.05 < medians[0] < 0.12
    assert medians[-1] < 0.02


def test_multiple_scattering_is_of_second_order_and_never_negative():
    mu, mu0 = (m.ravel() for m in np.meshgrid(np.linspace(0.1, 1, 10), np.linspace(0.1, 1, 10)))
    parts = [analytic.multiple_scattering(mu, mu0, thickness) for thickness in (1e-3, 1e-2, 0.1, 0.25)]
    assert all((part >= 0).all() for part in parts)
    thin = mu * mu0 > 0.1
    assert (parts[1] / parts[0])[thin] == pytest.approx(100, rel=0.1)
    assert (parts[3] < mu0).all()


def test_the_beam_of_the_glint_is_attenuated_on_its_two_ways():
    directions = scattered_at(110)
    clear, hazy = (analytic.glint(directions, thickness, 5, 1.34) for thickness in (0.0, 0.2))
    way = 1 / directions.mu + 1 / directions.mu0
    assert np.divide(hazy, clear) == pytest.approx(np.exp(-0.2 * way)[0], rel=1e-14)


def test_a_lambertian_surface_loses_half_of_what_the_beam_loses():
    # molecules send half of the scattered light forward, so the diffuse transmittance is exp(−τ/2μ)
    mu, mu0 = np.array([0.8]), np.array([0.6])
    assert analytic.surface(mu, mu0, 0.0, 0.3) == pytest.approx(0.6 * 0.3, rel=1e-15)
    expected = 0.6 * 0.3 * np.sqrt(np.exp(-0.2 * (1 / mu + 1 / mu0)))
    assert analytic.surface(mu, mu0, 0.2, 0.3) == pytest.approx(expected, rel=1e-14)


def test_a_brighter_surface_adds_unpolarised_light(bands):
    for dark in bands.values():
        bright = seen(dark.band, surface_reflectance=0.1)
        assert (bright.stokes[0] > dark.stokes[0] + 0.01).all()
        assert (bright.stokes[1:] == dark.stokes[1:]).all()


def test_polarisation_is_continuous_at_the_centre_where_the_meridian_frame_is_not():
    x = np.array([0.0, 1e-6, 0.0, -1e-6, 0.0])
    y = np.array([0.0, 0.0, 1e-6, 0.0, -1e-6])
    spec = Analytic(kind="analytic")
    directions = analytic.geometry(spec, x, y)
    _, q, u = analytic.radiances(spec, 0.15, directions, analytic.polarisation_turn(directions, x, y))
    scale = np.hypot(q[0], u[0])
    assert scale > 0.001
    assert np.hypot(q - q[0], u - u[0]).max() < 1e-4 * scale
    cos2, sin2 = frame_turn(directions.zenith, x, y)
    q_meridian, u_meridian = rotate(q, u, (cos2, -sin2))
    jump = np.hypot(q_meridian[1] - q_meridian[2], u_meridian[1] - u_meridian[2])
    assert jump == pytest.approx(2 * scale, rel=1e-4)


def test_at_backscatter_polarisation_vanishes_without_a_singularity():
    tilt = 40 * DEGREE
    x, y = np.array([-np.tan(tilt)]), np.array([0.0])
    spec = Analytic(kind="analytic", solar_azimuth=0)
    directions = analytic.geometry(spec, x, y)
    i, q, u = analytic.radiances(spec, 0.15, directions, analytic.polarisation_turn(directions, x, y))
    assert directions.cos_scattering == pytest.approx(-1, abs=1e-15)
    assert i > 0
    assert np.hypot(q, u) < 1e-15


def square(instrument: Polarimeter) -> Polarimeter:
    plane = FocalPlane(rows=61, columns=61, pitch_row=0.1, pitch_column=0.1, focal_length=3.57)
    return with_detector(instrument, focal_plane=plane)


@pytest.mark.parametrize("azimuth", [0, 25, 130])
def test_turning_the_sun_by_90_degrees_turns_the_image_and_its_polarisation(azimuth):
    instrument = square(PARASOL)
    before = seen("490P", instrument, solar_azimuth=azimuth)
    after = seen("490P", instrument, solar_azimuth=azimuth + 90)
    # the pixel at (x, y) goes to (−y, x): its row becomes its column and its column, mirrored, its row
    turned = np.rot90(before.stokes.reshape(3, 61, 61), k=-1, axes=(1, 2))
    sign = np.array([1, -1, -1]).reshape(3, 1, 1)
    assert after.stokes.reshape(3, 61, 61) == pytest.approx(sign * turned, abs=1e-14)


def test_mirroring_the_sun_mirrors_the_image_and_flips_u():
    instrument = square(PARASOL)
    before = seen("865P", instrument, solar_azimuth=35).stokes.reshape(3, 61, 61)
    after = seen("865P", instrument, solar_azimuth=-35).stokes.reshape(3, 61, 61)
    sign = np.array([1, 1, -1]).reshape(3, 1, 1)
    assert after == pytest.approx(sign * before[:, ::-1], abs=1e-14)


def test_a_thinned_image_holds_the_pixels_of_the_full_one(image):
    thin = seen("670P", step=8)
    assert thin.detector.size == 34 * 30
    assert thin.shape == image.shape
    assert (thin.stokes == image.stokes[:, thin.detector]).all()
    assert (thin.scene_class == image.scene_class[thin.detector]).all()


def test_a_band_does_not_depend_on_its_company(image):
    assert (seen("670P").stokes == image.stokes).all()


def test_a_field_that_reaches_the_horizon_is_a_fault():
    with pytest.raises(Fault, match=r"scene\.altitude: from 1500 km"):
        seen("490P", altitude=1500)


def test_a_sun_that_sets_in_the_field_is_a_fault():
    with pytest.raises(Fault, match=r"scene\.solar_zenith: at 75 deg"):
        seen("490P", solar_zenith=75, altitude=1000)


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 70), st.floats(-360, 360), st.floats(1, 15), st.floats(0, 0.5), st.floats(0, 1), st.floats(1.2, 1.5))
def test_every_allowed_analytic_scene_is_physical(zenith, azimuth, wind, depolarisation, reflectance, index):
    spec = Analytic(
        kind="analytic", solar_zenith=zenith, solar_azimuth=azimuth, wind_speed=wind,
        depolarisation=depolarisation, surface_reflectance=reflectance, refractive_index=index, step=20,
    )  # fmt: skip
    for scene in render(spec, PARASOL, ["443NP", "865P"]):  # which refuses I ≤ 0 and DoLP > 1
        assert np.isfinite(scene.stokes).all()


def test_the_line_of_sight_of_the_code_is_that_of_the_oracles():
    x, y = np.array([0.3, -1.0]), np.array([0.7, 0.2])
    assert line_of_sight(x, y) == pytest.approx(radial_frame(x, y)[0], abs=1e-15)
