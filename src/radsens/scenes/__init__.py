"""Reference scenes: one module per kind (see `single`), all behind `render`."""

from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import file_digest
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from radsens.instrument import Polarimeter
from radsens.scenes import collection, single
from radsens.scenes.collection import Collection
from radsens.scenes.single import Single
from radsens.schema import Fault, Scene
from radsens.transfer.tables import tables

SCENES: dict[str, ModuleType] = {**single.SCENES, "collection": collection}

SceneSpec = Annotated[Single | Collection, Field(discriminator="kind")]

ROUNDING = 1e-12
"""Room for the rounding of Q and U when DoLP = 1 [1]."""

BLOCK = 1 << 18
"""Pixels that are looked at together, since there may be many [1]."""

MOST_SAMPLES = 1 << 32
"""Addresses that the random fields have for the samples of a band [1]."""


def render(spec: Single | Collection, instrument: Polarimeter, bands: Sequence[str], processes: int = 1) -> Iterator[Scene]:
    """Scenes described by `spec` as the `bands` of `instrument` see them, in this order, each made when it is asked for.

    The tables of radiative transfer that they need and that are not kept yet are made before, in `processes` processes.

    Raises
    ------
    Fault : a band that the instrument lacks or that comes twice; when it is asked for, a scene with I ≤ 0 or DoLP > 1 somewhere
    """
    if not bands or len(set(bands)) < len(bands):
        raise Fault(f"bands: name at least one band, each once; {instrument.name} has {', '.join(instrument.band_names)}")
    for name in bands:
        instrument.band(name)
    kind = SCENES[spec.kind]
    if hasattr(kind, "requests"):
        tables(kind.requests(spec, instrument, bands), processes)
    return map(_physical, kind.render(spec, instrument, tuple(bands)))


def _impossible(stokes: np.ndarray) -> tuple[int, int]:
    """How many of some Stokes vectors (3, pixel) have not I > 0, and how many not DoLP ≤ 1."""
    i, q, u = stokes
    polarised = q * q + u * u <= i * i * (1 + ROUNDING)
    return int((~((i > 0) & np.isfinite(i))).sum()), int((~polarised).sum())


def _physical(scene: Scene) -> Scene:
    """The scene, which is refused unless an instrument can see it."""
    dark, over = np.sum([_impossible(scene.stokes[:, a : a + BLOCK]) for a in range(0, scene.theta.size, BLOCK)], axis=0)
    for count, what in (dark, "I ≤ 0"), (over, "DoLP > 1"):
        if count:
            raise Fault(
                f"scene: {what} or not a number in {count} pixels of band {scene.band}; every pixel needs I > 0 and DoLP ≤ 1"
            )
    if scene.sample.max(initial=0) >= MOST_SAMPLES:
        raise Fault(f"scene: its views have {scene.sample.max() + 1} samples in band {scene.band}, at most 2^32 are addressed")
    return scene


def content(spec: dict[str, Any]) -> dict[str, Any]:
    """Settings of a scene as its key holds them: the digests of products in the place of their paths.

    Raises
    ------
    Fault : the product cannot be read
    """
    if "scenes" in spec:
        return {**spec, "scenes": [content(one) for one in spec["scenes"]]}
    if "path" not in spec:
        return spec
    path = Path(spec["path"])
    try:
        about = path.stat()
        return {**spec, "path": _sha256(path, about.st_size, about.st_mtime_ns)}
    except OSError as error:
        raise Fault(f"scene.path: {path} cannot be read ({error.strerror}); give the path of a product, a file") from error


@cache
def _sha256(path: Path, size: int, changed: int) -> str:
    """Digest of a file of this size and time of change [ns], taken once in a process: products have gigabytes."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
