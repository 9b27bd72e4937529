"""Several scenes in one campaign, one after another.

A detector element is the same in all of them, as is its error of equalisation; each sample has its own noise.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from radsens.instrument import Polarimeter
from radsens.scenes import single
from radsens.scenes.single import SingleSpec
from radsens.schema import Fault, Frozen, Scene
from radsens.transfer.tables import Request


class Collection(Frozen):
    """Scenes that are analysed together; their classes tell them apart."""

    kind: Literal["collection"] = Field(description="several scenes, one after another")
    scenes: tuple[SingleSpec, ...] = Field(min_length=1, max_length=50, description="the scenes")


def requests(spec: Collection, instrument: Polarimeter, bands: Sequence[str]) -> list[Request]:
    """Tables that the scenes need."""
    return [request for one in spec.scenes for request in single.requests(one, instrument, bands)]


def render(spec: Collection, instrument: Polarimeter, bands: Sequence[str]) -> Iterator[Scene]:
    """The scenes of each band joined."""
    for parts in zip(*(single.render(one, instrument, bands) for one in spec.scenes), strict=True):
        yield joined(parts)


def joined(parts: Sequence[Scene]) -> Scene:
    """Scenes of one band, one after another: pixels are appended, views and samples counted on, classes of one name are one.

    Geometry that not all scenes have is left out.
    """
    names = tuple(dict.fromkeys(name for part in parts for name in part.class_names))
    samples, views = (np.cumsum([0, *(int(getattr(part, axis).max()) + 1 for part in parts)]) for axis in ("sample", "view"))
    if samples[-1] > 2**32:
        raise Fault(f"scene.scenes: {samples[-1]} addresses of samples, at most 2^32 are possible; give fewer scenes or views")
    known = set.intersection(*(set(part.geometry) for part in parts))
    geometry = {n: np.concatenate([p.geometry[n] for p in parts]) for n in parts[0].geometry if n in known}
    classes = [np.array([names.index(n) for n in part.class_names])[part.scene_class] for part in parts]
    return Scene(
        band=parts[0].band,
        stokes=np.concatenate([part.stokes for part in parts], axis=1),
        x=np.concatenate([part.x for part in parts]),
        y=np.concatenate([part.y for part in parts]),
        theta=np.concatenate([part.theta for part in parts]),
        detector=np.concatenate([part.detector for part in parts]),
        sample=np.concatenate([part.sample + first for part, first in zip(parts, samples, strict=False)]),
        view=np.concatenate([part.view + first for part, first in zip(parts, views, strict=False)]),
        scene_class=np.concatenate(classes),
        class_names=names,
        plane=parts[0].plane,
        shape=parts[0].shape,
        geometry=geometry,
        remark="; ".join(dict.fromkeys(part.remark for part in parts if part.remark)),
    )
