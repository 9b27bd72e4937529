"""Surfaces are checked by laws that they must obey: energy, reciprocity, Fresnel, and the limits of each model.

Independent roads: Fresnel's laws by sines and tangents, Gauss-Legendre integrals over the hemisphere, scipy's erfc.
"""

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy.special import erfc

from radsens.scenes import analytic
from radsens.schema import Fault, validated
from radsens.transfer.facets import facet_density, fresnel_matrix, hidden, slope_variance
from radsens.transfer.land import COVERS, Land, rpv
from radsens.transfer.ocean import Ocean, foam_coverage, index_of_water, refractive_index
from radsens.transfer.surfaces import Lambertian, Surface, reflection

WAVELENGTHS = (410, 443, 490, 555, 670, 763, 865, 910, 1020, 1370, 1650, 2130)  # PARASOL and 3MI
BACK = np.pi
DEGREE = np.pi / 180

BARE = Ocean(kind="ocean", wind_speed=5, shadowing=False, foam=False, water_leaving=False)
SURFACES = {
    "calm sea": Ocean(kind="ocean", wind_speed=2),
    "rough sea": Ocean(kind="ocean", wind_speed=15),
    **{cover: Land(kind="land", cover=cover) for cover in COVERS},
    "lambertian": Lambertian(kind="lambertian", albedo=0.3),
}


def matrix(surface, wavelength, vza, sza, phi):
    """Reflection at angles in degrees, (..., 3, 3)."""
    arrays = (np.asarray(angle, dtype=float) * DEGREE for angle in (vza, sza, phi))
    vza, sza, phi = arrays
    return reflection(surface, wavelength)(np.cos(vza), np.cos(sza), phi)


