#!/usr/bin/env python3
"""qsub, qstat and qdel as PBS answers them, by the name under which this is called: a replay of the interface, no scheduler.

A job really runs, in the background, in $HOME and with a bare environment, as under PBS. What qstat and qdel say
is written after notes of a trial with OpenPBS 23.06, job history on, not captured from it; `forgetful` in the
folder $PBS_REPLAYED turns the history off, `away` makes the server unreachable.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["PBS_REPLAYED"])
SERVER = {"timestamp": 1763724000, "pbs_version": "23.06.06", "pbs_server": "pbs"}


def qsub(options):
    number = 100 + len(list(FOLDER.glob("*.called")))
    job, home = f"{number}.pbs", FOLDER / "home"
    home.mkdir(exist_ok=True)
    (FOLDER / f"{job}.called").write_text(json.dumps(options), encoding="utf-8")
    script, log = FOLDER / f"{job}.sh", Path(options[options.index("-o") + 1])
    script.write_text(sys.stdin.read(), encoding="utf-8")
    run = f'echo $$ > "{FOLDER}/{job}.pid"; sh "{script}"; echo $? > "{FOLDER}/{job}.code"'
    bare = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PBS_JOBID": job, "TMPDIR": str(home)}
    with log.open("w") as out:
        subprocess.Popen(
            ["sh", "-c", run], cwd=home, env=bare, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    print(job)


def qstat(options):
    job = options[-1]
    with (FOLDER / "asked").open("a", encoding="utf-8") as asked:
        asked.write(f"{job}\n")
    code, called = FOLDER / f"{job}.code", FOLDER / f"{job}.called"
    if not called.exists():
        print(f"qstat: Unknown Job Id {job}", file=sys.stderr)
        sys.exit(153)
    ended = code.exists()
    if ended and (FOLDER / "forgetful").exists():
        print(json.dumps(SERVER))
        return
    told = {"job_state": "F", "Exit_status": int(code.read_text(encoding="utf-8"))} if ended else {"job_state": "R"}
    print(json.dumps({**SERVER, "Jobs": {job: {"Job_Name": "realise", **told}}}, indent=4))


def qdel(jobs):
    for job in jobs:
        pid = FOLDER / f"{job}.pid"
        for _ in range(50):  # a job that is just starting
            if pid.exists():
                break
            time.sleep(0.1)
        os.killpg(int(pid.read_text(encoding="utf-8")), signal.SIGTERM)
        (FOLDER / f"{job}.code").write_text("271", encoding="utf-8")


if (FOLDER / "away").exists():
    sys.exit("Connection refused\nqstat: cannot connect to server pbs (errno=111)")
{"qsub": qsub, "qstat": qstat, "qdel": qdel}[Path(sys.argv[0]).name](sys.argv[1:])
