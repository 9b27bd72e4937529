"""Multiple scattering against a published table, another code and the laws that any atmosphere obeys."""

from dataclasses import replace

import numpy as np
import pytest
import sasktran2
from sasktran2.legendre import compute_greek_coefficients

from radsens.transfer import tables
from radsens.transfer.adding import (
    Layer,
    PhaseOrders,
    Streams,
    gauss,
    lambertian_orders,
    phase_orders,
    reflect,
    surface_orders,
    synthesise,
)
from radsens.transfer.mie import gamma, lognormal, mie
from radsens.transfer.once import Directions, once, stratum
from radsens.transfer.optics import Portion, Scatterer, mixed, rayleigh, sphere_mean, without_peak
from radsens.transfer.rendering import fine, stokes
from radsens.transfer.scattering import REVERSED, Phase
from radsens.transfer.states import Mode, State
from radsens.transfer.surfaces import Lambertian
from radsens.transfer.tables import Request

# Natraj, Li & Yung (2009), Astrophysical Journal 691, 1909: Rayleigh scattering without depolarisation, τ = 0.5, μ₀ = 0.2,
# irradiance π: by albedo of the ground, rows of μ, φ [deg], I, Q, U. Recalled, for cases that Coulson, Dave & Sekera
# tabulated in 1960. Its Q is I_r − I_l and its U turns the other way: both are minus ours.
NATRAJ = {
    0.0: (
        (0.02, 0, 0.44129802, -0.01753141, 0.0),
        (0.4, 0, 0.16889020, 0.01119511, 0.0),
        (1.0, 0, 0.05300496, 0.03755859, 0.0),
        (0.02, 30, 0.39444956, -0.06485313, 0.04390364),
        (0.92, 60, 0.05643322, -0.01979730, 0.03822653),
        (0.02, 60, 0.30091208, -0.15965601, 0.07365528),
        (0.4, 60, 0.12752450, -0.06066038, 0.05293867),
        (1.0, 60, 0.05300496, -0.01877930, 0.03252669),
    ),
    0.8: (
        (0.02, 0, 0.47382125, -0.01553672, 0.0),
        (0.4, 0, 0.23059806, 0.01144320, 0.0),
        (1.0, 0, 0.13280858, 0.03755859, 0.0),
        (0.02, 60, 0.33343531, -0.15766132, 0.07365528),
        (0.4, 60, 0.18923236, -0.06041229, 0.05293867),
        (1.0, 60, 0.13280858, -0.01877930, 0.03252669),
    ),
}
AIR = rayleigh(0.0279)  # depolarisation of air: Young (1980), recalled


@pytest.fixture(scope="module")
def haze() -> Scatterer:
    return mie(0.67, 1.45 + 0.005j, lognormal(0.1, 0.4, 100))


def air(streams: Streams, thickness: float, albedo: float = 1.0) -> Layer:
    return Layer(thickness, albedo, phase_orders(streams, AIR, 2))


def layer(streams: Streams, *portions: Portion) -> Layer:
    whole = mixed([without_peak(one) for one in portions])
    return Layer(whole.thickness, whole.albedo, phase_orders(streams, whole.phase))


def lambertian(albedo: float):
    def reflection(mu: np.ndarray, mu0: np.ndarray, phi: np.ndarray) -> np.ndarray:
        out = np.zeros((*np.broadcast_shapes(np.shape(mu), np.shape(mu0), np.shape(phi)), 3, 3))
        out[..., 0, 0] = albedo
        return out

    return reflection


def flux(streams: Streams, orders: np.ndarray) -> np.ndarray:
    """Share of the sunlight that comes back, for each μ₀: 2 ∫ R⁰ μ dμ."""
    return 2 * (streams.weights * streams.mu) @ orders[0, :, 0]


