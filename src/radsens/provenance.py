"""What a result depends on: the key of a file, and where a file comes from."""

import ast
import json
import platform
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import radsens
from radsens.instrument import Polarimeter
from radsens.kernel import PACKAGE, digest
from radsens.realise import Task
from radsens.scenes import SCENES, content

LAYOUT = PACKAGE / "chunk.py"  # what is laid into a file, and how: it stands above this module, so that no closure holds it
REGISTRY = PACKAGE / "sources" / "__init__.py"  # a list of the sources: those that act are followed by their own names


def _file(module: str) -> Path | None:
    """File of a module of the package."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements in a node, at any depth: an import is one, and to look at the expressions too takes longer than to parse."""
    for block in ("body", "orelse", "handlers", "finalbody", "cases"):
        within = getattr(node, block, None)
        for statement in within if isinstance(within, list) else ():
            yield statement
            yield from _statements(statement)


@cache
def _imports(path: Path) -> frozenset[Path]:
    """Files of the package that a file names in its import statements."""
    found: set[Path] = set()
    for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {file for name in names if name.startswith("radsens.") and (file := _file(name))}
    return frozenset(found - {REGISTRY})


def closure(*modules: str) -> set[Path]:
    """Files of the package that the given modules reach by import statements, themselves included."""
    found: set[Path] = set()
    todo = {path for m in modules if (path := _file(m))}
    while todo:
        path = todo.pop()
        found.add(path)
        todo |= _imports(path) - found
    return found


def key(**parts: Any) -> str:
    """12 hexadecimal digits of everything given."""
    return sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:12]


def numbers(instrument: Polarimeter, bands: tuple[str, ...]) -> dict[str, Any]:
    """The numbers of an instrument that bear on the given bands; their sources do not change a result."""
    values = instrument.model_dump(mode="json", exclude={"origins", "title", "bands", "detectors"})
    detectors = {d.name: d.model_dump(mode="json") for d in map(instrument.detector, bands)}
    return {**values, "detectors": detectors, "bands": [instrument.band(b).model_dump(mode="json") for b in bands]}


def scene_key(spec: dict[str, Any], strata: dict[str, Any], instrument: Polarimeter, bands: tuple[str, ...]) -> str:
    """Key of a scene file: its settings and product, the instrument, and the code that renders and partitions it."""
    code = digest({LAYOUT, *closure("radsens.scenes.files", SCENES[spec["kind"]].__name__, "radsens.gaps.strata")})
    return key(scene=content(spec), strata=strata, instrument=numbers(instrument, bands), code=code)


def task_key(task: Task, scene: str, instrument: Polarimeter, bands: tuple[str, ...]) -> str:
    """Key of a chunk: the task, the scene's key, the instrument, and the code of the equation, of its check by the Gram tier
    and of the sources that act."""
    code = digest({LAYOUT, *closure("radsens.expectation", *(f"radsens.sources.{name}" for name in task.sources))})
    return key(task=task.model_dump(mode="json"), scene=scene, instrument=numbers(instrument, bands), code=code)


def attributes(**more: Any) -> dict[str, Any]:
    """Global attributes that say where a file comes from."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {
        "title": "Radiometric sensitivity to calibration errors",
        "source": f"radsens {radsens.__version__}",
        "history": f"{now} {command}",
        "date_created": now,
        "host": platform.node(),
        "python_version": platform.python_version(),
        **{f"{name}_version": version(name) for name in ("numpy", "numba", "netCDF4")},
        **more,
    }
