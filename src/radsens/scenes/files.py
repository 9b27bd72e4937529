"""A scene as a file, band after band: reference Stokes vectors, geometry and addresses of each pixel.

The pixels of a detector stand in it once, each variable under its name and that of the detector.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from radsens import io
from radsens.schema import Fault, Scene

COMPONENTS = ("I", "Q", "U")
STOKES, PIXEL, GEOMETRY = "stokes_", "pixel_", "geometry_"

# Fields of a pixel: type in the file, unit, meaning.
FIELDS = {
    "x": ("f8", "1", "focal-plane coordinate along the columns, in focal lengths"),
    "y": ("f8", "1", "focal-plane coordinate along the rows, in focal lengths"),
    "theta": ("f8", "radian", "field angle"),
    "detector": ("u4", "1", "address of the detector element: row * columns + column"),
    "sample": ("u4", "1", "address of the sample, one per view"),
    "view": ("i4", "1", "number of the view"),
    "scene_class": ("i4", "1", "index of the scene class"),
}


def write(path: str | Path, scenes: Iterable[Scene], attributes: dict[str, Any]) -> None:
    """Write the scenes of some bands with the given global attributes, holding one of them at a time."""
    io.stream(path, _variables(scenes), attributes)


def _variables(scenes: Iterable[Scene]) -> Iterator[tuple[str, io.Variable]]:
    """What stands in the file, in its order."""

    def text(axis: str, values: Iterable[str], meaning: str) -> tuple[str, io.Variable]:
        return axis, io.Variable((axis,), np.array(list(values), dtype=object), {"long_name": meaning})

    bands: list[str] = []
    planes: set[str] = set()
    classes: tuple[str, ...] = ()
    yield text("stokes_component", COMPONENTS, "Stokes component")
    for scene in scenes:
        if bands and scene.class_names != classes:
            raise Fault(f"scene: band {scene.band} has other scene classes than band {bands[0]}; they must have the same")
        if scene.plane not in planes:
            yield from _pixels(scene)
        light = {"units": "1", "long_name": f"normalised radiance pi L / E0 of band {scene.band}, in the focal-plane frame"}
        light |= {"comment": scene.remark} if scene.remark else {}
        yield STOKES + scene.band, io.Variable(("stokes_component", PIXEL + scene.plane), scene.stokes, light)
        bands.append(scene.band)
        planes.add(scene.plane)
        classes = scene.class_names
        del scene  # before the next is made
    yield text("band", bands, "spectral band")
    yield text("class_name", classes, "scene class")


def _pixels(scene: Scene) -> Iterator[tuple[str, io.Variable]]:
    """The pixels of a detector, which all of its bands share."""
    plane = scene.plane

    def pixel(name: str, values: np.ndarray, kind: str, unit: str, meaning: str) -> tuple[str, io.Variable]:
        meaning = f"{meaning}, detector {plane}"
        return f"{name}_{plane}", io.Variable((PIXEL + plane,), values.astype(kind), {"units": unit, "long_name": meaning})

    sides = {"units": "1", "long_name": f"rows and columns of the detector {plane}"}
    yield f"shape_{plane}", io.Variable(("side",), np.array(scene.shape, np.int64), sides)
    for name, (kind, unit, meaning) in FIELDS.items():
        yield pixel(name, getattr(scene, name), kind, unit, meaning)
    for name, values in scene.geometry.items():
        yield pixel(GEOMETRY + name, values, "f4", "degree", name.replace("_", " "))


def about(path: str | Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Names of the bands in a file, in their order, and its global attributes.

    Raises
    ------
    Fault : the file is missing, damaged, or not a scene
    """
    file = io.read(path, {"band", "class_name"}.__contains__)
    if len(file.variables) < 2:
        raise Fault(f"{path}: not a scene: it has no band or no class_name")
    return tuple(map(str, file["band"])), file.attributes


def read(path: str | Path, band: str, geometry: bool = True) -> Scene:
    """One band of a file, which alone is read and checked.

    If the further fields of its pixels are not asked for, they are left out, and integers are as short as in the file.

    Raises
    ------
    Fault : the file is missing, damaged, not a scene, or has not this band
    """
    bands, _ = about(path)
    if band not in bands:
        raise Fault(f"{path}: has no band '{band}'; it has {', '.join(bands)}")
    stokes = io.read(path, (STOKES + band).__eq__).variables[STOKES + band]
    plane = stokes.dimensions[1].removeprefix(PIXEL)
    names = {f"{name}_{plane}" for name in (*FIELDS, "shape")}

    def of_plane(name: str) -> bool:
        return name in names or name == "class_name" or (geometry and name.startswith(GEOMETRY) and name.endswith(f"_{plane}"))

    file = io.read(path, of_plane)
    fields = {name: file[f"{name}_{plane}"] for name in FIELDS}
    rows, columns = map(int, file[f"shape_{plane}"])
    return Scene(
        band=band,
        stokes=stokes.values,
        class_names=tuple(map(str, file["class_name"])),
        plane=plane,
        shape=(rows, columns),
        geometry={
            n.removeprefix(GEOMETRY).removesuffix(f"_{plane}"): v.values
            for n, v in file.variables.items()
            if n.startswith(GEOMETRY) and v.dimensions == (PIXEL + plane,)
        },
        remark=str(stokes.attributes.get("comment", "")),
        **{n: v.astype(np.int64) if geometry and v.dtype.kind in "iu" else v for n, v in fields.items()},
    )


def pieces(path: str | Path, scene: Scene, size: int) -> Iterator[Scene]:
    """The pixels of a band that `read` has found in a file, in their order, so many at a time: its scene need not be kept.

    `scene` is that of `read`, or what is left of it: without pixels it tells the band all the same.
    """
    light, fields = STOKES + scene.band, {name: f"{name}_{scene.plane}" for name in FIELDS}
    for values in io.slices(path, (light, *fields.values()), size):
        found: dict[str, Any] = {name: values[n] for name, n in fields.items()}
        yield replace(scene, stokes=values[light], geometry={}, **found)
