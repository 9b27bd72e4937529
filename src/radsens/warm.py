"""Compiled code before it is needed: one job compiles for all others, which find it in the cache.

Every path of a kernel is chosen by switches when it runs, so that a task with all sources, over a band with polarisers and
one without, compiles all that the campaign calls. It is computed for good, on a scene of a few pixels.
"""

from collections.abc import Iterator
from pathlib import Path

from radsens import instrument as instruments
from radsens.chunk import active_of
from radsens.gaps.strata import Strata, partition
from radsens.gram import predicted
from radsens.instrument import Polarimeter
from radsens.kernel import compiler
from radsens.realise import Task, acting, staged, worker
from radsens.scenes import render
from radsens.scenes.uniform import Uniform
from radsens.schema import Fault
from radsens.target import target

SCENE = Uniform(kind="uniform", i=0.1, dolp=0.1, aolp=0, pixels=64)  # any that an instrument can see: no number of it is kept


def kinds(instrument: Polarimeter) -> Iterator[str]:
    """The first band with polarisers and the first without, as far as the instrument has them."""
    for polarised in (True, False):
        yield from [name for name in instrument.band_names if instrument.band(name).polarised is polarised][:1]


def warm(task: Task) -> str:
    """Compile all that jobs of such tasks call, as far as it is not in the cache; one sentence that says where and for what."""
    instrument, active = instruments.load(task.instrument), active_of(task)
    for scene in render(SCENE, instrument, tuple(kinds(instrument))):
        here = acting(active, instrument, scene.band)
        stage = staged(task, instrument, scene, partition(Strata(), scene), here, range(1))
        worker(stage)[0](0, 1)
        predicted(stage)
    return f"kernels compiled in {task.precision} for the target {target()}: {compiler().config.CACHE_DIR}"


def mark(path: Path, said: str) -> None:
    """Write what was said to a file, whose folder is made if it is missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{said}\n", encoding="utf-8")
    except OSError as error:
        raise Fault(f"{path}: cannot be written ({error.strerror})") from error
