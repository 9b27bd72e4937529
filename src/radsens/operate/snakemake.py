"""The command of Snakemake: written out so that it can be pasted in a shell, then run in the foreground."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from radsens.schema import Fault

PROFILES = Path("profiles")


def profile_folder(name: str) -> Path:
    """Folder of a profile, given by its name under profiles/ or by its path."""
    for folder in (PROFILES / name, Path(name)):
        if folder.is_dir() and any(folder.glob("config*.yaml")):
            return folder
    known = sorted(p.parent.name for p in PROFILES.glob("*/config*.yaml"))
    here = f"those in {PROFILES}/ are {', '.join(known)}" if known else f"there is no {PROFILES}/ in {Path.cwd()}"
    raise Fault(f"--profile: {name!r} is neither a profile nor a folder with a config.yaml; {here}")


def command(config: Path, profile: Path, targets: Sequence[str] = (), extra: Sequence[str] = ()) -> list[str]:
    """The command line. Targets and arguments of the user come first: options that take a list would swallow them."""
    if not Path("Snakefile").is_file():
        raise Fault(f"{Path.cwd()}: there is no Snakefile here; go to the checkout of radsens, where the campaigns are run")
    return ["snakemake", *targets, *extra, "--profile", str(profile), "--configfile", str(config)]


def environment() -> dict[str, str]:
    """Environment in which the `snakemake` and the `radsens` of this very installation come first."""
    own = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([own, os.environ.get("PATH", os.defpath)])}


def foreground(words: Sequence[str], started: Callable[[int], None] = lambda pid: None) -> int:
    """Print a command, run it and wait for it; its exit code, as a shell gives it.

    Ctrl-C reaches it from the terminal, since it is of the same process group: here it is only waited for. SIGTERM, which
    reaches this process alone, is passed on.
    """
    if shutil.which(words[0], path=environment()["PATH"]) is None:
        raise Fault(f"{words[0]}: there is no such command on the PATH; install radsens with what it needs (make test does)")
    print(shlex.join(words), flush=True)
    running: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _: Any) -> None:
        for child in running:
            child.send_signal(number)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
    }
    try:
        running.append(subprocess.Popen(words, env=environment()))
        started(running[0].pid)
        code = running[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
