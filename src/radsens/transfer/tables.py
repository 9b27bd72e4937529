"""Look-up tables: what an atmosphere over a surface sends back to space, made at first use and kept.

A table holds the smooth part, light scattered or reflected more than once, as Fourier orders on the Gauss nodes of the
solver; what is scattered or reflected once is sharp (rainbow, glory, glint) and is computed for each pixel
(radsens.transfer.rendering) from the layers, which the table holds too.

Convergence of the standard size, measured at 20 000 directions (view zenith angle up to 70°, solar zenith angle up to 65°, all
azimuths) against 48 streams, 72 orders, 1600 radii and a cut of 4°; rms / 99th percentile / largest:

                             I [%]                  DoLP [1e-3]
    clear ocean, 865 nm      0.04 / 0.14 / 0.8      0.1 / 0.4 / 1.9    largest where a high sun's glint meets the horizon
    liquid cloud, 490 nm     0.06 / 0.20 / 0.8      0.4 / 1.4 / 4.7    largest in the glory, where single radii resonate
    desert, 490 nm          <.005 / 0.01 / <.05    0.04 / 0.1 / 0.2

The reduced size, for trials: 0.1 % of I over land, 0.2 % over a cloud, 1.1 % over the sea at 865 nm (rms; 16 % at worst, in a
high sun's glint), and 0.001 to 0.003 of DoLP.
"""

import os
import platform
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from importlib.metadata import version
from multiprocessing import get_context, parent_process
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from threading import Thread
from time import perf_counter
from typing import Literal, NamedTuple
from zipfile import BadZipFile

import numpy as np
from threadpoolctl import threadpool_limits

from radsens.kernel import PACKAGE, digest, shared_folder
from radsens.schema import Fault
from radsens.transfer import adding, mie, optics, surfaces
from radsens.transfer.adding import Layer, Streams
from radsens.transfer.gas import pressure_ratio
from radsens.transfer.once import Stratum, stratum
from radsens.transfer.optics import Portion, Scatterer
from radsens.transfer.scattering import Phase
from radsens.transfer.states import AEROSOL_TOP, IceCloud, LiquidCloud, Mode, State, ice_albedo, water_index

Accuracy = Literal["standard", "reduced"]
REFERENCE_WAVELENGTH = 0.55  # at which the thickness of an aerosol is given [µm]
ANGLES = 1801  # of the tabulated scattering matrices
MOLECULAR = 2  # highest order of the scattering matrix of air


class Size(NamedTuple):
    """Gauss nodes of the zenith angle, Fourier orders, radii of a size distribution, and the angle below which the forward
    peak of particles is taken as not scattered [deg]."""

    streams: int
    orders: int
    radii: int
    cut: float


SIZES: dict[Accuracy, Size] = {"standard": Size(32, 48, 1000, 6.0), "reduced": Size(12, 16, 150, 12.0)}
"""Size of a table by its accuracy."""


class Request(NamedTuple):
    """All that a table depends on.

    Attributes
    ----------
    state : the atmosphere and the surface
    wavelength : [nm]
    rayleigh : vertical optical thickness of air [1]
    depolarisation : depolarisation factor of air [1]
    accuracy : which of `SIZES`
    """

    state: State
    wavelength: float
    rayleigh: float
    depolarisation: float = 0.0279
    accuracy: Accuracy = "standard"

    @property
    def name(self) -> str:
        """Name of the table's file: a digest of the request and of the code and the libraries that answer it."""
        text = f"{self.state.model_dump_json()} {self[1:]} {_code()} {version('miepython')}"
        return sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Table:
    """What a request gives.

    Attributes
    ----------
    mu : (node,) cosines of the view and the solar zenith angles, rising [1]
    multiple : (order, node of μ, 3, node of μ₀) I, Q, U of light scattered or reflected more than once, as a bidirectional
        reflectance factor πL/(μ₀E₀) in the meridian frame; cosine orders of I and Q, sine orders of U [1]
    thickness, albedo : (layer,) of `strata` [1]
    angle, elements : (angle,) [rad] and (layer, 4, angle) of their scattering matrices [1]
    """

    mu: np.ndarray
    multiple: np.ndarray
    thickness: np.ndarray
    albedo: np.ndarray
    angle: np.ndarray
    elements: np.ndarray

    @property
    def strata(self) -> list[Stratum]:
        """The layers, from the top, for light scattered once."""
        layers = zip(self.thickness, self.albedo, self.elements, strict=True)
        return [Stratum(thickness, albedo, Phase(self.angle, elements)) for thickness, albedo, elements in layers]


@cache
def _code() -> str:
    return digest([PACKAGE / "elementary.py", *PACKAGE.joinpath("transfer").glob("*.py")])


def tables(requests: Iterable[Request], processes: int = 1, say: Callable[[str], None] | None = None) -> list[Table]:
    """Tables of the requests, in their order; those that are not kept yet are made, in several processes if asked.

    Parameters
    ----------
    processes : at most, to make tables in
    say : is told of each table that is made; the standard error stream if not given
    """
    asked = list(requests)
    found = {request: table for request in dict.fromkeys(asked) if (table := kept(request))}
    missing = [request for request in dict.fromkeys(asked) if request not in found]
    say = say or partial(print, file=sys.stderr, flush=True)
    if missing:
        say(f"radsens: {len(missing)} tables of radiative transfer to make, {_where()}")
        for n, (request, table, seconds) in enumerate(_made(missing, processes), 1):
            found[request] = table
            surface, cloud = request.state.surface.kind, request.state.cloud
            over = f"{cloud.kind} cloud over {surface}" if cloud else surface
            say(f"radsens: table {n} of {len(missing)}: {over} at {request.wavelength:g} nm, {seconds:.1f} s")
    return [found[request] for request in asked]


