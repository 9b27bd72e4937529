#!/usr/bin/env python3
"""Delete jobs of PBS. Snakemake waits two seconds, a busy server takes longer: qdel goes on in a session of its own."""

import subprocess
import sys

try:
    qdel = subprocess.Popen(["qdel", *sys.argv[1:]], start_new_session=True)
    qdel.wait(timeout=1.5)
except subprocess.TimeoutExpired:
    print(f"qdel is still deleting {len(sys.argv) - 1} jobs; look with qstat whether they are gone", file=sys.stderr)
except OSError as error:
    sys.exit(f"qdel cannot be run: {error}; delete by hand: {' '.join(sys.argv[1:])}")
