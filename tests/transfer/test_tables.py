"""Tables of radiative transfer: made once, kept whole, the same each time, and good enough."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
from tests.workflow_tools import TIMEOUT

from radsens.scenes.landscape import PRESETS
from radsens.transfer import adding, surfaces, tables
from radsens.transfer.once import Directions
from radsens.transfer.rendering import fine, smooth, stokes
from radsens.transfer.states import LiquidCloud, Mode, State
from radsens.transfer.surfaces import Lambertian
from radsens.transfer.tables import Request, Size

GROUND = Lambertian(kind="lambertian", albedo=0.1)
HAZE = Mode(median_radius=0.1, ln_sigma=0.4, index=1.45, absorption=0.005, thickness=0.3)
AIR = Request(State(surface=GROUND), 490, 0.15, 0.0279, "reduced")
HAZY = AIR._replace(state=State(surface=GROUND, aerosols=(HAZE,)))
CLOUDY = AIR._replace(state=State(surface=GROUND, cloud=LiquidCloud(kind="liquid", effective_radius=5, effective_variance=0.1)))


@pytest.fixture
def private(tmp_path, monkeypatch):
    """A folder of tables of one's own; what is said of those that are made."""
    monkeypatch.setenv("RADSENS_CACHE", str(tmp_path))
    return []


def same(a, b):
    return all((getattr(a, name) == getattr(b, name)).all() for name in vars(a))


def test_a_table_is_made_once_and_then_read(private):
    (first,) = tables.tables([HAZY], say=private.append)
    assert len(private) == 2 and "1 of 1: lambertian at 490 nm" in private[1]
    (second,) = tables.tables([HAZY], say=private.append)
    assert len(private) == 2 and same(first, second)


def test_a_table_is_made_with_the_same_bits_in_another_process(private):
    mine = tables.make(HAZY)
    theirs = tables.tables([HAZY, AIR], processes=2, say=private.append)
    assert same(mine, theirs[0]) and len(private) == 3


def test_equal_requests_make_one_table_and_each_gets_it(private):
    made = tables.tables([AIR, HAZY, AIR], say=private.append)
    assert same(made[0], made[2]) and not same(made[0], made[1]) and len(private) == 3


