"""Times that a busy machine hardly changes: processor time, the least of many, all jobs taken in turn in one process."""

import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np


def in_turn(jobs: list[Callable]) -> Callable:
    """A job that does the next of some jobs at each call."""
    endless = cycle(jobs)
    return lambda: next(endless)()


def processor_time(job: Callable) -> float:
    """Processor time of one call, all threads of the process, system time included [s]."""
    start = time.process_time()
    job()
    return time.process_time() - start


def least(jobs: dict[Any, tuple[Callable, float]], seconds: float, rounds: int = 3) -> dict[Any, float]:
    """Least processor time of each job [ns per unit of its work].

    All jobs are taken in turn, at least `rounds` times and until the time [s] is over, so that what slows the machine down
    for a while slows all of them down.
    """
    best = dict.fromkeys(jobs, np.inf)
    end, done = time.perf_counter() + seconds, 0
    while done < rounds or time.perf_counter() < end:
        for name, (job, work) in jobs.items():
            best[name] = min(best[name], processor_time(job) / work * 1e9)
        done += 1
    return best
