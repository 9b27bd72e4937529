"""Level-1 products in the layouts that the readers expect, written from arrays: small, with every group, type, scale and code.

What they prove is that reader, writer and layout agree with each other; no real file stood beside them.
"""

from dataclasses import dataclass

import h5py
import numpy as np
from netCDF4 import Dataset

POLARISED, UNPOLARISED = ("490P", "670P", "865P"), ("443NP", "565NP", "763NP", "765NP", "910NP", "1020NP")
SCALE = 1e-4  # of radiances, ICARE
MISSING = (32767, -32767)
R = 6371.0


def smooth_stokes(theta, azimuth, wavelength):
    """A smooth field (3, ...) whose I and DoLP vary over the image: I, Q, U."""
    i = 0.05 + 0.2 * np.cos(theta) ** 2 * (500 / wavelength)
    p = 0.4 * np.sin(theta) ** 2
    return np.stack([i, i * p * np.cos(2 * azimuth + 0.3), i * p * np.sin(2 * azimuth + 0.3)])


@dataclass
class Parasol:
    """What a product was written from: (row, column, view) each."""

    stokes: dict
    row: np.ndarray
    column: np.ndarray
    angles: dict


def parasol(path, shape=(12, 10, 4), plane=(274, 242)):
    """Write a PARASOL level-1B product; views march along the detector rows, as those of a target do."""
    _, columns, views = shape
    row, column, view = np.meshgrid(*map(np.arange, shape), indexing="ij")
    ccd_row = 20.25 + (plane[0] - 60) * (view + 0.5) / views + 1.2 * row / 3
    ccd_column = 30.5 + (plane[1] - 60) * column / columns + 0.1 * view
    x, y = (ccd_column - plane[1] / 2) * 0.0076, (ccd_row - plane[0] / 2) * 0.009
    theta, azimuth = np.arctan(np.hypot(x, y)), np.arctan2(y, x)
    stokes = {}
    with h5py.File(path, "w") as file:
        for name in (*POLARISED, *UNPOLARISED):
            stokes[name] = smooth_stokes(theta, azimuth, int(name.rstrip("NP")))
            for component, values in zip("IQU" if name in POLARISED else "I", stokes[name], strict=False):
                add(file, f"Data_Directional_Fields/{component}{name}", values, "int16", SCALE, units="1")
        angles = {
            "thetas": 30 + row / 3,
            "thetav": np.degrees(np.arcsin(np.sin(theta) * (R + 705) / R)),
            "phi": np.degrees(azimuth) % 360,
        }
        add(file, "Data_Directional_Fields/thetas", angles["thetas"], "uint16", 0.0015, units="deg")
        add(file, "Data_Directional_Fields/thetav", angles["thetav"], "uint16", 0.0015, units="deg")
        add(file, "Data_Directional_Fields/phi", angles["phi"], "uint16", 0.006, units="deg")
        for name in ("delta_thetav.cosphi", "delta_thetav.sinphi"):
            add(file, f"Data_Directional_Fields/{name}", 0.1 * np.ones(shape), "int8", 0.0016, units="deg")
        add(file, "Data_Directional_Fields/CCD_row", ccd_row, "int16", 0.01)
        add(file, "Data_Directional_Fields/CCD_column", ccd_column, "int16", 0.01)
        flat = row[:, :, 0]
        add(file, "Data_Fields/Nviews", np.full(flat.shape, views), "uint8", 1)
        add(file, "Data_Fields/cloud_indicator", np.choose(column[:, :, 0] % 3, (0, 50, 100)), "int16", 1)
        add(file, "Data_Fields/phis", np.full(flat.shape, 120.0), "uint16", 0.006)
        add(file, "Geolocation_Fields/Latitude", 40 - flat / 18, "float32", 1)
        add(file, "Geolocation_Fields/Longitude", column[:, :, 0] / 18, "float32", 1)
        add(file, "Geolocation_Fields/land_sea_flag", np.choose(flat % 3, (0, 50, 100)), "int16", 1)
        add(file, "Geolocation_Fields/surface_altitude", 0 * flat, "int16", 1)
        for number in range(1, 15):
            add(file, f"Quality_Flags_Directional_Fields/Quality_Flags_{number:02d}", np.zeros(shape), "uint8", 1)
        file.attrs["history"] = "made by nobody"
        file.attrs["Product_Name"] = "POLDER3_L1B-BG1-000000M_2006-01-01T00-00-00_V1-01"
    return Parasol(stokes, ccd_row - 1, ccd_column - 1, angles)


def add(file, name, values, kind, scale, **more):
    """One dataset as the product has it: chunked, compressed, with its scale, offset and code."""
    counts = np.rint(values / scale) if kind != "float32" else values
    made = file.create_dataset(name, data=counts.astype(kind), chunks=True, compression="gzip", shuffle=True)
    codes = {"int16": 32767, "uint16": 65535, "int8": 127, "uint8": 255}
    made.attrs["scale_factor"], made.attrs["add_offset"], made.attrs["long_name"] = scale, 0.0, name.rpartition("/")[2]
    if kind in codes:
        made.attrs["_FillValue"] = np.array(codes[kind], kind)
    made.attrs.update(more)


