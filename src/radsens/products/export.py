"""A level-1 product with the calibration error of one realisation, so that an existing level-2 chain can be run on it.

The product is copied, and of the copy only I, Q and U of the campaign's bands are replaced, at the samples that the scene took:

    X' = X + to_product(I ΔX/I)

with the gaps in float64 and X as the product has it, so that a gap of zero gives back the same counts. Counts are rounded once,
by the packing of the product: a gap below half its step is lost in the file, and with --float32 it is kept.
"""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from radsens import chunk, provenance
from radsens.products.images import bands_of, realised
from radsens.products.rewriting import FORMATS, add, sign
from radsens.scenes import SCENES, render
from radsens.scenes.hdf5_product import Place, opened
from radsens.schema import Fault, Scene


@dataclass(frozen=True)
class Exported:
    """What was written: values of the bands, and how many of them did not fit the packing and were cut."""

    path: Path
    values: int
    cut: int

    @property
    def lines(self) -> Iterator[str]:
        """For the user."""
        yield str(self.path)
        if self.cut:
            yield (
                f"note: {self.cut} of {self.values} values do not fit the packing of the product and were cut to its limits; "
                "--float32 keeps them"
            )


def export(campaign: Any, source: str, realisation: int, output: Path, float32: bool = False) -> Exported:
    """Write the product of a campaign's scene with the error of one realisation, whole or not at all.

    Parameters
    ----------
    campaign : radsens.campaign.Campaign
    source : error source, combination, or the control
    realisation : number of the realisation, one of the campaign's
    output : file to write
    float32 : whether I, Q and U of the bands are written as 32-bit reals, without packing

    Raises
    ------
    Fault : a scene that is no product, an unknown source or realisation, one that failed, an output that cannot be written
    """
    spec, task, output = campaign.config.scene, campaign.task(source), Path(output)
    if spec.kind not in FORMATS:
        raise Fault(f"scene.kind: {spec.kind} is no product, so that there is nothing to export; {' and '.join(FORMATS)} are")
    if realisation >= (count := campaign.realisations(source)):
        raise Fault(f"realisation: must be below {count}, as many as {source} has in the campaign, got {realisation}")
    if output.exists() and Path(spec.path).exists() and output.samefile(spec.path):
        raise Fault(f"--output: {output} is the product itself, which stays as it is; give another name")
    active = chunk.active_of(task)
    bands = bands_of(campaign, source, active)
    values = cut = 0
    with opened(Path(spec.path), SCENES[spec.kind].LAYOUT):
        pass  # a product that is no file, or damaged, is no fault of the output
    with copied(Path(spec.path), output) as part:
        with FORMATS[spec.kind].opened(part) as file:
            sign(file, _history(campaign, source, realisation), _provenance(campaign, source, realisation, float32))
        scenes = render(spec, campaign.instrument, campaign.config.bands)
        for scene in (s for s in scenes if s.band in bands):
            gap = realised(campaign, task, scene, active, realisation)[2]
            replaced = replace(campaign, part, scene, gap[:3], float32)
            values, cut = values + replaced[0], cut + replaced[1]
        if cut == values:
            raise Fault(f"{output}: none of the {values} values fits the packing of the product; use --float32")
    return Exported(output, values, cut)


def replace(campaign: Any, part: Path, scene: Scene, gap: np.ndarray, float32: bool) -> tuple[int, int]:
    """Add the gaps ΔX/I (component, pixel) of one band to a copy of the product.

    Returns
    -------
    Values that were replaced, and those of them that did not fit
    """
    spec = campaign.config.scene
    module = SCENES[spec.kind]
    names = module.stored(scene.band, campaign.instrument.band(scene.band).polarised)
    delta = np.zeros((3, scene.theta.size))
    delta[: len(names)] = scene.stokes[0] * gap[: len(names)]
    delta = module.to_product(spec, delta, scene)
    places: list[Place] = module.places(spec, scene)
    if float32:
        FORMATS[spec.kind].unpack(part, sorted({p.group + n for p in places for n in names}))
    cut = 0
    with FORMATS[spec.kind].opened(part) as file:
        for place in places:
            for name, change in zip(names, delta, strict=False):
                cut += add(file, place.group + name, place, change[place.samples])
    return len(names) * scene.theta.size, cut


@contextmanager
def copied(product: Path, output: Path) -> Iterator[Path]:
    """A copy of a product under another name, which gets its own when all went well and disappears when not."""
    part = output.with_name(f".{output.name}.{platform.node()}-{os.getpid()}.part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(product, part)
        yield part
        os.replace(part, output)
    except (OSError, RuntimeError) as error:
        words = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise Fault(f"{output}: cannot be written ({words}); nothing was kept; look at the space and the rights there") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _history(campaign: Any, source: str, realisation: int) -> str:
    what = f"calibration error of {source}, realisation {realisation}, campaign {campaign.config.campaign} ({campaign.id})"
    return f"{provenance.attributes()['history']}: {what}"


def _provenance(campaign: Any, source: str, realisation: int, float32: bool) -> dict[str, Any]:
    about = {
        "campaign": campaign.config.campaign,
        "campaign_id": campaign.id,
        "instrument": campaign.instrument.name,
        "bands": " ".join(campaign.config.bands),
        "error_source": source,
        "realisation": realisation,
        "key": campaign.keys[source],
        "scene_key": campaign.scene_key,
        "task": campaign.task_json(source),
        "unpacked": int(float32),
    }
    return {name: value for name, value in provenance.attributes(**about).items() if name != "history"}