@pytest.mark.parametrize(
    "damage", [lambda old: old[: len(old) // 2], lambda old: b"", lambda old: old[:3000] + b"?" + old[3001:]]
)
def test_a_damaged_table_is_made_again(private, damage):
    (whole,) = tables.tables([AIR], say=private.append)
    path = tables.folder() / f"{AIR.name}.npz"
    path.write_bytes(damage(path.read_bytes()))
    assert tables.kept(AIR) is None
    assert same(tables.tables([AIR], say=private.append)[0], whole)


def test_where_nothing_can_be_kept_tables_are_made_all_the_same(private, tmp_path):
    (tmp_path / "tables").write_text("in the way")
    assert same(tables.tables([AIR], say=private.append)[0], tables.make(AIR))
    assert "each time anew" in private[0]


def test_no_table_is_read_from_or_left_in_the_folder_that_all_users_share(tmp_path, monkeypatch, private):
    """A cache that cannot be written is not replaced by /tmp/tables, where another user's file would be believed."""
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("RADSENS_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    tables.tables([AIR], say=private.append)
    assert list((tmp_path / "tmp").iterdir()) == []


POOL = """
from tests.transfer.test_tables import CLOUDY, HAZY
from radsens.transfer.tables import tables
if __name__ == "__main__":
    tables([CLOUDY._replace(wavelength=w, accuracy="standard") for w in range(500, 900)], processes=2)
"""


def test_processes_that_make_tables_end_with_the_command_that_is_killed(private, tmp_path):
    (tmp_path / "pool.py").write_text(POOL)
    begun = subprocess.Popen(
        [sys.executable, "pool.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    children = Path(f"/proc/{begun.pid}/task/{begun.pid}/children")
    until(lambda: len(list((tmp_path / "tables").glob("*.npz"))) > 0)
    workers = [Path(f"/proc/{pid}") for pid in children.read_text().split()]
    begun.kill()
    begun.wait()
    assert len(workers) >= 2
    until(lambda: not any(worker.exists() for worker in workers))


def until(true):
    end = monotonic() + TIMEOUT
    while not true():
        assert monotonic() < end
        sleep(0.05)


def test_an_array_under_the_name_of_a_table_is_no_table(private):
    tables.folder().mkdir()
    with (tables.folder() / f"{AIR.name}.npz").open("wb") as file:
        np.save(file, np.arange(3))
    assert tables.kept(AIR) is None


def test_a_table_has_another_name_for_whatever_changes_it():
    others = [HAZY, AIR._replace(wavelength=491), AIR._replace(rayleigh=0.16), AIR._replace(accuracy="standard")]
    assert len({AIR.name, *(request.name for request in others)}) == 5


def test_aerosol_thickness_follows_its_cross_section_from_550_nm():
    def haze(wavelength):
        lowest = tables.layers_of(HAZY._replace(wavelength=wavelength), tables.SIZES["reduced"])[-1]
        return lowest[1].thickness

    assert haze(550) == pytest.approx(0.3, rel=1e-12)
    angstrom = np.log(haze(490) / haze(865)) / np.log(865 / 490)
    assert 1.5 < angstrom < 2.5  # fine particles (Ångström exponents of smoke and pollution: 1.5 to 2.2, Dubovik et al. 2002)


def test_air_is_shared_between_the_layers_by_pressure():
    above, cloud, below = tables.layers_of(CLOUDY, tables.SIZES["reduced"])
    assert above[0].thickness + below[0].thickness == pytest.approx(CLOUDY.rayleigh, rel=1e-12)
    assert above[0].thickness / CLOUDY.rayleigh == pytest.approx(0.785, abs=0.002)  # 795 hPa at 2 km (ISO 2533)
    assert cloud[0].thickness == 10


@pytest.mark.parametrize("request_", [AIR, HAZY], ids=["air", "haze"])
def test_the_smooth_part_between_the_nodes_is_what_the_solver_gives_there(request_):
    """Towards the zenith too, where odd orders go as sin θ, which is no polynomial in cos θ."""
    request_ = request_._replace(accuracy="standard")
    size, cosines, azimuths = (
        tables.SIZES["standard"],
        np.array([0.45, 0.6, 0.8, 0.97, 0.9995, 1.0]),
        np.radians([0, 30, 100, 180]),
    )
    table = tables.make(request_)
    directions = Directions.of(*(a.ravel() for a in np.meshgrid(cosines, cosines, azimuths, indexing="ij")))
    rendered = smooth(fine(table, (0.4, 1.0), (0.4, 1.0)), directions)
    streams = adding.gauss(size.streams, size.orders, extra=cosines)
    layers = [tables.layer(portions, streams) for portions in tables.layers_of(request_, size)]
    ground = adding.surface_orders(streams, surfaces.reflection(GROUND, 490))
    total, first = adding.reflect(streams, layers, ground)
    asked = (total - first)[:, size.streams :, :, size.streams :]
    solved = np.moveaxis(adding.synthesise(asked, azimuths), 1, 0).reshape(3, -1)
    assert rendered == pytest.approx(solved, abs=2e-4 * np.abs(solved).max())


@pytest.mark.parametrize(("name", "wavelength", "rayleigh"), [("clear_ocean", 865.0, 0.0155), ("liquid_cloud", 490.0, 0.156)])
def test_the_shipped_size_is_converged(name, wavelength, rayleigh, monkeypatch):
    """Against a larger solver and a narrower cut, in 99 of 100 directions; `tables` says what a much larger one gives."""
    request_ = Request(PRESETS[name], wavelength, rayleigh)
    rng = np.random.default_rng(1)
    mu, mu0 = np.cos(np.radians(rng.uniform(0, 65, 4000))), np.cos(np.radians(rng.uniform(10, 60, 4000)))
    directions, ground = (
        Directions.of(mu, mu0, rng.uniform(-np.pi, np.pi, 4000)),
        surfaces.reflection(PRESETS[name].surface, wavelength),
    )

    def light():
        table = tables.make(request_)
        return stokes(table, fine(table, (0.4, 1.0), (0.45, 1.0)), ground, directions)

    shipped = light()
    monkeypatch.setitem(tables.SIZES, "standard", Size(40, 60, 1000, 4.5))
    larger = light()
    dolp = [np.hypot(one[1], one[2]) / one[0] for one in (shipped, larger)]
    assert np.quantile(np.abs(shipped[0] / larger[0] - 1), 0.99) < 0.002
    assert np.quantile(np.abs(dolp[0] - dolp[1]), 0.99) < 0.002


def test_spheres_larger_than_aerosols_are_refused():
    """They are no aerosol, and their Mie series take minutes."""
    with pytest.raises(ValueError, match=r"effective radius is 18\.3 µm, at most 5 is aerosol"):
        Mode(median_radius=0.5, ln_sigma=1.2, index=1.45, thickness=0.1)