def _made(missing: list[Request], processes: int) -> Iterable[tuple[Request, Table, float]]:
    """Make and keep the missing tables; each with the seconds that it took.

    Raises
    ------
    Fault : one of the processes was killed
    """
    if processes == 1 or len(missing) == 1:
        yield from map(_make, missing)
        return
    with ProcessPoolExecutor(min(processes, len(missing)), get_context("spawn"), initializer=_begin) as pool:
        try:
            yield from pool.map(_make, missing)
        except BrokenProcessPool as error:
            raise Fault("--threads: a process that made tables was killed, as lack of memory does; give fewer threads") from error


def _begin() -> None:
    """Make a process of the pool end with its parent: Ctrl-C is for that one alone, and one that is killed leaves no orphans."""
    signal(SIGINT, SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _make(request: Request) -> tuple[Request, Table, float]:
    began = perf_counter()
    table = make(request)
    keep(request, table)
    return request, table, perf_counter() - began


def _where() -> str:
    """Where the tables are kept, in words."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        if os.access(folder(), os.W_OK):
            return f"kept in {folder()}"
    except (OSError, RuntimeError):  # the latter: there is no home
        pass
    return "each time anew, since the cache folder cannot be written: see RADSENS_CACHE"


def folder() -> Path:
    """Folder of the tables, beside those of the compiled kernels; it is never another user's, who could change our numbers."""
    return shared_folder().parent / "tables"


def keep(request: Request, table: Table) -> None:
    """Keep a table, whole or not at all; where nothing can be written, it is not kept."""
    with suppress(OSError, RuntimeError):  # the latter: there is no home
        path = folder() / f"{request.name}.npz"
        part = path.with_name(f".{path.stem}.{platform.node()}-{os.getpid()}.npz")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            np.savez(part, **vars(table))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def kept(request: Request) -> Table | None:
    """The table of a request if it is kept and whole."""
    try:
        with (folder() / f"{request.name}.npz").open("rb") as stream, np.load(stream) as file:
            return Table(**{name: file[name] for name in Table.__dataclass_fields__})
    except (OSError, RuntimeError, TypeError, ValueError, KeyError, EOFError, BadZipFile):  # missing, or anything else
        return None


@threadpool_limits.wrap(limits=1)  # threads only get in each other's way on matrices this small, and change the last bits
def make(request: Request) -> Table:
    """Table of a request, by adding and doubling."""
    size = SIZES[request.accuracy]
    streams = adding.gauss(size.streams, size.orders)
    portions = layers_of(request, size)
    layers = [layer(of_layer, streams) for of_layer in portions]
    ground = adding.surface_orders(streams, surfaces.reflection(request.state.surface, request.wavelength))
    total, first = adding.reflect(streams, layers, ground)
    strata = [stratum(of_layer) for of_layer in portions]
    angle = np.linspace(0, np.pi, ANGLES)
    return Table(
        mu=streams.mu,
        multiple=(total - first).astype(np.float32),
        thickness=np.array([one.thickness for one in strata]),
        albedo=np.array([one.albedo for one in strata]),
        angle=angle,
        elements=np.stack([one.phase(np.cos(angle)) for one in strata]),
    )


def layers_of(request: Request, size: Size) -> list[list[Portion]]:
    """What scatters in each layer, from the top: air, a cloud if there is one, air with aerosols."""
    state, wavelength, air = request.state, request.wavelength / 1000, optics.rayleigh(request.depolarisation)
    above = float(pressure_ratio(np.array(state.cloud.top if state.cloud else AEROSOL_TOP)))
    upper = [Portion(request.rayleigh * above, 1.0, air)]
    lower = [Portion(request.rayleigh * (1 - above), 1.0, air), *(_aerosol(mode, wavelength, size) for mode in state.aerosols)]
    return [upper, [_cloud(state.cloud, request.wavelength, size)], lower] if state.cloud else [upper, lower]


def _aerosol(mode: Mode, wavelength: float, size: Size) -> Portion:
    """An aerosol at a wavelength [µm]: its thickness follows its cross-section."""
    here, there = (_spheres(mode, w, size.radii) for w in (wavelength, REFERENCE_WAVELENGTH))
    return Portion(mode.thickness * here.extinction / there.extinction, here.albedo, here.phase, np.radians(size.cut))


@cache
def _spheres(mode: Mode, wavelength: float, radii: int) -> Scatterer:
    sizes = mie.lognormal(mode.median_radius, mode.ln_sigma, radii)
    return mie.mie(wavelength, complex(mode.index, -mode.absorption), sizes, ANGLES)


def _cloud(cloud: LiquidCloud | IceCloud, wavelength: float, size: Size) -> Portion:
    """A cloud at a wavelength [nm]; its thickness is the same at all of them, as its particles are large."""
    if isinstance(cloud, LiquidCloud):
        sizes = mie.gamma(cloud.effective_radius, cloud.effective_variance, size.radii)
        found = mie.mie(wavelength / 1000, water_index(wavelength), sizes, ANGLES)
    else:
        found = optics.ice(cloud.asymmetry, ice_albedo(wavelength))
    return Portion(cloud.thickness, found.albedo, found.phase, np.radians(size.cut))


def layer(portions: list[Portion], streams: Streams) -> Layer:
    """A layer without its forward peaks, its matrix in Fourier orders."""
    smooth = optics.mixed([optics.without_peak(portion) for portion in portions])
    highest = None if any(portion.cap for portion in portions) else MOLECULAR
    return Layer(smooth.thickness, smooth.albedo, adding.phase_orders(streams, smooth.phase, highest))
