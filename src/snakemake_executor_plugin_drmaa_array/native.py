"""Resources of a job in the words of each scheduler: the DRMAA native specification."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Demand:
    """What a job asks of the scheduler.

    memory [MB], runtime [min], threads; queue (partition) and account (project); words handed over as they are
    """

    threads: int = 1
    memory: int | None = None
    runtime: int | None = None
    queue: str | None = None
    account: str | None = None
    extra: str | None = None


@dataclass(frozen=True)
class Site:
    """What differs between two cells of one scheduler.

    environment : Grid Engine parallel environment for more than one thread
    memory : Grid Engine resource that takes the memory, per slot
    node : what PBS adds to select, such as `:os=rh7`
    """

    environment: str = "smp"
    memory: str = "h_vmem"
    node: str = ""


def demand(resources: Mapping[str, Any], threads: int, queue: str | None, account: str | None, extra: str | None) -> Demand:
    """What a job asks: its own resources mem_mb, runtime, queue, account, or the settings of the profile."""
    memory, runtime = resources.get("mem_mb"), resources.get("runtime")
    own = resources.get("drmaa_extra")
    return Demand(
        threads=threads,
        memory=int(memory) if memory else None,
        runtime=int(runtime) if runtime else None,
        queue=resources.get("queue", queue) or None,
        account=resources.get("account", account) or None,
        extra=" ".join(str(words) for words in (extra, own) if words) or None,
    )


def grid_engine(d: Demand, site: Site) -> list[str]:
    """`h_rt` takes seconds (5:00 is refused); memory is per slot; `-r n`: a lost job is never restarted behind our back."""
    words = []
    if d.runtime:
        words += ["-l", f"h_rt={d.runtime * 60}"]
    if d.memory:
        words += ["-l", f"{site.memory}={max(1, -(-d.memory // d.threads))}M"]
    if d.threads > 1:
        words += ["-pe", site.environment, str(d.threads)]
    if d.queue:
        words += ["-q", d.queue]
    if d.account:
        words += ["-P", d.account]
    return [*words, "-r", "n"]


def slurm(d: Demand, site: Site) -> list[str]:
    """slurm-drmaa reads `--time` as H:MM, so that a bare 5 is refused."""
    words = ["--ntasks=1", f"--cpus-per-task={d.threads}", "--no-requeue"]
    if d.runtime:
        words.append(f"--time={d.runtime // 60}:{d.runtime % 60:02d}")
    if d.memory:
        words.append(f"--mem={d.memory}")
    if d.queue:
        words.append(f"--partition={d.queue}")
    if d.account:
        words.append(f"--account={d.account}")
    return words


def pbs(d: Demand, site: Site) -> list[str]:
    """One chunk of one node; a wall time as HH:MM:SS."""
    memory = f":mem={d.memory}mb" if d.memory else ""
    words = ["-l", f"select=1:ncpus={d.threads}{memory}{site.node}"]
    if d.runtime:
        words += ["-l", f"walltime={d.runtime // 60:02d}:{d.runtime % 60:02d}:00"]
    if d.queue:
        words += ["-q", d.queue]
    if d.account:
        words += ["-A", d.account]
    return [*words, "-r", "n"]


SYSTEMS: dict[str, Callable[[Demand, Site], list[str]]] = {"ge": grid_engine, "slurm": slurm, "pbs": pbs}


def system_of(said: str) -> str:
    """Scheduler family from what the library says of itself; one that is not known is spoken to as Grid Engine is."""
    said = said.lower()
    if "slurm" in said:
        return "slurm"
    return "pbs" if "pbs" in said or "torque" in said else "ge"


def specification(system: str, d: Demand, site: Site) -> str:
    """The native specification of a job."""
    return " ".join([*SYSTEMS[system](d, site), *([d.extra] if d.extra else [])])
