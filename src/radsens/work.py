"""The work file of a span: its batches of realisations, kept as they are computed, so that a killed job loses little.

It stands beside the chunk to be and goes when that stands. A line of magic and one of JSON say whose it is; then come
records: a head (mark, band, first, count, size, digest) and a payload. A record is good if its digest is; what follows the
last good one is cut off, and a file of another key, span or format is begun anew.
"""

import fcntl
import json
import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from io import BytesIO, FileIO
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, Self

import numpy as np

from radsens.realise import Batch
from radsens.schema import Fault

MAGIC = b"radsens work file 1\n"
MARK = b"batch"
HEAD = struct.Struct("<5sIIIQ32s")
LONGEST_HEADER = 4096  # bytes
SHARE = 0.01  # of the time, that keeping may cost
INTERVALS = 1.0, 5.0  # between two flushes, at least and at most [s]; batches last as long
GROWTH = 8  # of a batch from one to the next, at most: the first is short, and may hold the compilation
SLOWER = 4  # times that the next band may take as long


class Record(NamedTuple):
    """Where a batch stands in the file: band, first realisation and how many, payload and its digest."""

    band: int
    first: int
    number: int
    at: int
    size: int
    digest: bytes


def beside(output: Path) -> Path:
    """Path of the work file of a chunk."""
    return output.with_name(f".{output.stem}.work")


def header(key: str, span: range, bands: Iterable[int]) -> bytes:
    """What a work file begins with: the key of its results, its realisations, and the bands that are computed."""
    about = {"key": key, "first": span.start, "count": len(span), "bands": list(bands)}
    return MAGIC + json.dumps(about, sort_keys=True).encode() + b"\n"


def packed(batch: Batch) -> bytes:
    """A batch as bytes; of the histograms, which are mostly empty, the bins that are not."""
    filled = np.flatnonzero(batch.totals != 0)
    counts = batch.totals.ravel()[filled]
    arrays: dict[str, Any] = {
        "rows": batch.rows,
        "saturated": batch.saturated,
        "outcome": batch.outcome,
        "shape": np.array(batch.totals.shape),
        "filled": filled.astype(np.uint32),
        "counts": counts.astype(np.min_scalar_type(counts.max(initial=0))),
    }
    buffer = BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def unpacked(first: int, payload: bytes) -> Batch:
    """The batch that was packed."""
    with np.load(BytesIO(payload), allow_pickle=False) as arrays:
        totals = np.zeros(arrays["shape"], np.int64)
        totals.ravel()[arrays["filled"]] = arrays["counts"]
        return Batch(first, arrays["rows"], totals, arrays["saturated"], arrays["outcome"])


def digest(band: int, first: int, count: int, payload: bytes) -> bytes:
    """Of a record: its address and its payload."""
    return sha256(struct.pack("<III", band, first, count) + payload).digest()


def records(file: FileIO, start: int) -> Iterator[Record]:
    """Records from `start` to the first that is not whole; only their heads are read."""
    end = os.fstat(file.fileno()).st_size
    while start + HEAD.size <= end:
        file.seek(start)
        mark, band, first, count, size, found = HEAD.unpack(file.read(HEAD.size))
        at = start + HEAD.size
        if mark != MARK or at + size > end:
            return
        yield Record(band, first, count, at, size, found)
        start = at + size


def progress(path: Path) -> tuple[int, int] | None:
    """How far a work file is: realisations kept and to be computed, each counted in every band; None if there is none.

    Heads alone are read, so that it costs nothing to ask while a job writes; digests are not checked.
    """
    with suppress(OSError, ValueError, KeyError), FileIO(path) as file:
        magic, _, rest = file.read(LONGEST_HEADER).partition(b"\n")
        line, ends, _ = rest.partition(b"\n")
        if magic + b"\n" == MAGIC and ends:
            about = json.loads(line)
            kept = sum(record.number for record in records(file, len(MAGIC) + len(line) + 1))
            return kept, about["count"] * len(about["bands"])
    return None