def hemisphere(surface, wavelength, mu0, points=48):
    """Directional-hemispherical reflectance, 2 ∫ μ dμ ∫ f dφ/2π, by Gauss-Legendre in μ and the midpoint rule in φ."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    mu, phi = (nodes[:, None] + 1) / 2, 2 * np.pi * (np.arange(4 * points) + 0.5) / (4 * points)
    mean = reflection(surface, wavelength)(mu, np.array(mu0), phi)[..., 0, 0].mean(axis=1)
    return weights @ (mu[:, 0] * mean)


def dolp(stokes):
    return np.hypot(stokes[..., 1], stokes[..., 2]) / stokes[..., 0]


# --- what holds for every surface --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SURFACES)
def test_a_surface_returns_no_more_light_than_it_gets(name):
    for wavelength in WAVELENGTHS:
        for mu0 in (0.1, 0.3, 0.6, 1.0):
            assert 0 < hemisphere(SURFACES[name], wavelength, mu0, points=32) < 1, (wavelength, mu0)


@pytest.mark.parametrize("name", SURFACES)
def test_reflection_is_reciprocal(name):
    # time runs back: R(μ₀, μ, −φ) is the transpose with U reversed, and the mirror of −φ reverses it again
    for vza, sza, phi in ((70, 30, 20), (45, 10, 100), (5, 60, 170)):
        there = matrix(SURFACES[name], 670, vza, sza, phi)
        back = matrix(SURFACES[name], 670, sza, vza, phi)
        np.testing.assert_allclose(back, there.T, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", SURFACES)
def test_reflection_is_regular_and_physical_from_the_zenith_to_the_horizon(name):
    mu = np.array([0.002, 0.02, 0.1, 0.4, 0.7, 0.999999, 1.0])
    phi = np.array([0.0, 1e-9, 0.5, np.pi / 2, 3.0, np.pi])
    for wavelength in (400, 670, 1370, 2200):
        found = reflection(SURFACES[name], wavelength)(mu[:, None, None], mu[:, None], phi)
        assert found.shape == (7, 7, 6, 3, 3) and np.isfinite(found).all()
        assert (found[..., 0, 0] >= 0).all()
        assert (dolp(found[..., 0]) <= 1 + 1e-12)[found[..., 0, 0] > 0].all()  # where there is light at all


@pytest.mark.parametrize("name", SURFACES)
def test_the_other_side_of_the_sun_is_its_mirror_image(name):
    left, right = (matrix(SURFACES[name], 670, 50, 30, phi) for phi in (-70, 70))
    mirror = np.diag([1, 1, -1])
    np.testing.assert_allclose(left, mirror @ right @ mirror, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("name", SURFACES)
def test_what_a_surface_polarises_vibrates_across_the_scattering_plane(name):
    """The electric vector, rebuilt from Q and U on the axes of the meridian plane, is along n₀ × n."""
    if name == "lambertian":
        assert matrix(SURFACES[name], 670, 50, 30, 70)[1:, 0].max() == 0
        return
    vza, sza, phi = 55 * DEGREE, 35 * DEGREE, 70 * DEGREE
    _, q, u = matrix(SURFACES[name], 670, 55, 35, 70)[:, 0]
    ahead = np.array([np.sin(vza) * np.cos(phi), np.sin(vza) * np.sin(phi), np.cos(vza)])
    l = np.array([np.cos(vza) * np.cos(phi), np.cos(vza) * np.sin(phi), -np.sin(vza)])
    r = np.array([np.sin(phi), -np.cos(phi), 0])
    chi = np.arctan2(u, q) / 2
    electric = np.cos(chi) * l + np.sin(chi) * r
    across = np.cross([np.sin(sza), 0, -np.cos(sza)], ahead)
    assert abs(electric @ across) == pytest.approx(np.linalg.norm(across), rel=1e-12)


# --- Fresnel -----------------------------------------------------------------------------------------------------------


def test_a_facet_reflects_as_fresnel_says():
    # sines and tangents of the angles, where the code has cosines
    incidence = np.array([5.0, 30.0, 53.0, 75.0, 89.0]) * DEGREE
    refraction = np.arcsin(np.sin(incidence) / 1.34)
    r_s = -np.sin(incidence - refraction) / np.sin(incidence + refraction)
    r_p = np.tan(incidence - refraction) / np.tan(incidence + refraction)
    f11, f12, f22, f33 = fresnel_matrix(-np.cos(2 * incidence), 1.34)
    np.testing.assert_allclose(f11, (r_s**2 + r_p**2) / 2, rtol=1e-12)
    np.testing.assert_allclose(f12, (r_p**2 - r_s**2) / 2, rtol=1e-9, atol=1e-16)
    np.testing.assert_allclose(f33, r_s * r_p, rtol=1e-9)
    assert (f22 == f11).all()
    np.testing.assert_allclose(f11**2 - f12**2, f33**2, rtol=1e-9, atol=1e-16)  # a facet does not depolarise


@pytest.mark.parametrize("chi", [0, 30, 45, 110])
def test_polarised_sunlight_is_reflected_as_the_fields_of_a_mirror(chi):
    """Stokes vectors rebuilt from electric vectors, split along and across the plane of incidence of the facet."""
    mu, mu0, phi = np.cos(50 * DEGREE), np.cos(35 * DEGREE), 70 * DEGREE

    def axes(cosine, azimuth):
        sine, c, s = np.sqrt(1 - cosine**2), np.cos(azimuth), np.sin(azimuth)
        return np.array([sine * c, sine * s, cosine]), np.array([cosine * c, cosine * s, -sine]), np.array([s, -c, 0])

    n0, l0, r0 = axes(-mu0, 0.0)
    n, l, r = axes(mu, phi)
    incidence = np.arccos(-n0 @ n) / 2
    refraction = np.arcsin(np.sin(incidence) / refractive_index(670))
    r_s = -np.sin(incidence - refraction) / np.sin(incidence + refraction)
    r_p = np.tan(incidence - refraction) / np.tan(incidence + refraction)
    s = np.cross(n0, n) / np.linalg.norm(np.cross(n0, n))
    before = np.cos(chi * DEGREE) * l0 + np.sin(chi * DEGREE) * r0
    after = r_s * (before @ s) * s + r_p * (before @ np.cross(s, n0)) * np.cross(s, n)
    along, across = after @ l, after @ r
    stokes = np.array([along**2 + across**2, along**2 - across**2, 2 * along * across])
    found = matrix(BARE, 670, 50, 35, 70) @ [1, np.cos(2 * chi * DEGREE), np.sin(2 * chi * DEGREE)]
    light = matrix(BARE, 670, 50, 35, 70)[0, 0] / ((r_s**2 + r_p**2) / 2)  # density of the facets
    np.testing.assert_allclose(found, light * stokes, rtol=1e-10, atol=1e-12 * light)


def test_a_facet_seen_at_normal_incidence_reverses_u():
    assert fresnel_matrix(np.array(-1.0), 1.34)[3] == pytest.approx(-((0.34 / 2.34) ** 2), rel=1e-12)


# --- the sea -----------------------------------------------------------------------------------------------------------


def test_the_slopes_of_the_sea_are_a_distribution():
    # ∫ p d²(tan β) = 2π ∫ p tan β d(tan β) = 1, to the midpoint rule; facet_density is π p / (4 cos⁴β)
    for wind in (0.5, 5, 15):
        variance = slope_variance(wind)
        step = 8 * np.sqrt(variance) / 4000
        tangent = (np.arange(4000) + 0.5) * step
        cosine = 1 / np.hypot(1, tangent)
        p = facet_density(cosine, variance) * 4 * cosine**4 / np.pi
        assert 2 * np.pi * (p * tangent).sum() * step == pytest.approx(1, abs=1e-5)
        assert 2 * np.pi * (p * tangent**3).sum() * step == pytest.approx(0.003 + 0.00512 * wind, rel=1e-5)


def test_the_glint_is_brightest_where_a_mirror_would_send_the_sun():
    vza, phi = np.meshgrid(np.arange(10.0, 50, 0.5), np.arange(-180.0, 180, 2), indexing="ij")
    image = matrix(BARE.model_copy(update={"wind_speed": 0.5}), 865, vza, 30, phi)[..., 0, 0]
    peak = np.unravel_index(image.argmax(), image.shape)
    assert phi[peak] == 0
    assert vza[peak] == pytest.approx(30, abs=1.5)  # a little beyond: 1/μ and Fresnel grow towards the horizon


@pytest.mark.parametrize("sza", [0, 20, 40])
def test_a_nearly_calm_sea_reflects_as_much_light_as_a_mirror(sza):
    # 3 %: facets of σ = 0.075 average over incidences
    calm = BARE.model_copy(update={"wind_speed": 0.5})
    mirror = fresnel_matrix(np.array(-np.cos(2 * sza * DEGREE)), refractive_index(865))[0]
    assert hemisphere(calm, 865, np.cos(sza * DEGREE), points=64) == pytest.approx(mirror, rel=0.03)


def test_the_glint_is_fully_polarised_across_the_plane_at_brewsters_angle():
    index = refractive_index(670)
    brewster = np.degrees(np.arctan(index))
    assert brewster == pytest.approx(53.2, abs=0.1)
    i, q, u = matrix(BARE, 670, brewster, brewster, 0)[:, 0]
    assert q == pytest.approx(-i, rel=1e-12)  # Q < 0: across the meridian plane, which is the scattering plane here
    assert u == pytest.approx(0, abs=1e-15)


def test_the_glint_of_the_closed_form_scene_is_the_same():
    # μ₀ f is the normalised radiance of a sea without air; the polarised part is given there per sin²Θ
    rng = np.random.default_rng(1)
    vza, sza, phi = rng.uniform(1, 75, 50), rng.uniform(1, 70, 50), rng.uniform(-180, 180, 50)
    mu, mu0 = np.cos(vza * DEGREE), np.cos(sza * DEGREE)
    cosine = np.sin(vza * DEGREE) * np.sin(sza * DEGREE) * np.cos(phi * DEGREE) - mu * mu0
    nothing = np.zeros(1)
    directions = analytic.Geometry(nothing, nothing, nothing, mu, mu0, cosine, nothing, nothing)
    light, polarised = analytic.glint(directions, 0.0, 5.0, refractive_index(670))
    stokes = mu0[:, None] * matrix(BARE, 670, vza, sza, phi)[..., 0]
    np.testing.assert_allclose(stokes[:, 0], light, rtol=1e-10, atol=1e-300)
    np.testing.assert_allclose(np.hypot(stokes[:, 1], stokes[:, 2]), polarised * (1 - cosine**2), rtol=1e-7, atol=1e-300)


def test_facets_hide_one_another_as_smith_says():
    nu = np.array([0.1, 0.5, 1.0, 2.0])
    variance = slope_variance(5)
    mu = nu * np.sqrt(variance) / np.sqrt(1 + nu**2 * variance)  # cot θ = ν σ
    smith = (np.exp(-(nu**2)) / (nu * np.sqrt(np.pi)) - erfc(nu)) / 2
    np.testing.assert_allclose(hidden(mu, variance), smith, rtol=1e-12)
    assert hidden(np.array(1.0), variance) < 1e-300


def test_shadows_matter_towards_the_horizon_only():
    shaded = BARE.model_copy(update={"shadowing": True})

    def loss(vza):
        open_sea, hidden_sea = (matrix(one, 865, vza, vza, 0)[0, 0] for one in (BARE, shaded))
        return 1 - hidden_sea / open_sea

    assert 0 <= loss(50) < 1e-4
    assert 0.002 < loss(75) < 0.01
    assert loss(85) > 0.2
    # and over all directions by 0.3 to 1 % under a sun at 53°
    assert 0.003 < 1 - hemisphere(shaded, 865, 0.6) / hemisphere(BARE, 865, 0.6) < 0.01


def test_without_shadows_a_low_sun_gets_back_more_light_than_it_sends():
    """Why shadowing is on by default: the facets alone do not conserve energy at the horizon."""
    assert hemisphere(BARE, 865, 0.02) > 1
    assert hemisphere(BARE.model_copy(update={"shadowing": True}), 865, 0.02) < 0.5


def test_foam_whitens_and_depolarises_the_sea():
    assert foam_coverage(10) == pytest.approx(0.0098, abs=1e-4)  # 2.95e-6 × 10^3.52
    bare, foamy = (BARE.model_copy(update={"wind_speed": 15, "foam": foam}) for foam in (False, True))
    side, glint = (50, 40, 120), (40, 40, 0)
    for wavelength, reflectance in ((443, 0.22), (1000, 0.2)):
        added = matrix(foamy, wavelength, *side) - matrix(bare, wavelength, *side)
        assert added[0, 0] == pytest.approx(foam_coverage(15) * reflectance, rel=0.01)  # few facets look there
        assert dolp(matrix(foamy, wavelength, *side)[:, 0]) < 0.1 * dolp(matrix(bare, wavelength, *side)[:, 0])
    lost = matrix(foamy, 865, *glint)[1, 0] / matrix(bare, 865, *glint)[1, 0]
    assert lost == pytest.approx(1 - foam_coverage(15), rel=1e-12)


def test_water_is_blue():
    water = BARE.model_copy(update={"water_leaving": True})
    leaving = [matrix(water, wavelength, 60, 10, 180)[0, 0] for wavelength in (410, 490, 555, 670, 865)]
    assert (np.diff(leaving) < 0).all()
    assert 0.015 < leaving[0] < 0.03
    assert leaving[-1] < 1e-4


def test_the_index_of_water_is_that_of_the_handbooks():
    # pure water at 20 °C and the sodium line: 1.33299 (CRC Handbook); the formula is good to 1.5e-4
    assert index_of_water(589.3, 0.0, 20.0) == pytest.approx(1.33299, abs=1.5e-4)
    # the older table of Hale & Querry, rounded to 0.001 and low in the blue, with Friedman's 0.006 of salt
    for wavelength, pure in ((550, 1.333), (670, 1.331), (875, 1.328), (1000, 1.327)):
        assert refractive_index(wavelength) == pytest.approx(pure + 0.006, abs=2.5e-3)
    assert refractive_index(1100) == pytest.approx(refractive_index(1100.001), abs=1e-4)  # the two laws join
    assert (np.diff([refractive_index(w) for w in range(400, 2200, 10)]) < 0).all()


# --- land --------------------------------------------------------------------------------------------------------------


def test_an_isotropic_rpv_is_lambertian():
    mu, mu0, phi = np.array([0.2, 0.7]), np.array([0.9, 0.4]), np.array([0.3, 2.0])
    np.testing.assert_allclose(rpv(mu, mu0, phi, 0.37, 1.0, 0.0, 1.0), 0.37, rtol=1e-14)


def test_the_hot_spot_is_where_the_sun_is_behind():
    vza = np.linspace(0, 70, 141)
    for cover in COVERS:
        surface = Land(kind="land", cover=cover)
        behind, ahead = (matrix(surface, 670, vza, 35, phi)[:, 0, 0] for phi in (180, 0))
        kink = np.diff(behind, 2)
        assert vza[1:-1][kink.argmin()] == pytest.approx(35, abs=0.5)  # the peak is a cusp
        assert (behind[1:71] > ahead[1:71]).all() or cover == "snow"  # snow scatters forwards a little


def test_rpv_matches_values_worked_by_hand():
    # μ = μ₀ = 0.5 across the sun, Θ = 0: G = √(3 + 3); k = 2 leaves μ μ₀ (μ + μ₀) = 0.25
    half = np.array(0.5)
    found = rpv(half, half, np.array(np.pi / 2), 0.2, 2.0, 0.0, 0.4)
    assert found == pytest.approx(0.2 * 0.25 * (1 + 0.6 / (1 + np.sqrt(6))), rel=1e-14)
    # Θ = −0.5 towards the sun at the zenith: g = 0, so (1 − 0.25) / (1 − 1 + 0.25)^1.5 = 6; k = 1
    one = np.array(1.0)
    assert rpv(one, one, np.array(0.0), 0.1, 1.0, -0.5, 1.0) == pytest.approx(0.6, rel=1e-14)


@pytest.mark.parametrize(
    ("cover", "expected"),
    [("desert", (0.067, 0.043, 0.003)), ("vegetation", (0.049, 0.033, 0.002)), ("snow", (0.013, 0.012, 0.001))],
)
def test_land_is_little_polarised_and_mostly_forwards(cover, expected):
    """865 nm, sun at 43°, view at 63°, forwards, across and backwards, through the air (τ = 0.0157).

    The values come from adding-doubling with a like surface; here the air scatters once, in closed form: 0.008 is the
    room for its further scattering and for spectra that are not quite the same.
    """
    mu, mu0, phi = np.cos(63 * DEGREE), np.cos(43 * DEGREE), np.array([0, np.pi / 2, np.pi])
    cosine = np.sin(63 * DEGREE) * np.sin(43 * DEGREE) * np.cos(phi) - mu * mu0
    air = 1 - np.exp(-0.0157 * (1 / mu + 1 / mu0))
    scattered = air / (4 * (mu + mu0)) * 0.75
    ground = matrix(Land(kind="land", cover=cover), 865, 63, 43, phi / DEGREE)[..., 0] * (1 - air / 2)[..., None]
    light = ground[:, 0] + scattered * (1 + cosine**2)
    polarised = np.hypot(ground[:, 1], ground[:, 2]) + scattered * (1 - cosine**2)
    np.testing.assert_allclose(polarised / light, expected, atol=0.008)
    assert (np.diff(polarised / light) < 0).all()


def test_the_polarised_light_of_land_follows_maignan():
    # C exp(−tan ω) exp(−NDVI) Fp / (4 (μ + μ₀)), by Fresnel's sines and tangents; the same at all wavelengths
    incidence = 40 * DEGREE
    refraction = np.arcsin(np.sin(incidence) / 1.5)
    r_s = np.sin(incidence - refraction) / np.sin(incidence + refraction)
    r_p = np.tan(incidence - refraction) / np.tan(incidence + refraction)
    expected = 6 * np.exp(-np.tan(incidence) - 0.85) * (r_s**2 - r_p**2) / 2 / (8 * np.cos(incidence))
    for wavelength in (443, 865, 2130):
        q = matrix(Land(kind="land", cover="vegetation"), wavelength, 40, 40, 0)[1, 0]
        assert q == pytest.approx(-expected, rel=1e-10)


def test_covers_have_the_colours_they_are_known_by():
    def nadir(cover, wavelength):
        return matrix(Land(kind="land", cover=cover), wavelength, 0, 40, 0)[0, 0]

    desert = [nadir("desert", w) for w in (410, 490, 555, 670, 865, 1650)]
    assert (np.diff(desert) > 0).all()
    assert nadir("vegetation", 555) > nadir("vegetation", 490)  # green
    assert nadir("vegetation", 555) > nadir("vegetation", 670)
    assert nadir("vegetation", 865) > 8 * nadir("vegetation", 670)  # red edge
    assert nadir("snow", 443) > 0.8 > 0.15 > nadir("snow", 1650) > nadir("snow", 2130)


def test_knobs_scale_the_light_and_its_polarisation():
    full = Land(kind="land", cover="desert")
    dark, plain = (full.model_copy(update=update) for update in ({"brightness": 0.5}, {"polarisation": 0.0}))
    assert dolp(matrix(dark, 670, 40, 40, 0)[:, 0]) > 1.8 * dolp(matrix(full, 670, 40, 40, 0)[:, 0])
    assert np.abs(matrix(plain, 670, 40, 40, 0)[1:]).max() == 0
    assert hemisphere(plain, 670, 0.7) == pytest.approx(hemisphere(full, 670, 0.7), rel=1e-12)


# --- the records -------------------------------------------------------------------------------------------------------


def test_a_surface_is_read_by_its_kind():
    read = TypeAdapter(Surface).validate_python
    assert read({"kind": "ocean"}) == Ocean(kind="ocean")
    assert read({"kind": "land", "cover": "snow"}).cover == "snow"
    assert read({"kind": "lambertian", "albedo": 0.2}).albedo == 0.2


def test_bad_surfaces_end_in_one_sentence():
    with pytest.raises(Fault, match="wind_speed: must be ≤ 20"):
        validated(Ocean, {"kind": "ocean", "wind_speed": 50})
    with pytest.raises(Fault, match="cover: must be 'desert', 'vegetation' or 'snow'"):
        validated(Land, {"kind": "land", "cover": "moon"})
    with pytest.raises(Fault, match="from 400 to 2200 nm, not to 11000 nm"):
        reflection(Ocean(kind="ocean"), 11000)
