"""The one numba policy of the package.

A kernel is a pure function of numbers, compiled at its first call and kept in a folder named after a digest of all
sources, so that a helper edited in another file is seen. No fastmath (gaps may be NaN), no contraction: a fused
multiply-add is written `fma`. `Kernel.py_func` is the same equation in plain Python, the oracle of the tests.
"""

import atexit
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import cache, cached_property, update_wrapper
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from string import Template
from types import FunctionType
from typing import Any

import numpy as np

from radsens.target import settings, target

PACKAGE = Path(__file__).parent
JOBS = ("PBS_JOBID", "SLURM_JOB_ID", "JOB_ID")  # a job of PBS, of Slurm, of Grid Engine: each sets one


def digest(paths: Iterable[Path]) -> str:
    """Fingerprint of files by name and content, 12 hexadecimal digits."""
    h = sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        h.update(f"{path.relative_to(PACKAGE)} {len(content)}\n".encode())
        h.update(content)
    return h.hexdigest()[:12]


def build() -> str:
    """What compiled code is made from: digest of these sources, versions of numba and llvmlite."""
    return f"{digest(PACKAGE.rglob('*.py'))}-{version('numba')}-{version('llvmlite')}"


def shared_folder() -> Path:
    """Folder of the compiled kernels that all processes share: private to these sources, this numba and this target.

    In `RADSENS_CACHE`, else `XDG_CACHE_HOME`/radsens, else ~/.cache/radsens.
    """
    asked, cache_home = os.environ.get("RADSENS_CACHE"), os.environ.get("XDG_CACHE_HOME")
    root = Path(asked or (Path(cache_home) / "radsens" if cache_home else "~/.cache/radsens"))
    return root.expanduser() / f"{build()}-{target()}"


