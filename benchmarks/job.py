"""One job of the workflow in a process of its own, as a worker runs it: what it costs in processor time and memory.

    python -m benchmarks.job TASK SCENE REALISATIONS OUTPUT

prints JSON. It imports nothing but what the job itself needs. The largest memory is that of this process image, `VmHWM` of
proc(5): `ru_maxrss` would hold the memory of the process that started it.
"""

import json
import sys
import time
from pathlib import Path


def main(task: str, scene: str, realisations: str, output: str) -> None:
    """Compute and write the first realisations of a task."""
    from radsens import chunk
    from radsens.realise import Task

    made = chunk.write_chunk(Task.model_validate_json(task), scene, range(int(realisations)), Path(output))
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    outcome = made["outcome"]
    found = {"cpu_seconds": time.process_time(), "peak_mib": int(peak.split()[1]) / 1024, "good": int((outcome == 0).sum())}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
