"""Air over a polarised sea by random walks of light, since no other code at hand has such a sea.

Light is a matrix of correlation of its electric field in space, (photon, 3, 3): without frames, angles or rotations. Air is a
layer of dipoles and of scatterers without preference, the sea is of facets; both act on the field.
"""

import numpy as np

from radsens.elementary import ndtr
from radsens.transfer import tables
from radsens.transfer.ocean import Ocean, refractive_index
from radsens.transfer.once import Directions
from radsens.transfer.rendering import fine, stokes
from radsens.transfer.states import State
from radsens.transfer.surfaces import reflection
from radsens.transfer.tables import Request

PHOTONS, DEPTH, WIND, WAVELENGTH = 20_000, 0.236, 5.0, 443.0
DIPOLES = (1 - 0.0279) / (1 + 0.0279 / 2)  # Hansen & Travis 1974, equation 2.15
VARIANCE = 0.003 + 0.00512 * WIND  # Cox & Munk 1954
SEA = Ocean(kind="ocean", wind_speed=WIND, foam=False, water_leaving=False)
VIEWS = np.radians([(0.1, 0), (30, 60), (50, -60), (60, 0), (60, 150), (40, 180)])  # zenith angle and azimuth


def by_air(field, to):
    """Field sent to a direction, per unit of isotropic scattering."""
    across = np.eye(3) - to[..., :, None] * to[..., None, :]
    return 1.5 * DIPOLES * across @ field @ across + (1 - DIPOLES) / 2 * np.trace(field, axis1=1, axis2=2)[:, None, None] * across


def shadowed(mu):
    """Smith's Λ."""
    nu = mu / np.sqrt(np.maximum(1 - mu * mu, 1e-12) * VARIANCE)
    return (np.exp(-np.minimum(nu * nu, 700)) / (nu * np.sqrt(np.pi)) - 2 * ndtr(-np.sqrt(2.0) * nu)) / 2


def by_the_sea(field, comes, to):
    """Field reflected to a direction by the facets that face so, times π times their share."""
    index, facet = refractive_index(WAVELENGTH), to - comes
    facet = facet / np.linalg.norm(facet, axis=1, keepdims=True)
    c, mu0, mu, tilt = (to * facet).sum(1), -comes[:, 2], to[:, 2], facet[:, 2]
    inside = np.sqrt(1 - (1 - c * c) / index**2)
    rs, rp = (c - index * inside) / (c + index * inside), (index * c - inside) / (index * c + inside)
    s = np.cross(comes, facet)
    s = s / np.maximum(np.linalg.norm(s, axis=1, keepdims=True), 1e-12)
    acts = rs[:, None, None] * s[:, :, None] * s[:, None, :]
    acts += rp[:, None, None] * np.cross(s, to)[:, :, None] * np.cross(s, comes)[:, None, :]
    density = np.exp(-np.minimum((1 / tilt**2 - 1) / VARIANCE, 700)) / VARIANCE
    share = density / (4 * mu * mu0 * tilt**4) / (1 + shadowed(mu) + shadowed(mu0))
    return share[:, None, None] * acts @ field @ acts.transpose(0, 2, 1)


def mirrored(random, comes):
    """Directions sent by facets drawn by their slopes, whether they go up, and their density per solid angle."""
    slopes = random.normal(size=(len(comes), 2)) * np.sqrt(VARIANCE / 2)
    facet = np.column_stack([slopes, np.ones(len(comes))]) / np.sqrt(1 + (slopes**2).sum(1))[:, None]
    c, tilt = -(comes * facet).sum(1), facet[:, 2]
    to = comes + 2 * c[:, None] * facet
    good = (c > 0) & (to[:, 2] > 1e-6)
    density = np.exp(-(1 / tilt**2 - 1) / VARIANCE) / (np.pi * VARIANCE) / tilt**3 / (4 * np.where(good, c, 1.0))
    return np.where(good[:, None], to, [0.0, 0.0, 1.0]), good, density


def stokes_of(field, zenith, azimuth):
    """I, Q, U of a field in the meridian frame of its direction, (3, photon)."""
    c, s = np.cos(azimuth), np.sin(azimuth)
    l, r = np.array([np.cos(zenith) * c, np.cos(zenith) * s, -np.sin(zenith)]), np.array([s, -c, 0.0])
    ll, rr, lr = (np.einsum("i,nij,j->n", a, field, b) for a, b in ((l, l), (r, r), (l, r)))
    return np.stack([ll + rr, ll - rr, 2 * lr])


def walk(mu0, random):
    """πL/(μ₀E₀) sent to each view by each photon, (view, 3, photon): at each event the share that leaves to the view."""
    ways = np.array([[np.sin(z) * np.cos(a), np.sin(z) * np.sin(a), np.cos(z)] for z, a in VIEWS])
    goes = np.tile([np.sqrt(1 - mu0 * mu0), 0.0, -mu0], (PHOTONS, 1))
    field = np.tile((np.eye(3) - np.outer(goes[0], goes[0])) / 2, (PHOTONS, 1, 1))
    depth, out = np.zeros(PHOTONS), np.zeros((len(VIEWS), 3, PHOTONS))
    for event in range(12):
        free = (
            (np.arange(PHOTONS) + random.random(PHOTONS)) / PHOTONS if event == 0 else random.random(PHOTONS)
        )  # first: in strata
        depth = depth + goes[:, 2] * np.log(1 - free)
        field[depth < 0] = 0
        low, air = np.flatnonzero(depth >= DEPTH), np.flatnonzero((depth >= 0) & (depth < DEPTH))
        for n, (view, way) in enumerate(zip(VIEWS, ways, strict=True)):
            seen = stokes_of(by_air(field[air], np.tile(way, (len(air), 1))), *view)
            out[n][:, air] += seen * np.exp(-depth[air] / way[2]) / (4 * way[2])
            seen = stokes_of(by_the_sea(field[low], goes[low], np.tile(way, (len(low), 1))), *view)
            out[n][:, low] += seen * np.exp(-DEPTH / way[2])
        new = random.normal(size=(PHOTONS, 3))
        new = new / np.linalg.norm(new, axis=1, keepdims=True)
        new[low], good, density = mirrored(random, goes[low])
        weight = np.where(good, new[low, 2] / (np.pi * density), 0.0)
        field[air] = by_air(field[air], new[air])
        field[low] = by_the_sea(field[low], goes[low], new[low]) * weight[:, None, None]
        goes, depth = new, np.clip(depth, 0, DEPTH)
    return out


def test_air_over_a_polarised_sea_sends_what_random_walks_of_light_send():
    mu0 = np.cos(np.radians(40.0))
    found = walk(mu0, np.random.default_rng(5))
    mean, error = found.mean(2), found.std(2) / np.sqrt(PHOTONS)
    assert (error[:, 0] < 0.015 * mean[:, 0]).all()
    request = Request(State(surface=SEA), WAVELENGTH, DEPTH)
    table, ground = tables.make(request), reflection(SEA, WAVELENGTH)
    directions = Directions.of(np.cos(VIEWS[:, 0]), np.full(len(VIEWS), mu0), VIEWS[:, 1])
    made = stokes(table, fine(table, (0.4, 1.0), (0.7, 0.8)), ground, directions) / mu0
    assert (np.abs(made.T - mean) < 4 * error + 1e-4).all()
    assert np.abs(mean[[1, 2], 2]).min() > 0.04  # U is there, on either side