@pytest.mark.parametrize("albedo", NATRAJ)
def test_molecules_over_a_ground_agree_with_the_table_of_natraj_li_and_yung(albedo):
    asked = (0.02, 0.4, 0.92, 1.0)
    streams = gauss(24, 2, extra=(*asked, 0.2))
    total, _ = reflect(streams, [Layer(0.5, 1.0, phase_orders(streams, rayleigh(0.0), 2))], lambertian_orders(streams, albedo))
    for mu, phi, *table in NATRAJ[albedo]:
        mine = synthesise(total, np.deg2rad([phi]))[24 + asked.index(mu), :, -1, 0]
        np.testing.assert_allclose(0.2 * mine * [1, -1, -1], table, atol=1e-7)


def sasktran(layers: list[Portion], albedo: float, mu: np.ndarray, mu0: float, phi: np.ndarray) -> np.ndarray:
    """I, Q, U of π L/(μ₀ E) by discrete ordinates of sasktran2 over a Lambertian ground, (μ, 3, p); layers from the top.

    It is given P12 = −F12, as its own Mie code counts it (test_optics).
    """
    config = sasktran2.Config()
    config.num_stokes, config.num_streams, config.num_singlescatter_moments, config.num_threads = 3, 40, 96, 1
    config.multiple_scatter_source = sasktran2.MultipleScatterSource.DiscreteOrdinates
    config.single_scatter_source = sasktran2.SingleScatterSource.DiscreteOrdinates
    flat, lower = sasktran2.GeometryType.PlaneParallel, sasktran2.InterpolationMethod.LowerInterpolation
    geometry = sasktran2.Geometry1D(mu0, 0, 6.4e6, 1000.0 * np.arange(len(layers) + 1), lower, flat)
    view = sasktran2.ViewingGeometry()
    for one in mu:
        for azimuth in phi:
            view.add_ray(sasktran2.GroundViewingSolar(mu0, azimuth, one, 2e5))
    air = sasktran2.Atmosphere(geometry, config, numwavel=1, calculate_derivatives=False)
    air.surface.albedo[:] = albedo
    for level, one in enumerate([*reversed(layers), layers[0]]):  # each holds from its level to the next
        f11, f12, f22, f33 = (element[None] for element in one.phase.elements)
        degrees = np.rad2deg(one.phase.angle)
        a1, a2, a3, _, b1, _ = compute_greek_coefficients(f11, -f12, f22, f33, 0 * f11, f33, degrees, 96)
        air.storage.total_extinction[level], air.storage.ssa[level] = one.thickness / 1000, one.albedo
        of = air.leg_coeff
        for coefficients, values in zip((of.a1, of.a2, of.a3, of.b1), (a1, a2, a3, b1), strict=True):
            coefficients[:, level, 0] = values[0]
    radiance = sasktran2.Engine(config, geometry, view).calculate_radiance(air)["radiance"].values
    return radiance.reshape(len(mu), len(phi), 3).transpose(0, 2, 1) * np.pi / mu0


def test_a_haze_of_mie_spheres_agrees_with_sasktran2_signs_included(haze):
    """Where P12 = |S₁|² − |S₂|², sasktran2 has our Q and our U; with P12 = F12 it would have both opposite."""
    mu, mu0, phi = [0.3, 0.7, 0.95], 0.6, np.deg2rad([0, 30, 100, 150, 180])
    streams = gauss(20, 24, extra=[*mu, mu0])
    total, _ = reflect(streams, [Layer(0.3, haze.albedo, phase_orders(streams, haze.phase))], lambertian_orders(streams, 0.0))
    mine = synthesise(total, phi)[20:23, :, -1]
    other = sasktran([Portion(0.3, haze.albedo, haze.phase)], 0.0, mu, mu0, phi)
    np.testing.assert_allclose(mine, other, atol=1e-6)
    assert np.abs(other[:, 1]).max() > 0.05 and np.abs(other[:, 2]).max() > 0.05


