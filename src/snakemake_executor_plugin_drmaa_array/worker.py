"""The child process that alone talks to the DRMAA library: one JSON request per line in, one JSON answer per line out.

It keeps no list of jobs, so that losing it loses nothing, and it ignores Ctrl-C, which the executor turns into a request.
A library call that blocks for a minute while a scheduler is away blocks this process and nobody else.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Queue
from threading import Thread
from typing import Any

REAPED_AT_ONCE = 1000  # ended jobs taken up by one poll: a bound on the time of one answer
AFTERWARDS = 10.0  # that a library may take to close its session [s]
GONE_WITHIN = 10.0  # to wait for a job that must not run beside its successor [s]


class NoUsage(Exception):
    """A job ended without figures, as one that was deleted before it ran; drmaa says it by a bare Exception, without its id."""


class Session:
    """DRMAA requests of the executor; `d` is the module drmaa, or what a test scripts in its place."""

    def __init__(self, d: Any):
        self.d = d
        self.session = d.Session()
        self._open = False

    def open(self) -> None:
        """Open the session, where it is not: the scheduler may have been away when it was asked for."""
        if not self._open:
            self.session.initialize()
            self._open = True

    def lost(self) -> None:
        """Open the session anew at the next request."""
        self._open = False

    def hello(self) -> dict[str, str]:
        """The names of the scheduler and of the library."""
        s = self.session
        return {"system": str(s.drmsInfo), "library": str(s.drmaaImplementation), "contact": str(s.contact)}

    def submit(self, script: list[str], name: str, log: str, native: str, count: int) -> list[str]:
        """Submit one job, or an array of `count` > 1; their ids."""
        template = self.session.createJobTemplate()
        try:
            template.remoteCommand, template.args, template.jobName = "/bin/sh", script, name
            template.joinFiles, template.outputPath, template.nativeSpecification = True, f":{log}", native
            if count == 1:
                return [self.session.runJob(template)]
            return list(self.session.runBulkJobs(template, 1, count, 1))
        finally:
            self.session.deleteJobTemplate(template)

    def poll(self, look: list[str]) -> dict[str, Any]:
        """How the jobs of this session ended that have ended since, and which of `look` the scheduler holds no longer."""
        ended, gone = self._reap(), []
        try:
            gone = [job for job in look if self.state(job) == "gone"]
        except self.d.errors.DrmaaException:
            if not ended:
                raise
        return {"ended": ended, "gone": gone}

    def _reap(self) -> list[dict[str, Any]]:
        d, ended = self.d, []
        for _ in range(REAPED_AT_ONCE):
            try:
                ended.append(self._told(self.session.wait(d.Session.JOB_IDS_SESSION_ANY, d.Session.TIMEOUT_NO_WAIT)))
            except NoUsage:
                continue  # it has no name here: the executor asks for it, and hears that it is gone
            except (d.ExitTimeoutException, d.InvalidJobException):
                break
            except d.errors.DrmaaException:
                if not ended:
                    raise
                break  # those that were taken up would be lost with the answer
        return ended

    @staticmethod
    def _told(info: Any) -> dict[str, Any]:
        usage = {k: info.resourceUsage[k] for k in ("ru_wallclock", "maxvmem") if k in (info.resourceUsage or {})}
        end = {"exited": info.hasExited, "status": info.exitStatus, "aborted": info.wasAborted, "usage": usage}
        return {"id": info.jobId, **end, "signal": info.terminatedSignal if info.hasSignal else None}

    def state(self, job: str) -> str:
        """State of a job: queued, running, or gone: ended, or unknown to the scheduler."""
        states = self.d.JobState
        try:
            found = self.session.jobStatus(job)
        except self.d.InvalidJobException:
            return "gone"
        except self.d.InternalException:
            return "unknown"
        if found in (states.DONE, states.FAILED):
            return "gone"
        return "running" if found in (states.RUNNING, states.SYSTEM_SUSPENDED, states.USER_SUSPENDED) else "queued"

    def terminate(self, jobs: list[str], wait: bool = False) -> list[str]:
        """End jobs, and on demand wait until they are gone; those that could not be ended."""
        left = [job for job in jobs if not self._terminated(job)]
        until = time.monotonic() + GONE_WITHIN
        while wait and time.monotonic() < until and any(self.state(job) != "gone" for job in jobs if job not in left):
            time.sleep(0.2)
        return left

    def _terminated(self, job: str) -> bool:
        try:
            self.session.control(job, self.d.JobControlAction.TERMINATE)
        except self.d.InvalidJobException:
            return True
        except self.d.errors.DrmaaException:
            return self.state(job) == "gone"
        return True

    def bye(self) -> None:
        """Close the session; jobs go on."""
        with suppress(self.d.errors.DrmaaException):
            self.session.exit()


def answer(session: Session, request: dict[str, Any]) -> dict[str, Any]:
    """Answer to a request: `ok`, `away` (the scheduler does not answer: ask again later) or `refused`, in its own words."""
    d = session.d
    act: Callable[..., Any] = getattr(session, request["do"])
    try:
        session.open()
        return {"ok": act(**request["with"])}
    except (d.NoActiveSessionException, d.DrmsInitException) as error:
        session.lost()
        return {"away": f"{type(error).__name__}: {_words(error)}"}
    except (d.DrmCommunicationException, d.TryLaterException, d.InternalException, OSError) as error:
        return {"away": f"{type(error).__name__}: {_words(error)}"}
    except d.errors.DrmaaException as error:
        return {"refused": f"{type(error).__name__}: {_words(error)}"}


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())


def load() -> Any:
    """The module drmaa, whose import loads the library of the scheduler."""
    import drmaa

    drmaa.errors._ERRORS[:] = [NoUsage if error is Exception else error for error in drmaa.errors._ERRORS]
    return drmaa


def requests() -> Iterator[str]:
    """Lines of standard input. Once it is closed, nobody waits for a library that blocks: the process ends all the same."""
    lines: Queue[str | None] = Queue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put(None)
        time.sleep(AFTERWARDS)
        os._exit(1)

    Thread(target=read, daemon=True).start()
    yield from iter(lines.get, None)


def main() -> int:
    """Answer requests until standard input is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # a library that prints must not break the protocol
    session = None
    for line in requests():
        request = json.loads(line)
        if session is None:
            try:
                session = Session(load())
            except (RuntimeError, OSError, ImportError, AttributeError) as error:
                print(json.dumps({"number": request["number"], "unloadable": _words(error)}), file=out)
                return 1
        print(json.dumps({"number": request["number"], **answer(session, request)}), file=out)
    if session is not None:
        session.bye()
    return 0


if __name__ == "__main__":
    sys.exit(main())
