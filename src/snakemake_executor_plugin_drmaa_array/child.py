"""The executor's end of the child process: questions go out, answers come back as futures."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

STATIC_TLS = "glibc.rtld.optional_static_tls"
ROOM = "16384"  # bytes that Debian's libdrmaa for Grid Engine needs beside what Python's own libraries take


class Away(Exception):
    """The scheduler, or the child, does not answer now; asking again later may help."""


class Refused(Exception):
    """The scheduler answered no."""


class Unloadable(Exception):
    """There is no DRMAA library that can be loaded."""


def environment(library: str | None) -> dict[str, str]:
    """Environment of the child: the library, and room for its thread-local storage, which glibc reserves at start alone."""
    found = dict(os.environ)
    if library:
        found["DRMAA_LIBRARY_PATH"] = str(Path(library).expanduser())
    tunables = [t for t in found.get("GLIBC_TUNABLES", "").split(":") if t]
    if not any(t.startswith(STATIC_TLS) for t in tunables):
        tunables.append(f"{STATIC_TLS}={ROOM}")
    return {**found, "GLIBC_TUNABLES": ":".join(tunables)}


class Child:
    """A process that holds the DRMAA session; started at the first question, and again after it died."""

    def __init__(self, library: str | None = None, command: tuple[str, ...] = ()):
        self._environment = environment(library)
        self._command = command or (sys.executable, "-m", f"{__package__}.worker")
        self._lock = threading.RLock()
        self._process: subprocess.Popen[str] | None = None
        self._asked: dict[int, Future[Any]] = {}
        self._number = 0
        self._lines: SimpleQueue[str | None] = SimpleQueue()

    def ask(self, do: str, **arguments: Any) -> "Future[Any]":
        """Send a request. Its future gives the answer or raises Away, Refused or Unloadable; it does not block."""
        with self._lock:
            if self._process is None:
                self._start()
            return self._send(do, arguments)

    def _send(self, do: str, arguments: dict[str, Any]) -> "Future[Any]":
        self._number += 1
        future: Future[Any] = Future()
        self._asked[self._number] = future
        self._lines.put(json.dumps({"number": self._number, "do": do, "with": arguments}) + "\n")
        return future

    def _start(self) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
        # A session of its own: Ctrl-C at the terminal reaches the executor, which still needs its child to end the jobs.
        self._process = subprocess.Popen(self._command, env=self._environment, start_new_session=True, **pipes)
        self._lines = SimpleQueue()
        threading.Thread(target=self._write, args=(self._process, self._lines), daemon=True).start()
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    @staticmethod
    def _write(process: "subprocess.Popen[str]", lines: "SimpleQueue[str | None]") -> None:
        """Hand the questions over, from a thread: a child that is blocked stops reading once the pipe is full."""
        assert process.stdin is not None
        with suppress(OSError):  # it died: the reader sees the end of its answers, and gives every future its exception
            while (line := lines.get()) is not None:
                process.stdin.write(line)
                process.stdin.flush()
        with suppress(OSError):
            process.stdin.close()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            answer = json.loads(line)
            future = self._asked.pop(answer["number"])
            if "ok" in answer:
                future.set_result(answer["ok"])
            elif "unloadable" in answer:
                future.set_exception(Unloadable(answer["unloadable"]))
            else:
                away = "away" in answer
                future.set_exception(Away(answer["away"]) if away else Refused(answer["refused"]))
        process.stdout.close()
        process.wait()
        with self._lock:
            lost, self._asked = self._asked, {}
            if self._process is process:
                self._process = None
                self._lines.put(None)
        for future in lost.values():
            future.set_exception(Away(f"the process that holds the DRMAA session ended (exit code {process.returncode})"))

    def close(self, seconds: float = 10) -> None:
        """Close the session; a child that is blocked in the library is killed."""
        with self._lock:
            process = self._process
            self._lines.put(None)
        if process is None:
            return
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