def test_what_pixels_get_of_a_table_agrees_with_sasktran2():
    """Air over hazy air over a ground: the smooth part between nodes, and once, with the peak cut off and given back."""
    mode = Mode(median_radius=0.1, ln_sigma=0.4, index=1.45, absorption=0.005, thickness=0.3)
    request = Request(State(surface=Lambertian(kind="lambertian", albedo=0.1), aerosols=(mode,)), 490.0, 0.156)
    table, ground = tables.make(request), lambertian(0.1)
    mu, mu0, phi = np.array([0.4, 0.7, 0.98]), 0.6, np.deg2rad([0, 40, -40, 150, 180])
    directions = Directions.of(*(a.ravel() for a in np.meshgrid(mu, mu0, phi, indexing="ij")))
    mine = stokes(table, fine(table, (0.35, 1.0), (0.5, 0.7)), ground, directions).reshape(3, len(mu), len(phi)) / mu0
    layers = [mixed(portions) for portions in tables.layers_of(request, tables.SIZES["standard"])]
    other = sasktran(layers, 0.1, mu, mu0, phi).transpose(1, 0, 2)
    np.testing.assert_allclose(mine[0], other[0], rtol=2e-5)
    np.testing.assert_allclose(mine[1:], other[1:], atol=2e-6)
    assert np.abs(other[2, :, 1]).min() > 0.01


def test_single_scattering_by_molecules_is_polarised_across_the_scattering_plane():
    """With the sun and the view in one vertical plane, that is across the meridian: Q < 0, U = 0."""
    streams = gauss(8, 2)
    _, first = reflect(streams, [air(streams, 0.1)], lambertian_orders(streams, 0.0))
    image, mu, mu0 = synthesise(first, np.array([0.0, np.pi])), streams.mu[:, None, None], streams.mu[:, None]
    f11, f12, _, _ = AIR(-mu * mu0 + np.array([1.0, -1.0]) * np.sqrt((1 - mu**2) * (1 - mu0**2)))
    np.testing.assert_allclose(image[:, 1] / image[:, 0], f12 / f11, atol=1e-6)
    assert np.all(f12 < 1e-12) and f12.min() < -0.7
    np.testing.assert_allclose(image[:, 2], 0, atol=1e-15)


def test_all_light_comes_back_from_what_does_not_absorb_over_a_white_ground():
    streams = gauss(16, 0)
    total, _ = reflect(streams, [air(streams, 0.5), air(streams, 3.0)], lambertian_orders(streams, 1.0))
    np.testing.assert_allclose(flux(streams, total), 1, atol=2e-7)  # what THIN leaves, times some scatterings


@pytest.mark.parametrize(("polarising", "tolerance"), [(0.0, 3e-7), (1.0, 5e-5)])
def test_a_cloud_with_its_peak_cut_off_loses_no_light_either(polarising, tolerance):
    """Where F12 is steep, the sum over 16 nodes of what Q gives to I is not quite zero; the rest is exact."""
    droplets = mie(0.865, 1.327, gamma(10.0, 0.05, 100)).phase
    phase = Phase(droplets.angle, droplets.elements * np.array([1.0, polarising, 1.0, 1.0])[:, None])
    streams = gauss(16, 0, azimuths=128)
    cloud = layer(streams, Portion(10.0, 1.0, phase, cap=np.deg2rad(10)))
    total, _ = reflect(streams, [cloud], lambertian_orders(streams, 1.0))
    np.testing.assert_allclose(flux(streams, total), 1, atol=tolerance)


def test_more_absorption_never_gives_more_light():
    streams = gauss(8, 2)
    fluxes = [
        flux(streams, reflect(streams, [air(streams, 1.0, albedo)], lambertian_orders(streams, 0.2))[0])
        for albedo in (1.0, 0.9, 0.5, 0.1)
    ]
    assert np.all(np.diff(fluxes, axis=0) < 0)


def test_light_comes_back_as_well_the_other_way_round(haze):
    """R₁₁(μ, μ₀, φ) = R₁₁(μ₀, μ, φ): reciprocity, for each order."""
    streams = gauss(12, 8)
    layers = [air(streams, 0.2), layer(streams, Portion(0.4, haze.albedo, haze.phase))]
    total, first = reflect(streams, layers, lambertian_orders(streams, 0.3))
    for orders in (total, first):
        np.testing.assert_allclose(orders[:, :, 0], orders[:, :, 0].transpose(0, 2, 1), atol=1e-8)