class Work:
    """The open work file of a span, which this process alone writes."""

    def __init__(self, path: Path, file: FileIO, span: range, start: int):
        self._path, self._file, self._count, self._start, self._end = path, file, len(span), start, start
        self._pending: list[bytes] = []
        self._size, self._interval, self._flushed = 0.0, INTERVALS[0], perf_counter()
        self._records: list[Record] = []
        done = Counter[int]()
        for record in records(file, start):
            if record.first != done[record.band] or digest(*record[:3], self._payload(record)) != record.digest:
                break
            done[record.band] += record.number
            self._records.append(record)
            self._end = record.at + record.size
        file.truncate(self._end)
        self.resumed = done.total()
        """Realisations that it held when it was opened, each counted in every band."""

    def _payload(self, record: Record) -> bytes:
        self._file.seek(record.at)
        return self._file.read(record.size)

    def kept(self, band: int) -> Iterator[Batch]:
        """The batches of a band that were kept, one at a time in memory."""
        for record in self._records:
            if record.band == band:
                yield unpacked(record.first, self._payload(record))

    def size(self, threads: int, grain: int, left: int) -> int:
        """Realisations of the next batch: what lasts until a flush is due, or all that are left if that is half of them.

        In whole grains if it can, and one a thread at least.
        """
        found = max(threads, int(self._size))
        return left if left <= 2 * found else found // grain * grain or found

    def keep(self, band: int, batch: Batch, seconds: float) -> None:
        """Keep a batch that took some seconds, and flush if that is due: what is flushed outlives the process and the node."""
        began, number, payload = perf_counter(), len(batch.rows), packed(batch)
        head = HEAD.pack(MARK, band, batch.first, number, len(payload), digest(band, batch.first, number, payload))
        self._pending.append(head + payload)
        if began - self._flushed >= self._interval:
            self.flush()
            self._flushed = perf_counter()
            self._interval = float(np.clip((self._flushed - began) / SHARE, *INTERVALS))
        size = min(number * self._interval / max(seconds, 1e-9), GROWTH * max(number, self._size))
        self._size = size / SLOWER if batch.stop == self._count else size

    def flush(self) -> None:
        """Write what is kept, down to the disk."""
        try:
            self._file.seek(self._end)
            while self._pending:
                _write(self._file, self._pending[0])
                self._end += len(self._pending.pop(0))
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._end)
            raise _unwritable(self._path, error) from error

    def remove(self) -> None:
        """Take the file away, once the chunk stands."""
        self._pending.clear()
        with suppress(OSError):
            if _is_at(self._file, self._path):
                self._path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Fault):  # whatever ended the job has its own sentence
            self.flush()
        if self._end == self._start:
            self.remove()
        self._file.close()


def opened(path: Path, key: str, span: range, bands: Iterable[int]) -> Work:
    """The work file at a path, with what it holds of this key and span.

    Raises
    ------
    Fault : another process has it, or it cannot be written
    """
    begin = header(key, span, bands)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _locked(path)
        if file.read(len(begin)) != begin:
            file.truncate(0)
            file.seek(0)
            _write(file, begin)
        os.utime(file.fileno())  # a sign of life
        return Work(path, file, span, len(begin))
    except OSError as error:
        raise _unwritable(path, error) from error


def _locked(path: Path) -> FileIO:
    """The file at a path, locked if the file system has locks; it may go, with its job, while this waits to open it."""
    while True:
        file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise Fault(f"{path}: another process computes this span; wait for its end, or end it, and run again") from None
        except OSError:
            return file
        if _is_at(file, path):
            return file
        file.close()


def _is_at(file: FileIO, path: Path) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _write(file: FileIO, content: bytes) -> None:
    """Write all of it."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _unwritable(path: Path, error: OSError) -> Fault:
    return Fault(
        f"{path}: cannot be written ({error.strerror or error}); what it holds is kept; look at the space, the quota and the "
        "rights there, and run again"
    )
