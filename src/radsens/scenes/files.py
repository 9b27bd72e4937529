"""A scene as a file: reference Stokes vectors, geometry and addresses of each pixel."""

from pathlib import Path
from typing import Any

import numpy as np

from radsens import io
from radsens.schema import Fault, Scene

STOKES_AXIS = ("I", "Q", "U")
GEOMETRY = "geometry_"


def write(path: str | Path, scene: Scene, attributes: dict[str, Any]) -> None:
    """Write a scene with the given global attributes."""

    def pixel(values, unit, meaning):
        return io.Variable(("pixel",), values, {"units": unit, "long_name": meaning})

    variables = {
        "band": io.Variable(("band",), np.array(scene.bands, dtype=object), {"long_name": "spectral band"}),
        "stokes_component": io.Variable(
            ("stokes_component",), np.array(STOKES_AXIS, dtype=object), {"long_name": "Stokes component"}
        ),
        "stokes": io.Variable(
            ("band", "stokes_component", "pixel"),
            scene.stokes,
            {"units": "1", "long_name": "normalised radiance pi L / E0, Stokes vector in the focal-plane frame"},
        ),
        "x": pixel(scene.x, "1", "focal-plane coordinate along the columns, in focal lengths"),
        "y": pixel(scene.y, "1", "focal-plane coordinate along the rows, in focal lengths"),
        "theta": pixel(scene.theta, "radian", "field angle"),
        "detector": pixel(scene.detector, "1", "address of the detector element: row * columns + column"),
        "sample": pixel(scene.sample, "1", "address of the sample, one per view"),
        "scene_class": pixel(scene.scene_class, "1", "index of the scene class"),
        "class_name": io.Variable(("class",), np.array(scene.class_names, dtype=object), {"long_name": "scene class"}),
    }
    for name, values in scene.geometry.items():
        variables[GEOMETRY + name] = pixel(values, "degree", name.replace("_", " "))
    io.write(path, io.File(variables, {**attributes, "rows": scene.shape[0], "columns": scene.shape[1]}))


def read(path: str | Path) -> tuple[Scene, dict[str, Any]]:
    """Scene and global attributes of a file.

    Raises
    ------
    Fault : the file is missing, damaged, or not a scene
    """
    file = io.read(path)
    if missing := {"band", "stokes", "x", "y", "theta", "detector", "sample", "scene_class", "class_name"} - set(file.variables):
        raise Fault(f"{path}: not a scene: it has no {', '.join(sorted(missing))}")
    scene = Scene(
        bands=tuple(map(str, file["band"])),
        class_names=tuple(map(str, file["class_name"])),
        shape=(int(file.attributes["rows"]), int(file.attributes["columns"])),
        geometry={n.removeprefix(GEOMETRY): v.values for n, v in file.variables.items() if n.startswith(GEOMETRY)},
        **{n: file[n] for n in ("stokes", "x", "y", "theta", "detector", "sample", "scene_class")},
    )
    return scene, file.attributes