def test_a_layer_is_the_sum_of_its_halves(haze):
    streams = gauss(12, 6)
    one = layer(streams, Portion(0.7, haze.albedo, haze.phase))
    upper, lower = (Layer(thickness, one.albedo, one.phase) for thickness in (0.25, 0.45))
    ground = lambertian_orders(streams, 0.1)
    for whole, parts in zip(reflect(streams, [one], ground), reflect(streams, [upper, lower], ground), strict=True):
        np.testing.assert_allclose(whole, parts, atol=1e-7)  # what THIN leaves


def test_a_layer_without_scattering_only_dims_the_ground():
    streams = gauss(6, 0)
    empty = Layer(0.4, 0.0, phase_orders(streams, AIR, 0))
    total, _ = reflect(streams, [empty], lambertian_orders(streams, 0.5))
    dimmed = np.exp(-0.4 * (1 / streams.mu[:, None] + 1 / streams.mu))
    np.testing.assert_allclose(total[0, :, 0], 0.5 * dimmed, rtol=1e-12)


@pytest.mark.parametrize("thickness", [1e-4, 1e-5])
def test_a_thin_layer_scatters_once_and_the_rest_is_of_second_order(thickness):
    streams = gauss(8, 2)
    total, first = reflect(streams, [air(streams, thickness)], lambertian_orders(streams, 0.0))
    steep = streams.mu > 0.1
    ratio = np.abs(total - first)[:, steep][..., steep].max() / np.abs(first)[:, steep][..., steep].max()
    assert ratio == pytest.approx(0.0, abs=10 * thickness)
    assert ratio > thickness / 10


def test_once_is_what_the_orders_of_once_sum_up_to():
    streams = gauss(6, 2)
    layers = [[Portion(0.1, 1.0, AIR)], [Portion(0.3, 0.9, AIR), Portion(0.2, 0.8, rayleigh(0.0))]]
    stacked = [Layer(m.thickness, m.albedo, phase_orders(streams, m.phase, 2)) for m in map(mixed, layers)]
    _, first = reflect(streams, stacked, lambertian_orders(streams, 0.2))
    phi = np.deg2rad([0.0, 40.0, 100.0, 180.0])
    exact = once(
        [stratum(one) for one in layers],
        lambertian(0.2),
        Directions.of(streams.mu[:, None, None], streams.mu[None, :, None], phi),
    )
    # Straight lines in Θ are good to 4e-8, to be divided by 4 (μ + μ₀).
    np.testing.assert_allclose(synthesise(first, phi), np.moveaxis(exact, 0, 1), atol=3e-7)


def test_a_haze_with_its_peak_cut_off_looks_as_it_did_with_it(haze):
    """TMS: 0.05 % of I and 2e-4 of the degree of polarisation, at scattering angles beyond 30°."""
    mu, mu0, phi = np.array([0.5, 0.8, 1.0]), np.array([0.6]), np.deg2rad(np.arange(0.0, 181.0, 20.0))
    images = []
    for count, orders, cap in ((32, 40, 0.0), (12, 12, 12.0)):
        streams = gauss(count, orders, extra=(*mu, *mu0))
        portions = [[Portion(0.1, 1.0, AIR), Portion(0.3, haze.albedo, haze.phase, np.deg2rad(cap))]]
        total, first = reflect(streams, [layer(streams, *portions[0])], lambertian_orders(streams, 0.05))
        smooth = synthesise((total - first)[:, count : count + 3, :, count + 3 :], phi)
        exact = once(
            [stratum(one) for one in portions], lambertian(0.05), Directions.of(mu[:, None, None], mu0[None, :, None], phi)
        )
        images.append(smooth + np.moveaxis(exact, 0, 1))
    whole, cut = images
    np.testing.assert_allclose(cut[:, 0], whole[:, 0], rtol=5e-4)
    dolp = [np.hypot(image[:, 1], image[:, 2]) / image[:, 0] for image in images]
    np.testing.assert_allclose(dolp[1], dolp[0], atol=2e-4)


