"""One job of the workflow in a process of its own, as a worker runs it: what it costs in processor time and memory.

    python -m benchmarks.job TASK SCENE REALISATIONS OUTPUT

prints JSON. It imports nothing but what the job itself needs. The largest memory is that of this process image, `VmHWM` of
proc(5): `ru_maxrss` would hold the memory of the process that started it. What the interpreter and the libraries take of it is
`VmRSS` before the first pixel is read, numba being ready; most of that are pages which all jobs of a node share.
"""

import json
import sys
import time
from pathlib import Path


def main(task: str, scene: str, realisations: str, output: str) -> None:
    """Compute and write the first realisations of a task."""
    from radsens import chunk, kernel
    from radsens.realise import Task

    kernel.lean_compiler()
    libraries = memory("VmRSS")
    made = chunk.write_chunk(Task.model_validate_json(task), scene, range(int(realisations)), Path(output))
    found = {"cpu_seconds": time.process_time(), "peak_mib": memory("VmHWM"), "libraries_mib": libraries}
    print(json.dumps({**found, "good": int((made["outcome"] == 0).sum())}))


def memory(what: str) -> float:
    """A memory of this process [MiB], by its name in proc(5)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
