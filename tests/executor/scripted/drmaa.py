"""The API of drmaa-python 0.7.9 over local processes, scripted by files in the folder $SCRIPTED_DRMAA.

A folder that holds `away`, `unopened`, `refuse`, `block`, `noisy`, `die`, `lose`, `held` or `no usage` changes what the
next calls do. Each call adds its name to the file `calls`. Put this folder first on PYTHONPATH, and `import drmaa` finds this
file.
"""

import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

NAMES = """AlreadyActiveSession Authorization DefaultContactString DeniedByDrm DrmCommunication DrmsExit DrmsInit ExitTimeout
    IllegalState Internal InvalidContactString InvalidJob InvalidJobTemplate NoActiveSession TryLater"""
ARGUMENTS = "InvalidAttributeFormat InvalidAttributeValue InvalidArgument ConflictingAttributeValues UnsupportedAttribute"

JobInfo = namedtuple("JobInfo", "jobId hasExited hasSignal terminatedSignal hasCoreDump wasAborted exitStatus resourceUsage")


class DrmaaException(Exception):
    pass


for _names, _bases in ((NAMES, (DrmaaException,)), (ARGUMENTS, (DrmaaException, AttributeError))):
    globals().update({f"{n}Exception": type(f"{n}Exception", _bases, {}) for n in _names.split()})
errors = sys.modules[__name__]
_ERRORS = [globals()["InternalException"], Exception]  # as in drmaa: an end without usage is a bare one

if os.environ.get("SCRIPTED_DRMAA") is None:
    raise RuntimeError("Could not find drmaa library.  Please specify its full path using DRMAA_LIBRARY_PATH")
ROOT = Path(os.environ["SCRIPTED_DRMAA"])


class JobState:
    UNDETERMINED, QUEUED_ACTIVE, RUNNING = "undetermined", "queued_active", "running"
    SYSTEM_SUSPENDED, USER_SUSPENDED, DONE, FAILED = "system_suspended", "user_suspended", "done", "failed"


class JobControlAction:
    TERMINATE = "terminate"


class JobTemplate:
    pass


def script(name):
    """One call: noted, and disturbed as the folder says."""
    with (ROOT / "calls").open("a") as calls:
        calls.write(f"{name}\n")
    if (ROOT / "noisy").exists():
        os.write(1, b"a library that prints\n")
    while (ROOT / "block").exists():
        time.sleep(0.02)
    if (ROOT / "die").exists():
        (ROOT / "die").unlink()
        os._exit(9)
    if (ROOT / "away").exists():
        raise errors.DrmCommunicationException("code 2: unable to contact qmaster")


class Session:
    TIMEOUT_NO_WAIT, JOB_IDS_SESSION_ANY = 0, b"DRMAA_JOB_IDS_SESSION_ANY"
    drmaaImplementation, contact = "a double of DRMAA", "here"

    def __init__(self, contactString=None):
        self.running = {}

    @property
    def drmsInfo(self):
        return (ROOT / "system").read_text() if (ROOT / "system").exists() else "GE 8.1.9"

    def initialize(self, contactString=None):
        script("initialize")
        if (ROOT / "unopened").exists():
            raise errors.DrmsInitException("code 10: cannot initialise")

    def exit(self):
        script("exit")

    def createJobTemplate(self):
        return JobTemplate()

    def deleteJobTemplate(self, template):
        script("deleteJobTemplate")

    def _run(self, template, number, index=None):
        with (ROOT / "specifications").open("a") as told:
            told.write(f"{template.nativeSpecification}\n")
        id = f"{number}.{index}" if index else str(number)
        log = template.outputPath.removeprefix(":").replace("$drmaa_incr_ph$", str(index))
        own = {"JOB_ID": str(number), "SGE_TASK_ID": str(index or "undefined"), "PBS_JOBID": str(number)}
        with open(log, "ab") as out:
            words = [template.remoteCommand, *template.args]
            options = {"stdout": out, "stderr": out, "stdin": subprocess.DEVNULL, "start_new_session": True}
            self.running[id] = subprocess.Popen(words, env={**os.environ, **own}, **options)
        (ROOT / f"job-{id}").write_text(str(self.running[id].pid))
        return id

    def _number(self, how):
        script(how)
        if (ROOT / "refuse").exists():
            raise errors.DeniedByDrmException("code 17: unknown queue\n  nosuch.q")
        counter = ROOT / "number"
        counter.write_text(str(int(counter.read_text()) + 1 if counter.exists() else 1))
        return int(counter.read_text())

    def _answer(self, ids):
        if (ROOT / "lose").exists():
            (ROOT / "lose").unlink()
            raise errors.DrmCommunicationException("code 2: the answer was lost")
        return ids

    def runJob(self, template):
        return self._answer(self._run(template, self._number("runJob")))

    def runBulkJobs(self, template, begin, end, step):
        number = self._number("runBulkJobs")
        return self._answer([self._run(template, number, index) for index in range(begin, end + 1, step)])

    def wait(self, job, timeout=-1):
        script("wait")
        for id, process in list(self.running.items()):
            if process.poll() is not None:
                del self.running[id]
                if (ROOT / "no usage").exists():
                    raise errors._ERRORS[1]("code 24: no usage information was returned for the completed job")
                killed, code = process.returncode < 0, max(process.returncode, 0)
                name = signal.Signals(-process.returncode).name if killed else ""
                usage = {"ru_wallclock": "1.0000", "maxvmem": "1000.0000"}
                return JobInfo(id, not killed, killed, name, False, False, code, usage)
        if self.running:
            raise errors.ExitTimeoutException("code 23")
        raise errors.InvalidJobException("code 18: the session has no jobs")

    def jobStatus(self, id):
        script("jobStatus")
        if id in self.running:
            return JobState.RUNNING if self.running[id].poll() is None else JobState.DONE
        if (ROOT / "held").exists() or (os.path.exists(ROOT / f"job-{id}") and alive(int((ROOT / f"job-{id}").read_text()))):
            return JobState.RUNNING
        raise errors.InvalidJobException("code 18: unknown job")

    def control(self, id, operation):
        script("control")
        assert operation == JobControlAction.TERMINATE
        try:
            os.killpg(int((ROOT / f"job-{id}").read_text()), signal.SIGKILL)
        except OSError:
            raise errors.InvalidJobException("code 18: unknown job") from None


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
