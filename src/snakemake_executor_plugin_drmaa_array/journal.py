"""What was submitted, on disk: a master that was killed left it to the next one, which goes on watching.

Each master has a folder `<host>-<pid>-<start>` with a journal of JSON lines: a task before its submission, its scheduler's
id after it, its end. A task without an end is still somebody's, and is taken over by its outputs.
"""

import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

JOURNAL = "journal.jsonl"
KEPT_DAYS = 7  # folders of dead masters whose tasks have all ended, for their logs


@dataclass(frozen=True)
class Task:
    """A submitted task: path without suffix, outputs, digest of what it does, scheduler's id once it is known, demand."""

    path: str
    rule: str
    outputs: tuple[str, ...]
    digest: str
    native: str
    id: str | None = None


class Journal:
    """The journal of this master, and what the masters before it left."""

    def __init__(self, root: Path):
        self.root = root.absolute()
        self.folder = self.root / f"{platform.node()}-{os.getpid()}-{time.time_ns()}"
        self.folder.mkdir(parents=True)
        self._file = (self.folder / JOURNAL).open("a", encoding="utf-8")

    def _write(self, lines: list[dict[str, Any]], flush: bool = True) -> None:
        self._file.write("".join(json.dumps(line) + "\n" for line in lines))
        self._file.flush()
        if flush:
            os.fsync(self._file.fileno())

    def planned(self, tasks: list[Task]) -> None:
        """Note tasks that are about to be submitted, or are taken over."""
        self._write([asdict(task) for task in tasks])

    def submitted(self, tasks: list[Task]) -> None:
        """Note the ids of tasks."""
        self._write([{"path": task.path, "id": task.id} for task in tasks])

    def ended(self, task: Task) -> None:
        """Note that a task is nobody's any longer."""
        self._write([{"path": task.path, "ended": True}], flush=False)

    def close(self) -> None:
        """End the journal; a folder without a log of a failed task goes."""
        self._file.close()
        if not any(self.folder.glob("*.log")) and not list(open_tasks(self.folder / JOURNAL)):
            shutil.rmtree(self.folder, ignore_errors=True)
            with suppress(OSError):
                self.root.rmdir()

    def left(self) -> dict[tuple[str, ...], Task]:
        """Tasks of masters that died, by their outputs; folders where none is left go after a week."""
        ended, found = set(), {}
        folders = [f for f in by_age(self.root) if f != self.folder and not alive(f)]
        for folder in folders:
            for line in lines(folder / JOURNAL):
                if line.get("ended"):
                    ended.add(line["path"])
        for folder in folders:
            tasks = [task for task in open_tasks(folder / JOURNAL) if task.path not in ended]
            found.update({task.outputs: task for task in tasks})
            old = time.time() - folder.stat().st_mtime > KEPT_DAYS * 86400
            if not tasks and old and not any(str(folder) in task.path for task in found.values()):
                shutil.rmtree(folder, ignore_errors=True)
        return found


def by_age(root: Path) -> list[Path]:
    """Folders of masters, the oldest first; one that another master removes meanwhile is left out."""
    found = []
    for folder in root.iterdir():
        with suppress(OSError):
            if folder.is_dir():
                found.append((folder.stat().st_mtime, folder))
    return [folder for _, folder in sorted(found)]


def alive(folder: Path) -> bool:
    """Whether the master of a folder runs on this host. One on another host is taken for dead: Snakemake's lock keeps two
    masters from the same outputs, and a task that both watch is still run once."""
    try:
        host, pid, _ = folder.name.rsplit("-", 2)
        if host != platform.node():
            return False
        os.kill(int(pid), 0)
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return False
    return b"snakemake" in command or b"python" in command


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Lines of a journal; one that a full disk or a kill cut short is left out."""
    with suppress(OSError):
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(json.JSONDecodeError):
                yield json.loads(text)


def open_tasks(path: Path) -> Iterator[Task]:
    """Tasks of a journal that have not ended."""
    found: dict[str, Task] = {}
    for line in lines(path):
        if "outputs" in line:
            found[line["path"]] = Task(**{**line, "outputs": tuple(line["outputs"])})
        elif line.get("ended"):
            found.pop(line["path"], None)
        elif line["path"] in found:
            found[line["path"]] = replace(found[line["path"]], id=line["id"])
    yield from found.values()
