"""What was submitted, on disk: a master that was killed left it to the next one, which goes on watching.

Each master has a folder with a journal of JSON lines, which it locks as long as it lives: a task before its submission, its
scheduler's id after it, its end. A task without an end is still somebody's, and is taken over by its outputs.
"""

import fcntl
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
        with suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _write(self, lines: list[dict[str, Any]], flush: bool = True) -> None:
        self._file.write("".join(json.dumps(line) + "\n" for line in lines))
        self._file.flush()
        if flush:
            os.fsync(self._file.fileno())

    def planned(self, tasks: list[Task]) -> None:
        """Note tasks that are about to be submitted."""
        self._write([asdict(task) for task in tasks])

    def submitted(self, tasks: list[Task]) -> None:
        """Note the ids of tasks."""
        self._write([{"path": task.path, "id": task.id} for task in tasks])

    def ended(self, task: Task) -> None:
        """Note that a task is nobody's any longer, in the journal of the master that submitted it."""
        line, home = {"path": task.path, "ended": True}, Path(task.path).parent
        if home == self.folder:
            self._write([line], flush=False)
            return
        with suppress(OSError), (home / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """End the journal; it goes where no task is left, and so does an older one that was finished for its master."""
        self._file.close()
        self._swept()
        with suppress(OSError):
            self.root.rmdir()

    def left(self) -> dict[tuple[str, ...], Task]:
        """Tasks of masters that died, by their outputs."""
        return {task.outputs: task for task in self._swept()}

    def _swept(self) -> list[Task]:
        """Open tasks of all masters that do not live, the oldest first; folders without one are removed."""
        found: list[Task] = []
        for folder in by_age(self.root):
            if (folder / JOURNAL).is_file() and not alive(folder):
                own = list(open_tasks(folder / JOURNAL))
                found += own
                if not own:
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
    """Whether the master of a folder lives: it holds the lock of its journal, which its death releases.

    Where the file system has no locks it is taken for dead: Snakemake's own lock keeps two masters from the same outputs, and
    a task that both watch is still run once.
    """
    try:
        with (folder / JOURNAL).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


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
