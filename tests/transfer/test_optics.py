"""Particles scatter as the laws say: molecules, spheres of Mie, ice; and a forward peak can be cut off without loss of light."""

import miepython
import numpy as np
import pytest
from sasktran2.mie import LinearizedMie

from radsens.transfer.mie import Sizes, gamma, lognormal, mie
from radsens.transfer.once import stratum
from radsens.transfer.optics import Portion, ice, mixed, rayleigh, sphere_mean, truncated, without_peak
from radsens.transfer.scattering import Phase
from radsens.transfer.states import water_index


def asymmetry(phase: Phase) -> float:
    return sphere_mean(phase, np.cos(phase.angle)) / sphere_mean(phase)


def at(phase: Phase, degrees: float | np.ndarray) -> np.ndarray:
    return phase(np.cos(np.deg2rad(degrees)))


@pytest.fixture(scope="module")
def cloud():
    """Droplets of 10 µm at 865 nm; 1.327: water in Hale and Querry (1973). Few sizes: features only."""
    return mie(0.865, 1.327, gamma(10.0, 0.05, 200))


@pytest.fixture(scope="module")
def haze():
    return mie(0.67, 1.45 + 0.005j, lognormal(0.1, 0.4, 100))


@pytest.mark.parametrize("depolarisation", [0.0, 0.0279])
def test_molecules_scatter_all_their_light_as_much_backwards_as_forwards(depolarisation):
    phase = rayleigh(depolarisation)
    assert sphere_mean(phase) == pytest.approx(1, abs=1e-7)  # a parabola between 7201 angles
    assert sphere_mean(phase, np.cos(phase.angle)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("depolarisation", [0.0, 0.0279])
def test_molecules_polarise_across_the_scattering_plane_down_to_their_depolarisation(depolarisation):
    f11, f12, _, f33 = at(rayleigh(depolarisation), 90.0)
    assert (f11 + f12) / (f11 - f12) == pytest.approx(depolarisation, abs=1e-12)
    assert f12 < 0 and f33 == pytest.approx(0, abs=1e-12)


def test_small_spheres_are_dipoles():
    radius, wavelength, index = 1e-3, 0.5, 1.5
    small = mie(wavelength, index, Sizes(np.array([radius]), np.array([1.0])), angles=181)
    # Bohren & Huffman (1983), equation 5.8; corrections are of order x² = 1.6e-4.
    k, polarisability = 2 * np.pi / wavelength, (index**2 - 1) / (index**2 + 2)
    assert small.extinction == pytest.approx(8 * np.pi / 3 * k**4 * radius**6 * polarisability**2, rel=5e-4)
    np.testing.assert_allclose(small.phase.elements, at(rayleigh(0.0), np.arange(181.0)), atol=5e-4)


@pytest.mark.parametrize(("size", "index"), [(0.3, 1.4 + 0.01j), (5.0, 1.5 + 0.1j), (60.0, 1.33 + 0j)])
def test_one_sphere_has_the_efficiencies_that_miepython_sums_itself(size, index):
    wavelength = 0.55
    radius = size * wavelength / (2 * np.pi)
    one = mie(wavelength, index, Sizes(np.array([radius]), np.array([1.0])), angles=7201)
    extinction, scattering, _, g = miepython.efficiencies_mx(np.conj(index), size)
    assert one.extinction == pytest.approx(extinction * np.pi * radius**2, rel=1e-10)
    assert one.albedo == pytest.approx(scattering / extinction, rel=1e-10)
    assert sphere_mean(one.phase) == pytest.approx(1, abs=1e-4)  # straight lines between 7201 angles, x = 60
    assert asymmetry(one.phase) == pytest.approx(g, abs=1e-4)


def test_the_sign_of_the_imaginary_index_does_not_matter():
    sizes = lognormal(0.2, 0.3, 20)
    assert mie(0.5, 1.5 + 0.01j, sizes, 91).albedo == mie(0.5, 1.5 - 0.01j, sizes, 91).albedo < 1


def test_spheres_scatter_as_those_of_sasktran2(haze):
    """Its Mie code is another one; it counts P12 = |S₁|² − |S₂|², which is −F12 here."""
    sizes, k = lognormal(0.1, 0.4, 100), 2 * np.pi / 0.67
    other = LinearizedMie().calculate(k * sizes.radii, 1.45 - 0.005j, np.cos(haze.phase.angle))
    s1, s2 = (sizes.weights[:, None] ** 0.5 * s for s in (other.S1, other.S2))
    area = np.pi * sizes.weights * sizes.radii**2
    assert haze.extinction == pytest.approx(area @ other.Qext, rel=1e-6)
    assert haze.albedo == pytest.approx(area @ other.Qsca / (area @ other.Qext), rel=1e-6)
    norm = 2 * np.pi / (k**2 * (area @ other.Qsca))
    p11, p12 = (norm * (abs(s1) ** 2 + sign * abs(s2) ** 2).sum(0) for sign in (1, -1))
    p33 = norm * 2 * (s1 * s2.conj()).real.sum(0)
    # Wiscombe's last term, where both stop, leaves 1e-6 of the forward peak.
    scale = 1e-6 * haze.phase.elements[0]
    for mine, theirs in zip(haze.phase.elements, (p11, -p12, p11, p33), strict=True):
        assert np.all(np.abs(mine - theirs) < scale)


def test_sizes_have_the_moments_of_their_laws():
    """r_eff = ∫ r³ n / ∫ r² n and its variance (Hansen & Travis 1974, equations 2.53, 2.54 and after 2.60)."""
    for sizes, radius, variance in (
        (lognormal(0.1, 0.4), 0.1 * np.exp(2.5 * 0.4**2), np.exp(0.4**2) - 1),
        (gamma(10.0, 0.05), 10.0, 0.05),
    ):
        area = sizes.weights * sizes.radii**2
        mean = area @ sizes.radii / area.sum()
        assert sizes.weights.sum() == pytest.approx(1)
        assert mean == pytest.approx(radius, rel=1e-4)  # REACH leaves 1e-5 of the volume outside
        assert area @ (sizes.radii - mean) ** 2 / (area.sum() * mean**2) == pytest.approx(variance, rel=2e-3)


def test_large_droplets_take_out_twice_their_shadow(cloud):
    sizes = gamma(10.0, 0.05, 200)
    assert cloud.extinction / (np.pi * sizes.weights @ sizes.radii**2) == pytest.approx(2.0, rel=0.1)  # x = 70: 2 + O(x^−2/3)
    assert cloud.albedo == pytest.approx(1, abs=1e-12)
    assert 0.84 < asymmetry(cloud.phase) < 0.88  # usual for water clouds in the visible


def test_droplets_absorb_one_part_in_fifty_at_2130_nm_and_nothing_to_speak_of_below_1_micrometre():
    """Single-scattering albedo 0.98 for 10 µm at 2.1 µm, 0.99 at 1.6 µm: King et al. 1997 (MODIS ATBD-MOD-05), recalled."""
    lost = {w: 1 - mie(w / 1000, water_index(w), gamma(10.0, 0.1, 100), 3).albedo for w in (865, 1650, 2130)}
    assert lost[2130] == pytest.approx(0.02, abs=0.004)
    assert lost[1650] == pytest.approx(0.007, abs=0.003)
    assert lost[865] < 1e-4


def test_a_cloud_has_its_rainbow_at_142_degrees_polarised_across_the_scattering_plane(cloud):
    angle = np.arange(130.0, 160.0, 0.1)
    f11, f12, _, _ = at(cloud.phase, angle)
    bow = angle[np.argmin(f12)]
    assert 139 < bow < 144
    assert -f12.min() / f11[np.argmin(f12)] > 0.6  # a bow of water is close to its Brewster angle


def test_a_cloud_has_a_glory_at_the_antisolar_point(cloud):
    around, at_180 = at(cloud.phase, 170.0)[0], at(cloud.phase, 180.0)
    assert at_180[0] > 2 * around
    assert at_180[1] == pytest.approx(0, abs=1e-9 * at_180[0])  # no plane is singled out backwards
    assert at_180[3] == pytest.approx(-at_180[2])


@pytest.mark.parametrize("g", [0.75, 0.78])
def test_ice_is_normalised_with_the_asymmetry_asked_for(g):
    particle = ice(g)
    assert sphere_mean(particle.phase) == pytest.approx(1, abs=1e-6)
    assert asymmetry(particle.phase) == pytest.approx(g, abs=1e-6)


def test_ice_has_no_halo_and_no_rainbow_and_polarises_little():
    f11, f12, f22, f33 = ice().phase.elements
    assert np.all(np.diff(f11[:5601]) < 0)  # falls without a bump to 140°
    assert f11[5600:].max() / f11[5600:].min() < 1.05  # and stays
    assert 0.03 < np.max(-f12 / f11) <= 0.05 and np.all(f12 <= 0)
    assert f22[0] == f33[0] == f11[0] and f22[-1] == -f33[-1]


def test_ice_makes_valid_stokes_vectors_of_valid_ones():
    f11, f12, f22, f33 = ice().phase.elements
    for turn in np.linspace(0, np.pi, 37):
        q, u = np.cos(2 * turn), np.sin(2 * turn)
        polarised = np.hypot(f12 + f22 * q, f33 * u)
        assert np.all(polarised <= (f11 + f12 * q) * (1 + 1e-12))


def test_truncation_keeps_what_absorbs_and_what_turns_light_away(cloud):
    """(1 − ω) τ and the similarity relation ω (1 − g) τ = ω′ (1 − g′) τ′ (van de Hulst 1980, section 14.1.1)."""
    whole = Portion(10.0, 0.9, cloud.phase, cap=np.deg2rad(14))
    short = without_peak(whole)
    fraction, phase = truncated(cloud.phase, whole.cap)
    assert 0.3 < fraction < 0.5
    assert short.thickness == pytest.approx(10 * (1 - 0.9 * fraction))
    assert short.thickness * (1 - short.albedo) == pytest.approx(10 * (1 - 0.9))
    assert short.albedo / (1 - fraction) == pytest.approx(0.9 / (1 - fraction * 0.9))
    lost = sphere_mean(cloud.phase, 1 - np.cos(phase.angle)) * whole.albedo * whole.thickness
    assert sphere_mean(short.phase, 1 - np.cos(phase.angle)) * short.albedo * short.thickness == pytest.approx(lost, rel=2e-4)


def test_truncation_touches_the_forward_peak_only(cloud):
    fraction, phase = truncated(cloud.phase, np.deg2rad(14))
    assert sphere_mean(phase) == pytest.approx(1)
    outside = phase.angle >= np.deg2rad(14)
    np.testing.assert_allclose(phase.elements[:, outside] * (1 - fraction), cloud.phase.elements[:, outside], rtol=1e-12)
    np.testing.assert_allclose(
        phase.elements[1:] / phase.elements[0], cloud.phase.elements[1:] / cloud.phase.elements[0], atol=1e-12
    )
    assert phase.elements[0].max() < cloud.phase.elements[0].max() / 50


def test_what_has_no_cap_is_left_alone(haze):
    portion = Portion(0.3, 0.9, haze.phase)
    assert without_peak(portion) is portion


def test_a_mixture_scatters_with_the_mean_of_its_parts(haze):
    portions = [Portion(0.1, 1.0, rayleigh(0.0)), Portion(0.3, 0.8, haze.phase)]
    layer = mixed(portions)
    assert layer.thickness == pytest.approx(0.4) and layer.albedo == pytest.approx((0.1 + 0.24) / 0.4)
    expected = (0.1 * at(rayleigh(0.0), 100.0) + 0.24 * at(haze.phase, 100.0)) / 0.34
    np.testing.assert_allclose(at(layer.phase, 100.0), expected, rtol=1e-5)


def test_light_scattered_once_has_the_albedo_of_tms_and_loses_nothing_by_the_blur(cloud):
    """ω/(1 − f ω) through τ′ (Nakajima & Tanaka 1988); the blur moves light, it keeps ½ ∫ F11 sin Θ dΘ."""
    portion = Portion(10.0, 0.9, cloud.phase, cap=np.deg2rad(14))
    fraction, _ = truncated(cloud.phase, portion.cap)
    one = stratum([portion])
    assert one.thickness == pytest.approx(without_peak(portion).thickness)
    assert one.albedo == pytest.approx(0.9 / (1 - fraction * 0.9))
    assert sphere_mean(one.phase) == pytest.approx(sphere_mean(cloud.phase), abs=1e-5)


def test_the_blur_lowers_the_rainbow_and_the_glory_and_leaves_what_is_smooth(cloud):
    blurred = stratum([Portion(10.0, 1.0, cloud.phase, cap=np.deg2rad(14))]).phase
    angle = np.arange(136.0, 150.0, 0.1)
    bow, sharp = (-at(phase, angle)[1] for phase in (blurred, cloud.phase))
    assert 0.7 * sharp.max() < bow.max() < sharp.max()
    assert abs(angle[bow.argmax()] - angle[sharp.argmax()]) < 1
    assert at(blurred, 180.0)[0] < 0.95 * at(cloud.phase, 180.0)[0]
    assert at(blurred, 60.0)[0] == pytest.approx(at(cloud.phase, 60.0)[0], rel=0.02)


def test_thin_layers_and_layers_without_a_cap_are_not_blurred(cloud):
    """A path too short for two scatterings has nothing to blur."""
    assert stratum([Portion(1.0, 1.0, cloud.phase)]).phase.elements == pytest.approx(cloud.phase.elements)
    thin = stratum([Portion(1e-4, 1.0, cloud.phase, cap=np.deg2rad(14))]).phase
    assert at(thin, 180.0)[0] == pytest.approx(at(cloud.phase, 180.0)[0], rel=1e-3)