def test_orders_of_a_scattering_matrix_keep_its_mean_and_its_mirror(haze):
    streams = gauss(12, 4)
    orders = phase_orders(streams, haze.phase)
    scattered = streams.weights @ (orders.reflected[0] + orders.transmitted[0])[:, 0, :, 0] / 2
    np.testing.assert_allclose(scattered, sphere_mean(haze.phase), atol=1e-5)
    # Time reversed and mirrored: Z(μ, μ₀) = D Z(μ₀, μ)ᵀ D (Hovenier 1969, J. Atmos. Sci. 26, 488).
    swapped = orders.transmitted.transpose(0, 3, 4, 1, 2) * REVERSED[:, None, None] * REVERSED
    np.testing.assert_allclose(np.abs(orders.transmitted), np.abs(swapped), atol=1e-10)


def test_molecules_have_no_order_above_two():
    streams = gauss(6, 5)
    every = phase_orders(streams, AIR)
    np.testing.assert_allclose(every.reflected[3:], 0, atol=1e-7)
    few = phase_orders(streams, AIR, 2)
    assert isinstance(few, PhaseOrders) and len(few.reflected) == 3
    np.testing.assert_allclose(few.reflected, every.reflected[:3], atol=1e-7)


def test_orders_of_a_surface_are_those_of_its_function():
    """A made-up surface whose orders are known by hand: R = 1 + cos φ in I, sin φ from I to U."""

    def wavy(mu: np.ndarray, mu0: np.ndarray, phi: np.ndarray) -> np.ndarray:
        mu, mu0, phi = np.broadcast_arrays(mu, mu0, phi)
        out = np.zeros((*mu.shape, 3, 3))
        out[..., 0, 0], out[..., 2, 0] = 1 + mu * mu0 * np.cos(phi), np.sin(phi)
        return out

    streams = gauss(4, 3)
    orders = surface_orders(streams, wavy)
    product = streams.mu[:, None] * streams.mu
    expected = np.stack([np.ones((4, 4)), product / 2, 0 * product, 0 * product])
    np.testing.assert_allclose(orders[:, :, 0, :, 0], expected, atol=1e-14)
    phi = np.deg2rad([20.0, 130.0])
    image = synthesise(orders[..., 0], phi)
    np.testing.assert_allclose(image[:, 0], 1 + product[..., None] * np.cos(phi), atol=1e-13)
    np.testing.assert_allclose(image[:, 2], np.broadcast_to(np.sin(phi), (4, 4, 2)), atol=1e-13)


def test_the_blur_of_the_peak_puts_the_rainbow_right():
    """Small droplets over black, whose peak 28 streams resolve: cut off at 20°, to be seen as if it were not.

    Without the blur (plain TMS) the degree of polarisation of the bow is wrong by ten times the tolerance.
    """
    droplets = mie(0.865, 1.327, gamma(2.0, 0.1, 60), angles=721).phase
    mu, mu0, phi = np.cos(np.deg2rad([20.0, 38.0])), np.cos(np.deg2rad([38.0])), np.deg2rad(np.arange(0.0, 166.0, 15.0))
    dolp = []
    for count, orders, cap, blurred in ((28, 28, 0.0, False), (20, 24, 20.0, True), (20, 24, 20.0, False)):
        streams, cloud = gauss(count, orders, extra=(*mu, *mu0)), Portion(5.0, 1.0, droplets, np.deg2rad(cap))
        total, first = reflect(streams, [layer(streams, cloud)], lambertian_orders(streams, 0.0))
        stack = stratum([cloud]) if blurred else replace(stratum([cloud]), phase=droplets)
        image = np.moveaxis(once([stack], lambertian(0.0), Directions.of(mu[:, None, None], mu0[None, :, None], phi)), 0, 1)
        image = image + synthesise((total - first)[:, count : count + 2, :, count + 2 :], phi)
        dolp.append(np.hypot(image[:, 1], image[:, 2]) / image[:, 0])
    whole, blurred, sharp = dolp
    np.testing.assert_allclose(blurred, whole, atol=3e-4)
    assert np.abs(sharp - whole).max() > 3e-3