def cache_folder() -> Path:
    """Folder of the compiled kernels, made if it is missing.

    That of the node, else the shared one; where nothing can be written there, a temporary folder that lasts as long as the
    process.
    """
    try:
        folder = node_folder() or shared_folder()
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # the latter: there is no home
        pass
    folder = Path(tempfile.mkdtemp(prefix="radsens-cache-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def node_folder() -> Path | None:
    """Folder of the compiled kernels on this node's own disk, where `RADSENS_NODE_CACHE` names a place that can serve.

    In a job of a scheduler that sets `TMPDIR` it is there, unless `RADSENS_NODE_CACHE` is set, if only to nothing. It begins
    as a copy of what is shared, so that thousands of jobs neither lock a shared file system nor compile each for itself; what
    is compiled in it is shared at the end of the process. Variables and ~ in the name are expanded; one that is not set, or
    another user's folder, cannot serve.
    """
    given = {name: value for name, value in os.environ.items() if value}
    scheduled = "$TMPDIR" if any(job in given for job in JOBS) else ""
    place = Template(os.environ.get("RADSENS_NODE_CACHE", scheduled))
    try:
        root, shared = Path(place.substitute(given)).expanduser(), shared_folder()
        folder, published = root / shared.name, shared.with_name(f"{shared.name}-nodes")
        if not root.is_absolute():
            return None
        if first := not folder.exists():
            root.mkdir(parents=True, exist_ok=True)
            begun = Path(tempfile.mkdtemp(prefix=".radsens-", dir=root))
            copy_kernels(published if published.is_dir() else shared, begun)
            with suppress(OSError):  # of two processes that come first, one wins
                begun.rename(folder)
            shutil.rmtree(begun, ignore_errors=True)
        if folder.stat().st_uid != os.geteuid() or not os.access(folder, os.W_OK):
            return None  # what is in a cache is run: another user's is not trusted
    except (KeyError, ValueError, OSError, RuntimeError):
        return None
    known = frozenset() if first and not published.is_dir() else codes(folder)
    atexit.register(publish, folder, published, known)
    return folder


def codes(folder: Path) -> frozenset[Path]:
    """Files of machine code in a folder of numba's cache, by their paths in it."""
    return frozenset(path.relative_to(folder) for path in folder.rglob("*.nbc"))


def copy_kernels(source: Path, target: Path) -> None:
    """Copy the files of numba's cache."""
    for path in source.rglob("*.nb[ci]"):
        (target / path.parent.relative_to(source)).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / path.relative_to(source))


def publish(folder: Path, shared: Path, known: frozenset[Path]) -> None:
    """Share the kernels of a node's folder if it has more than the known ones; where anything is in the way, they are not.

    Numba numbers the code of a kernel, and its index says which number serves which types. A number is claimed by a link,
    which fails if it is taken; so no code is ever replaced, and an index only by one that holds it and more.
    """
    ours = codes(folder)
    theirs = codes(shared) if ours != known else ours
    for index in sorted(path.relative_to(folder) for path in folder.rglob("*.nbi")):
        own = {path for path in ours if path.parent == index.parent and path.name.startswith(f"{index.stem}.")}
        fresh = sorted(own - theirs)
        with suppress(OSError):
            if fresh and all((folder / path).read_bytes() == (shared / path).read_bytes() for path in own & theirs):
                (shared / index).parent.mkdir(parents=True, exist_ok=True)
                for path in fresh:
                    _put(folder / path, shared / path, os.link)
                _put(folder / index, shared / index, os.replace)


def _put(source: Path, target: Path, how: Callable[[Path, Path], None]) -> None:
    """Copy a file whole: under another name first, then linked or renamed."""
    part = target.with_name(f".{target.name}.{platform.node()}-{os.getpid()}.part")
    try:
        shutil.copyfile(source, part)
        how(part, target)
    finally:
        part.unlink(missing_ok=True)


@cache
def compiler() -> Any:
    """Numba, imported at the first call of a kernel, its target and its cache folder set."""
    processor = settings(target())
    import numba
    from numba.core.registry import cpu_target

    module: Any = numba
    for name, value in {**processor, "CACHE_DIR": str(cache_folder())}.items():
        setattr(module.config, name, value)
    cpu_target.target_context.refresh()  # which loads the rest of it, as the first kernel would
    return module


def lean_compiler() -> Any:
    """`compiler` in a process that is radsens' own, a job: scipy, which other code with numba might want, is not loaded."""
    with absent("scipy"):
        return compiler()


@contextmanager
def absent(package: str) -> Iterator[None]:
    """A package that is as if it were not installed, unless it is loaded already.

    Where there is scipy numba loads it, for functions of linear algebra that no kernel calls: 17 MiB of each job.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # what Python takes for not found
    try:
        yield
    finally:
        del sys.modules[package]


@cache
def distinct_arrays() -> Any:
    """Numba pipeline that tells LLVM that the arrays of a call do not overlap, without which a row of many is not vectorised."""
    compiler()
    from numba.core.compiler import Compiler

    class DistinctArrays(Compiler):
        def define_pipelines(self):
            self.state.flags.noalias = True
            return super().define_pipelines()

    return DistinctArrays


class Kernel:
    """A function of numbers and arrays, compiled at its first call.

    The kernels and primitives that it names are resolved to their twins: `compiled` is what Python calls and the cache
    keeps, `inner` what other kernels call, `py_func` plain Python. No kernel allocates: without reference counts a row
    of an array costs nothing, and threads share no counter.
    """

    def __init__(self, function: Callable[..., Any], **inlining: Any):
        assert isinstance(function, FunctionType)
        self._function, self._inlining = function, inlining
        update_wrapper(self, function)

    def _resolved(self, twin: str) -> FunctionType:
        f = self._function
        used = {n: f.__globals__[n] for n in f.__code__.co_names if n in f.__globals__}
        names = {n: getattr(v, twin) if isinstance(v, Kernel | Primitive) else v for n, v in used.items()}
        copy = FunctionType(f.__code__, {"__name__": f.__module__, **names}, f.__name__, f.__defaults__)
        copy.__module__, copy.__qualname__ = f.__module__, f.__qualname__
        return copy

    def _jit(self, **options: Any) -> Any:
        policy = dict(nogil=True, error_model="numpy", _nrt=False, pipeline_class=distinct_arrays())
        return compiler().njit(**policy, **options)(self._resolved("inner"))

    @property
    def stage(self) -> bool:
        """Whether it is compiled as a function of its own, and not only as part of those that call it."""
        return not self._inlining

    @cached_property
    def compiled(self) -> Any:
        return self._jit(cache=True)

    @cached_property
    def inner(self) -> Any:
        return self._jit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **self._inlining)

    @cached_property
    def py_func(self) -> FunctionType:
        return self._resolved("py_func")

    def __call__(self, *arguments):
        return self.compiled(*arguments)


def kernel(function: Callable[..., Any]) -> Kernel:
    """Decorate a stage, the loop over a row: a function for its callers too, where the compiler knows its rows to be
    distinct, and vectorises."""
    return Kernel(function)


def formula(function: Callable[..., Any]) -> Kernel:
    """Decorate the equation of one pixel, put into the loops that call it once it is compiled."""
    return Kernel(function, forceinline=True)


def chain(function: Callable[..., Any]) -> Kernel:
    """Decorate a chain of stages, put into its caller before that is compiled: its links are not compiled twice."""
    return Kernel(function, inline="always")


class Primitive:
    """One machine operation that numba has no spelling for: a Python twin and its LLVM instruction.

    `emit(builder, operands, llvm_type)` writes the instruction; the first operand sets the type of all.
    """

    def __init__(self, py_func: Callable, emit: Callable):
        self.py_func, self.emit = py_func, emit
        update_wrapper(self, py_func)

    def __call__(self, *arguments):
        return self.py_func(*arguments)

    @cached_property
    def inner(self) -> Any:
        from numba.extending import intrinsic

        emit = self.emit

        def typed(*operands):
            kind = operands[0]

            def generate(context, builder, signature, values):
                cast = [context.cast(builder, v, t, kind) for v, t in zip(values, signature.args, strict=True)]
                return emit(builder, cast, context.get_value_type(kind))

            return kind(*operands), generate

        def two(context, a, b):
            return typed(a, b)

        def three(context, a, b, c):
            return typed(a, b, c)

        return intrinsic(two if self.py_func.__code__.co_argcount == 2 else three)


def primitive(emit: Callable) -> Callable[[Callable], Primitive]:
    """Decorate the Python twin of an LLVM instruction."""
    return lambda py_func: Primitive(py_func, emit)


def _rounded(exact: Fraction, kind: Any) -> Any:
    """The number of type `kind` nearest to `exact`, ties to even."""
    try:
        with np.errstate(over="ignore"):
            near = kind(float(exact))
    except OverflowError:
        near = kind(np.inf if exact > 0 else -np.inf)
    if np.isinf(near):
        return near
    candidates = (np.nextafter(near, kind(-np.inf)), near, np.nextafter(near, kind(np.inf)))
    word = {np.float32: np.uint32, np.float64: np.uint64}[kind]
    finite = [c for c in candidates if np.isfinite(c)]
    return min(finite, key=lambda c: (abs(Fraction(float(c)) - exact), int(c.view(word)) & 1))


@primitive(lambda builder, x, kind: builder.fma(*x))
def fma(a, b, c):
    """a b + c, rounded once; `a` sets the precision."""
    kind = np.float32 if isinstance(a, np.float32) else np.float64
    a, b, c = kind(a), kind(b), kind(c)
    if not (np.isfinite(a) and np.isfinite(b) and np.isfinite(c)):
        return kind(a * b + c)
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    return _rounded(exact, kind) if exact else kind(a * b + c)  # the sum keeps the sign of zero


@primitive(lambda builder, x, kind: x[1])
def like(x, c):
    """The constant c in the precision of x."""
    return (np.float32 if isinstance(x, np.float32) else np.float64)(c)


@primitive(lambda builder, x, kind: x[1] if str(kind) == "float" else x[2])
def of_kind(x, single, double):
    """Of two numbers the one meant for the precision of x; the other is not computed."""
    return np.float32(single) if isinstance(x, np.float32) else np.float64(double)


@primitive(lambda builder, x, kind: builder.add(*x))
def add32(a, b):
    """a + b modulo 2³²."""
    return np.uint32((int(a) + int(b)) & 0xFFFFFFFF)


@primitive(lambda builder, x, kind: builder.xor(*x))
def xor32(a, b):
    """Exclusive or of two words."""
    return np.uint32(int(a) ^ int(b))


def _rotate(builder, x, kind):
    return builder.or_(builder.shl(x[0], x[1]), builder.lshr(x[0], builder.sub(kind(32), x[1])))


@primitive(_rotate)
def rotl32(x, n):
    """The word x rotated left by n bits, 0 < n < 32."""
    return np.uint32(((int(x) << int(n)) | (int(x) >> (32 - int(n)))) & 0xFFFFFFFF)
