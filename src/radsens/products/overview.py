"""What a campaign is, before it is run; and what an instrument is made of."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from radsens import chunk, realise, scenes, tiles
from radsens import instrument as instruments_module
from radsens.config import CONTROL
from radsens.gaps.strata import Strata, dolp, partition, refuse_empty
from radsens.models import polarimeter
from radsens.models.irm import IRM
from radsens.products.grid import console, grid
from radsens.schema import Fault, Scene

MOST_LOST = 0.01  # of the draws: beyond, the sample that is left is no longer the one that was asked for
SAMPLE = 10_000  # draws from which the lost share is told


def overview(campaign: Any) -> None:
    """Print what a campaign is.

    Raises
    ------
    Fault : an empty stratum, or amplitudes that would lose more than 1 % of the draws
    """
    config = campaign.config
    seen = _scene(config.strata, scenes.render(config.scene, campaign.instrument, config.bands))
    lost = {name: lost_share(campaign, name) for name in campaign.names}
    out = console()
    out.print(f"[bold]campaign {config.campaign}[/] ({campaign.id}): {campaign.instrument.title}")
    pixels = " and ".join(f"{n} pixels" + (f" on {plane}" if len(seen.sizes) > 1 else "") for plane, n in seen.sizes.items())
    out.print(f"{pixels}, error in the {config.error_in}, {config.precision}, {config.sampling} draws, seed {config.seed}\n")
    for remark in seen.remarks:
        out.print(f"[bold]note:[/] {remark}\n")
    out.print(
        grid(
            "scene",
            ("band", "I min", "I median", "I max", "DoLP min", "DoLP median", "DoLP max", "no AoLP"),
            seen.light,
        )
    )
    out.print(grid("\npixels per stratum", ("stratum", *config.bands), ([name, *n] for name, n in seen.strata.items())))
    rows = [
        [n, _count(campaign, n), len(campaign.chunks(n)), f"{lost[n]:.2%}", ", ".join(campaign.members(n))]
        for n in campaign.names
    ]
    out.print(grid("\njobs", ("source", "realisations", "jobs", "expected failed", "drawn"), rows))
    jobs = sum(len(campaign.chunks(n)) for n in campaign.names)
    decisions = f"{len(campaign.staged)} decisions that may add realise jobs, " if campaign.staged else ""
    out.print(
        f"\n{jobs} realise jobs, {decisions}{len(campaign.names)} gather jobs, 1 scene, 1 table; results in {campaign.root}/"
    )
    for line in campaign.averaging(min(seen.elements.values())):
        out.print(f"[bold]note:[/] {line}")
    for name in campaign.config.amplitudes:
        if changes_nothing(campaign, name):
            out.print(
                f"[bold]note:[/] {name} changes nothing on this instrument with these amplitudes: its rows will be rounding"
            )
    campaign.refuse_unwritable()
    if config.stop_at and (missing := [name for name in config.stop_at.strata if name not in seen.strata]):
        raise Fault(f"stop_at.strata: there is no stratum {missing[0]!r}; the scene has {', '.join(seen.strata)}")
    if worst := [n for n, share in lost.items() if share > MOST_LOST]:
        raise Fault(
            f"sources.{worst[0]}: {lost[worst[0]]:.1%} of the draws would fail as unphysical or singular, "
            f"at most {MOST_LOST:.0%} may; give a smaller amplitude"
        )


def _count(campaign: Any, name: str) -> str:
    """Realisations of a name; where they are not decided yet, of its first stage and at most."""
    count, most = campaign.realisations(name), campaign.most(name)
    return str(count) if count == most else f"{count} to {most}"


class Seen(NamedTuple):
    """What a scene is: pixels and elements of each detector, remarks (each once), rows of the light and of the strata."""

    sizes: dict[str, int]
    elements: dict[str, int]
    remarks: dict[str, None]
    light: list[list[Any]]
    strata: dict[str, list[int]]


def _scene(settings: Strata, found: Iterable[Scene]) -> Seen:
    """What a scene is. One band is held at a time."""
    seen = Seen({}, {}, {}, [], {})
    for scene in refuse_empty(settings, found):
        part, shares = partition(settings, scene), (0, 0.5, 1)
        i, p = np.quantile(scene.stokes[0], shares).tolist(), np.quantile(dolp(scene.stokes), shares).tolist()
        if scene.plane not in seen.sizes:
            seen.sizes[scene.plane], seen.elements[scene.plane] = scene.theta.size, np.unique(scene.detector).size
        if scene.remark:
            seen.remarks[scene.remark] = None
        seen.light.append([scene.band, *i, *p, f"{1 - part.aolp.mean():.1%}"])
        for name, n in zip(part.names, tiles.count(part).n_strata[0, :-1].astype(int).tolist(), strict=True):
            seen.strata.setdefault(name, []).append(n)
    return seen


def models(campaign: Any, name: str, band: str) -> tuple[IRM, IRM, int]:
    """Actual and believed model of a sample of the draws of a name in one band, and the size of the sample."""
    task, span = campaign.task(name), range(min(campaign.realisations(name), SAMPLE))
    here = realise.acting(chunk.active_of(task), campaign.instrument, band)
    return *realise.models(task, campaign.instrument, band, here, span), len(span)


def lost_share(campaign: Any, name: str) -> float:
    """Share of the draws of a name that would fail before a pixel is computed, in its worst band [1]."""
    sampled = [polarimeter.parameters(*models(campaign, name, band)) for band in campaign.config.bands]
    return max(float((outcome > 0).mean()) for _, outcome in sampled)


def changes_nothing(campaign: Any, name: str) -> bool:
    """Whether the draws of a name leave the model as it is without them, in every band: no error to analyse."""
    for band in campaign.config.bands:
        drawn, reference = models(campaign, name, band), models(campaign, CONTROL, band)
        same = np.array_equal(polarimeter.switches(*drawn[:2]), polarimeter.switches(*reference[:2]))
        if not same or (polarimeter.parameters(*drawn)[0] != polarimeter.parameters(*reference)[0]).any():
            return False
    return True


def instruments_table(name: str | None) -> None:
    """Print the instruments, or the numbers of one with their sources."""
    out = console()
    if name is None:
        rows = []
        for each in instruments_module.names():
            one = instruments_module.load(each)
            bands = ", ".join(b.name + ("*" if b.polarised else "") for b in one.bands)
            rows.append([each, one.model, one.title, bands])
        out.print(grid("instruments (* polarised)", ("name", "model", "title", "bands"), rows, left=4))
        return
    one = instruments_module.load(name)
    rows = [[o.knob, str(o.value), o.status, o.source] for o in one.origins]
    out.print(grid(one.title, ("number", "value", "status", "source"), rows, left=4))
