"""Why a job failed, in words, from its marker and from what the scheduler tells."""

import re
import signal
from typing import Any

from .tasks import PRELUDE_FAILED, Ending

UNITS = {"": 1, "k": 1e3, "K": 2**10, "m": 1e6, "M": 2**20, "g": 1e9, "G": 2**30}


def signal_name(number: int) -> str:
    """Name of a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def of_marker(ending: Ending) -> str:
    """Why the job script ended with another code than 0."""
    where = f" on {ending.host}" if ending.host else ""
    if ending.code == PRELUDE_FAILED:
        return f"the prelude of the profile failed{where}"
    if ending.code > 128:
        return f"killed by {signal_name(ending.code - 128)}{where}"
    return f"exit status {ending.code}{where}"


def number(told: Any) -> float:
    """A figure of the scheduler, 0 where it is none that we can read."""
    try:
        return float(told)
    except (TypeError, ValueError):
        return 0.0


def of_end(end: dict[str, Any], native: str, begun: bool) -> str:
    """Why a job ended without a marker, from what `wait` told, and whether it had begun."""
    usage = {k: number(v) for k, v in end["usage"].items()}
    seconds, limit = usage.get("ru_wallclock", 0.0), wall_limit(native)
    if limit and seconds >= limit:
        return f"killed at its wall time of {limit} s, without an exit marker"
    memory, most = usage.get("maxvmem", 0.0), memory_limit(native)
    if most and memory >= most:
        return f"killed at its memory of {most / 2**20:.0f} MiB, without an exit marker"
    if end["signal"]:
        return f"killed by {end['signal']} after {seconds:.0f} s, without an exit marker"
    if end["aborted"]:
        return f"deleted while it {'ran' if begun else 'waited'}"
    return f"ended with exit status {end['status']} but left no exit marker: is its folder shared with the nodes?"


def of_gone(begun: bool) -> str:
    """Why a job is over of which the scheduler tells nothing."""
    how = f"deleted while it {'ran' if begun else 'waited'}, or its node was lost"
    return f"the scheduler holds it no longer, and it left no exit marker: {how}"


def wall_limit(native: str) -> int | None:
    """Wall time that a native specification asks for [s]."""
    if found := re.search(r"h_rt=(\d+)", native):
        return int(found[1])
    if found := re.search(r"--time=(\d+):(\d\d)(?!:)", native):
        return (int(found[1]) * 60 + int(found[2])) * 60
    found = re.search(r"walltime=(\d+):(\d\d):(\d\d)", native)
    return int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3]) if found else None


def memory_limit(native: str) -> float | None:
    """Memory at which Grid Engine kills the job of a native specification: that of a slot, times the slots [byte]."""
    found = re.search(r"(?<![-\w])\w*(?:vmem|mem\w*)=(\d+)([kKmMgG]?)\b", native)
    slots = re.search(r"-pe \S+ (\d+)", native)
    return int(found[1]) * UNITS[found[2]] * (int(slots[1]) if slots else 1) if found else None