@dataclass
class Pass3MI:
    """Angles and places in the field of the cells of an overpass, (cell, view) each."""

    vza: np.ndarray
    azimuth: np.ndarray
    x: np.ndarray
    y: np.ndarray


def overpass(cells, views, altitude, heading=0.0, step=1.0):
    """A satellite flies by and looks at the nadir: everything by plain vectors from the centre of the Earth.

    Parameters
    ----------
    cells : number of targets, spread within some 8° of the middle of the track
    heading : from the flight direction to +y of the focal plane, towards +x [deg]
    step : of the satellite between two views [deg]
    """
    generator = np.random.default_rng(3)
    east, north = generator.uniform(-8, 8, (2, cells))
    start = np.radians([20.0, -30.0])  # latitude and longitude of the middle of the track
    up = unit(*start)
    along = rotated(np.array([0.0, 0.0, 1.0]) - np.sin(start[0]) * up, up, np.radians(-12.0))
    along /= np.linalg.norm(along)
    pole = np.cross(up, along)
    target = np.stack([unit(start[0] + np.radians(n), start[1] + np.radians(e)) for n, e in zip(north, east, strict=True)])
    out = Pass3MI(*(np.zeros((cells, views)) for _ in range(4)))
    for v in range(views):
        angle = np.radians((v - (views - 1) / 2) * step)
        nadir = np.cos(angle) * up + np.sin(angle) * along
        flight = np.cross(pole, nadir)
        z, right = -nadir, np.cross(flight, -nadir)
        y = np.cos(np.radians(heading)) * flight + np.sin(np.radians(heading)) * right
        sight = R * target - (R + altitude) * nadir
        out.x[:, v], out.y[:, v] = sight @ np.cross(y, z) / (sight @ z), sight @ y / (sight @ z)
        to_satellite = -sight / np.linalg.norm(sight, axis=1)[:, None]
        easting = np.cross([0, 0, 1], target)
        easting /= np.linalg.norm(easting, axis=1)[:, None]
        northing = np.cross(target, easting)
        out.vza[:, v] = np.degrees(np.arccos(np.sum(to_satellite * target, axis=1)))
        out.azimuth[:, v] = np.degrees(np.arctan2(np.sum(to_satellite * easting, 1), np.sum(to_satellite * northing, 1)))
    return out


def unit(latitude, longitude):
    return np.array([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])


def rotated(vector, axis, angle):
    """A vector normal to the axis, turned about it."""
    return np.cos(angle) * vector + np.sin(angle) * np.cross(axis, vector)


@dataclass
class ThreeMI:
    """What a product was written from: reflectances of each band (3, cell, view), by overlap; angles; places in the field."""

    reflectance: dict
    passes: dict
    sza: np.ndarray


def three_mi(path, polarised, unpolarised, swir=(), cells=20, overlaps=2, packed=True, altitude=835.0, heading=0.0):
    """Write a 3MI level-1C product: overlap groups of 1-D cells, 14 views of the VNIR detector and 12 of the SWIR one."""
    reflectance, passes = {}, {}
    with Dataset(path, "w") as file:
        file.setncatts({"spacecraft": "SGA1", "instrument": "3MI", "sensing_start_time_utc": "20260101000000.000"})
        file.createGroup("quality").setncattr("duration_of_product", 100.0)
        for number in range(overlaps):
            group = file.createGroup(f"data/overlap_{number:03d}")
            group.createDimension("geo_reference_grid_cells", cells)
            geolocation, measured = group.createGroup("geolocation_data"), group.createGroup("measurement_data")
            for detector, views in (("VNIR", 14), ("SWIR", 12)):
                axes = ("geo_reference_grid_cells", f"viewing_directions_{detector}")
                group.createDimension(axes[1], views)
                seen = passes[number, detector] = overpass(cells, views, altitude, heading)
                sza = 35 + 0.1 * np.arange(cells)[:, None] + np.zeros((1, views))
                end = "" if detector == "VNIR" else "_SWIR"
                put(geolocation, f"solar_zenith_angle{end}", axes, sza, None)
                put(geolocation, f"satellite_zenith_angle{end}", axes, seen.vza, None)
                put(geolocation, f"relative_azimuth_angle{end}", axes, (seen.azimuth - 150) % 360, None)
                for band in (*polarised, *unpolarised):
                    if (band in swir) == (detector == "SWIR"):
                        theta, azimuth = np.arctan(np.hypot(seen.x, seen.y)), np.arctan2(seen.y, seen.x)
                        values = reflectance[number, band] = smooth_stokes(theta, azimuth, int(band.rstrip("NP")))
                        inside = measured.createGroup(f"r_{int(band.rstrip('NP')):04d}")
                        for component, one in zip("IQU", values, strict=True):
                            put(inside, f"reflectance_{component}", axes, one, SCALE if packed else None)
    return ThreeMI(reflectance, passes, 35 + 0.1 * np.arange(cells))


def put(group, name, axes, values, scale):
    """One variable, packed in 16 bits or as 32-bit reals."""
    kind, missing = ("i2", -32767) if scale else ("f4", 9.969209968386869e36)
    made = group.createVariable(name, kind, axes, zlib=True, fill_value=missing)
    made.set_auto_maskandscale(False)
    if scale:
        made.setncatts({"scale_factor": scale, "add_offset": 0.0})
    made[...] = np.rint(values / scale) if scale else values
