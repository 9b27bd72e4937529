"""Transmission of the gases: the limits that any law must have, and the published one that it stands for."""

import numpy as np
import pytest

from radsens.transfer.gas import absorber_above, pressure_ratio, transmission

VAPOUR_910 = (0.23, 0.545)  # as in instrument files: fitted to the law of Bird & Riordan below
OXYGEN_763, OXYGEN_765 = (0.38, 0.384), (0.135, 0.326)
CIRRUS_1370 = (4.0, 0.6)
UP = np.array(1.0)


def test_without_absorber_the_air_is_clear():
    assert transmission(UP, UP, (0.5, 0.4), above=0.0) == 1
    assert transmission(UP, UP, (0.0, 1.0)) == 1


def test_with_b_of_one_it_is_beers_law_on_each_way():
    mu, mu0 = np.array([0.3, 0.9]), np.array([0.8, 0.5])
    np.testing.assert_allclose(transmission(mu, mu0, (0.2, 1.0)), np.exp(-0.2 / mu) * np.exp(-0.2 / mu0), rtol=1e-14)


def test_longer_ways_and_more_absorber_let_less_light_through():
    mu = np.linspace(0.1, 1, 10)
    assert (np.diff(transmission(mu, np.array(0.7), OXYGEN_763)) > 0).all()
    assert (np.diff(transmission(UP, UP, OXYGEN_763, np.linspace(0, 2, 9))) < 0).all()


def test_an_opaque_band_returns_nothing_rather_than_an_error():
    assert 0 <= transmission(np.array(1e-4), np.array(1e-4), (10.0, 1.0)) < 1e-300


def test_oxygen_falls_with_the_square_of_the_pressure_of_the_standard_atmosphere():
    # the tables of ISO 2533, at geopotential heights
    height = np.array([0.0, 5.0, 10.0, 11.0, 15.0, 20.0])
    pressure = np.array([1013.25, 540.20, 264.36, 226.32, 120.45, 54.75])
    np.testing.assert_allclose(1013.25 * pressure_ratio(height), pressure, rtol=1e-3)
    np.testing.assert_allclose(absorber_above("oxygen", height), (pressure / 1013.25) ** 2, rtol=2e-3)


def test_water_vapour_lies_low_and_scales_with_the_column():
    assert absorber_above("water_vapour", 0.0) == 1
    assert absorber_above("water_vapour", 2.0) == pytest.approx(np.exp(-1), rel=1e-14)
    assert absorber_above("water_vapour", 1.0, water=4.0) == pytest.approx(2 * np.exp(-0.5), rel=1e-14)


def test_the_910_channel_follows_the_band_model_of_bird_and_riordan():
    """T = exp[−0.2385 x / (1 + 20.07 x)^0.45], x = a W m, a = 7 cm⁻¹ at 905 nm and 5 at 915, their table of water vapour.

    A 21 nm wide channel there is within 0.04 of the mean of the two; what counts is its growth with m and W.
    """
    for air_mass, water in ((2.0, 2.0), (3.0, 2.0), (5.0, 2.0), (2.0, 0.5), (2.5, 5.0)):
        x = np.array([7.0, 5.0]) * water * air_mass
        published = np.exp(-0.2385 * x / (1 + 20.07 * x) ** 0.45).mean()
        mu = np.array(2 / air_mass)
        found = transmission(mu, mu, VAPOUR_910, absorber_above("water_vapour", 0.0, water))
        assert found == pytest.approx(published, abs=0.04)


def test_the_two_oxygen_channels_tell_the_height_of_a_cloud():
    def ratio(height):
        above = absorber_above("oxygen", height)
        return transmission(UP, UP, OXYGEN_763, above) / transmission(UP, UP, OXYGEN_765, above)

    ratios = [ratio(height) for height in (0.0, 2.0, 5.0, 10.0)]
    assert (np.diff(ratios) > 0.02).all()
    assert ratios[0] == pytest.approx(0.72, abs=0.02)
    assert transmission(UP, UP, OXYGEN_763) == pytest.approx(0.6, abs=0.02)
    assert transmission(UP, UP, OXYGEN_765) == pytest.approx(0.85, abs=0.01)


def test_only_high_clouds_shine_at_1370_nm():
    ground, low, cirrus = (transmission(UP, UP, CIRRUS_1370, absorber_above("water_vapour", z)) for z in (0.0, 2.0, 10.0))
    assert ground < 0.01
    assert low < 0.05
    assert cirrus > 0.7
