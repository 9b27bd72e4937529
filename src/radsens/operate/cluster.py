"""Before a campaign goes to a cluster: is the profile complete, and does one trivial job come back through it?"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import radsens
from radsens import config
from radsens.campaign import refuse_unset
from radsens.operate import snakemake
from radsens.schema import Fault

EXECUTOR, PREFIX = "drmaa-array", "drmaa-array-"
PATIENCE = 1800  # for one trivial job: a queue may be full [s]

# What the job tells of where it runs; the same folder, interpreter and package must be there.
SNAKEFILE = """
rule all:
    input: "told"

rule told:
    output: "told"
    threads: 2
    shell: "hostname > {output}; echo {threads} >> {output}; echo ${{TMPDIR:-none}} >> {output};"
        " python -c 'import radsens; print(radsens.__version__)' >> {output}"
"""


def settings_of(profile: Path) -> dict[str, Any]:
    """Settings of a profile, its variables resolved as Snakemake does."""
    file = next(iter(sorted(profile.glob("config*.yaml"))))
    found = config.tree_of(file)
    return {k: os.path.expandvars(v) if isinstance(v, str) else v for k, v in found.items()}


def resources_of(profile: dict[str, Any]) -> dict[str, Any]:
    """Default resources of a profile; text stands there as a Python expression."""
    found = {}
    for name, value in (profile.get("default-resources") or {}).items():
        text = os.path.expandvars(str(value))
        found[name] = re.sub(r"^(['\"])(.*)\1$", r"\2", text) if isinstance(value, str) else value
    return found


def check(profile: str) -> bool:
    """Print what is found, step by step, and what is to be mended; whether all is well.

    Raises
    ------
    Fault : no such profile, or a variable of the site that is not set
    """
    from radsens.products.grid import console

    folder = snakemake.profile_folder(profile)
    settings = settings_of(folder)
    refuse_unset(settings.get("default-resources") or {})
    out, well = console(), True
    executor = settings.get("executor", "local")
    out.print(f"[bold]{folder}[/]: executor {executor}")
    steps = library_steps(settings) if executor == EXECUTOR else iter(())
    for found in steps:
        out.print(f"{found['step']}: {found['found']}", markup=False)
        if found.get("fix"):
            out.print(f"   to mend: {found['fix']}", style="bold red", markup=False)
            well = False
    if well:
        well = through_snakemake(folder, out)
    out.print("all is well" if well else "not ready: mend what is said above and check again", style="bold")
    return well


def library_steps(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the executor's own check says: library, scheduler, one job without Snakemake."""
    own = {k.removeprefix(PREFIX).replace("-", "_"): v for k, v in settings.items() if k.startswith(PREFIX)}
    words = [sys.executable, "-m", "snakemake_executor_plugin_drmaa_array.check", json.dumps({**own, **resources_of(settings)})]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode not in (0, 1):
        yield {"step": "check", "found": f"ended with exit code {process.returncode}", "fix": "see what is printed above"}


def through_snakemake(profile: Path, out: Any) -> bool:
    """Run one trivial job through Snakemake and the profile, in a folder beside the campaigns."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=".check.", dir=".") as folder:
        Path(folder, "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
        words = ["snakemake", "--profile", str(profile.absolute()), "--configfile", "none.yaml"]
        Path(folder, "none.yaml").write_text("{}\n", encoding="utf-8")
        try:
            said = subprocess.run(
                words,
                cwd=folder,
                env=snakemake.environment(),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise Fault(f"{profile}: a trivial job did not come back within {PATIENCE} s; is the queue open to you?") from None
        told = Path(folder, "told")
        lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    if said.returncode or len(lines) < 4:
        out.print("through Snakemake: failed", style="bold red")
        out.print("\n".join((said.stdout + said.stderr).splitlines()[-25:]), markup=False)
        return False
    host, threads, temporary, version = lines
    out.print(
        f"through Snakemake: ran on {host} with {threads} threads, TMPDIR {temporary}, {time.monotonic() - start:.0f} s",
        markup=False,
    )
    if version != radsens.__version__:
        out.print(f"   to mend: the job finds radsens {version}, this host {radsens.__version__}", style="bold red")
        return False
    return True
