"""A product that is not what it should be ends in one sentence with exit code 2, and nothing is written."""

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from netCDF4 import Dataset
from tests import l1_layouts
from tests.workflow_tools import TINY

from radsens.campaign import Campaign
from radsens.chunk import SceneTask
from radsens.instrument import load
from radsens.scenes import render
from radsens.schema import Fault, validated

PARASOL, THREE_MI = "a PARASOL level-1B product in HDF5", "a 3MI level-1C product in netCDF"
I490P, CCD = "Data_Directional_Fields/I490P", "Data_Directional_Fields/CCD_row"
I0490, VZA = "data/overlap_000/measurement_data/r_0490/reflectance_I", "data/overlap_000/geolocation_data/satellite_zenith_angle"


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    """One small product of each kind."""
    folder = tmp_path_factory.mktemp("products")
    l1_layouts.parasol(folder / "parasol_l1b")
    l1_layouts.three_mi(folder / "l1c_3mi", ("490P", "670P", "865P"), ("565NP",), cells=6, overlaps=1, altitude=705)
    return folder


def asked(kind, path, scene=()):
    """A campaign on a product beside it."""
    tree = {**TINY, "scene": {"kind": kind, "path": str(path)} | dict(scene), "strata": {}}
    Path("campaign.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    return "scene", "campaign.yaml", "--output", "scene.nc"


def attribute(dataset, name, value):
    def spoil(path):
        with h5py.File(path, "r+") as file:
            file[dataset].attrs[name] = value

    return spoil


def remade(dataset, shape=None, kind=None, values=None, **how):
    """The dataset in another shape or type, with its attributes."""

    def spoil(path):
        with h5py.File(path, "r+") as file:
            old = file[dataset]
            attributes = {n: v for n, v in old.attrs.items() if n not in ("DIMENSION_LIST", "_Netcdf4Coordinates")}
            sizes, type_ = shape or old.shape, kind or old.dtype
            del file[dataset]
            made = file.create_dataset(dataset, sizes, type_, **how)
            made.attrs.update(attributes)
            if values is not None:
                made[...] = values

    return spoil


def without(name):
    def spoil(path):
        with h5py.File(path, "r+") as file:
            del file[name]

    return spoil


def dataset_instead(group, path):
    with h5py.File(path, "r+") as file:
        del file[group]
        file[group] = np.zeros(3)


def moved(path):
    """Axes in another order: (view, row, column)."""
    with h5py.File(path, "r+") as file:
        for group in ("Data_Directional_Fields", "Quality_Flags_Directional_Fields"):
            for name in list(file[group]):
                old, attributes = file[group][name][...], dict(file[group][name].attrs)
                del file[group][name]
                file[group].create_dataset(name, data=np.moveaxis(old, 2, 0)).attrs.update(attributes)


def flipped(path):
    """A byte of the compressed counts of a dataset is another."""
    with h5py.File(path) as file:
        place = file[I490P].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 12] ^= 0xFF
    path.write_bytes(content)


def other_netcdf(path):
    path.unlink()
    with Dataset(path, "w") as file:
        file.createDimension("x", 1)


def filled(dataset, code):
    def spoil(path):
        with h5py.File(path, "r+") as file:
            file[dataset][...] = code

    return spoil


ANY = {
    "missing": (Path.unlink, "cannot be read (No such file or directory); give the path of a product, a file"),
    "a folder": (
        lambda path: (path.unlink(), path.mkdir()),
        "cannot be read (Is a directory); give the path of a product, a file",
    ),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read as {title} ("),
    "not HDF5": (lambda path: path.write_text("I490P: 0.1\n"), "cannot be read as {title} ("),
    "truncated": (lambda path: os.truncate(path, path.stat().st_size // 2), "cannot be read as {title} ("),
    "another netCDF": (other_netcdf, "{first} is missing or damaged; {title} has it"),
}
DAMAGED_PARASOL = {
    "a flipped byte": (flipped, "cannot be read as a PARASOL level-1B product in HDF5 ("),
    "no group": (without("Data_Directional_Fields"), f"{I490P} is missing or damaged; {PARASOL} has it"),
    "no dataset": (without(CCD), f"{CCD} is missing or damaged; {PARASOL} has it"),
    "no flags": (
        without("Quality_Flags_Directional_Fields"),
        f"Quality_Flags_Directional_Fields/Quality_Flags_02 is missing or damaged; {PARASOL} has it",
    ),
    "a group that is a dataset": (
        lambda path: dataset_instead("Data_Directional_Fields", path),
        f"{I490P} is missing or damaged; {PARASOL} has it",
    ),
    "text": (remade(I490P, kind="S8"), f"{I490P} holds bytes64, which must be int16 or float32 or float64"),
    "wrong type": (remade(I490P, kind="int8"), f"{I490P} holds int8, which must be int16 or float32 or float64"),
    "all missing": (
        filled(I490P, 32767),
        "no sample is left of 480 in bands 490P, 565NP: 480 without a value",
    ),
    "all flagged": (
        filled("Quality_Flags_Directional_Fields/Quality_Flags_02", 1),
        "no sample is left of 480 in bands 490P, 565NP: 480 flagged",
    ),
    "scale 0": (attribute(I490P, "scale_factor", 0.0), f"{I490P}: its scale_factor is 0, which must lie between 1e-12 and 1"),
    "scale nan": (
        attribute(I490P, "scale_factor", np.nan),
        f"{I490P}: its scale_factor is nan, which must lie between 1e-12 and 1",
    ),
    "scale 1e30": (attribute(CCD, "scale_factor", 1e30), f"{CCD}: its scale_factor is 1e+30, which must lie between 1e-12 and 1"),
    "axes in another order": (
        moved,
        "Data_Fields/cloud_indicator has the shape 12 × 10, which must be 4 × 12, from (row, column, view)",
    ),
    "one dataset of another shape": (
        remade(CCD, (10, 12, 4), values=1000),
        f"{CCD} has the shape 10 × 12 × 4, which must be 12 × 10 × 4, from (row, column, view)",
    ),
    "two axes": (
        remade(I490P, (12, 10), values=1000),
        f"{I490P} has the shape 12 × 10; (row, column, view) are at most 3240 × 6480 × 16",
    ),
    "a claim of 5 TB": (
        remade(I490P, (400_000, 400_000, 16), chunks=(8, 8, 16)),
        f"{I490P} has the shape 400000 × 400000 × 16; (row, column, view) are at most 3240 × 6480 × 16",
    ),
    "a claim of 2.7 GB": (
        remade(I490P, (3240, 6480, 16), kind="float64", chunks=(8, 8, 16)),
        f"{I490P} is declared with the shape 3240 × 6480 × 16, but nothing was written into it",
    ),
}
DAMAGED_3MI = {
    "no group": (without("data/overlap_000"), f"data/overlap_000 is missing or damaged; {THREE_MI} has it"),
    "data is a variable": (
        lambda path: dataset_instead("data", path),
        f"data/overlap_000 is missing or damaged; {THREE_MI} has it",
    ),
    "no band": (without("data/overlap_000/measurement_data/r_0490"), f"{I0490} is missing or damaged; {THREE_MI} has it"),
    "no angles": (without(VZA), f"{VZA} is missing or damaged; {THREE_MI} has it"),
    "no geolocation": (
        without("data/overlap_000/geolocation_data"),
        f"data/overlap_000/geolocation_data/solar_zenith_angle is missing or damaged; {THREE_MI} has it",
    ),
    "wrong type": (remade(I0490, kind="int8"), f"{I0490} holds int8, which must be int16 or "),
    "scale 0": (attribute(I0490, "scale_factor", 0.0), f"{I0490}: its scale_factor is 0, which must lie between 1e-12 and 1"),
    "all missing": (filled(I0490, -32767), "no sample of detector ccd is left of 84: 84 without a value"),
    "axes in another order": (
        remade(VZA, (14, 6), values=30),
        f"{VZA} has the shape 14 × 6, which must be 6 × 14, from (cell, view)",
    ),
    "bands of different shapes": (
        remade("data/overlap_000/measurement_data/r_0565/reflectance_I", (7, 14), values=1000),
        "data/overlap_000/measurement_data: the bands of one detector differ in shape: 6 × 14, 7 × 14",
    ),
    "a claim of terabytes": (
        remade(I0490, (1 << 40, 14), chunks=(64, 14)),
        f"{I0490} has the shape 1099511627776 × 14; (cell, view) are at most 67108864 × 64",
    ),
    "a claim of gigabytes": (
        remade(I0490, (1 << 26, 14), chunks=(64, 14)),
        f"{I0490} is declared with the shape 67108864 × 14, but nothing was written into it",
    ),
}


def assert_told(refused, originals, kind, spoil, said):
    path = Path(shutil.copy(originals / kind, "product"))
    words = asked(kind, path)
    spoil(path)
    message = refused(*words)
    assert message.removeprefix("scene.path: ").removeprefix("product").lstrip(": ").startswith(said), message


@pytest.mark.parametrize(("kind", "title", "first"), [("parasol_l1b", PARASOL, I490P), ("l1c_3mi", THREE_MI, "data/overlap_000")])
@pytest.mark.parametrize(("spoil", "said"), ANY.values(), ids=ANY)
def test_a_file_that_is_no_product_is_told_in_one_sentence(here, refused, originals, kind, title, first, spoil, said):
    assert_told(refused, originals, kind, spoil, said.format(title=title, first=first))


def test_a_product_that_is_gone_is_told_before_the_workflow_begins(here, originals, capsys):
    asked("parasol_l1b", "gone.h5")
    with pytest.raises(SystemExit) as stop:
        Campaign.load(yaml.safe_load(Path("campaign.yaml").read_text(encoding="utf-8")))
    assert stop.value.code == 2
    said = "radsens: scene.path: gone.h5 cannot be read (No such file or directory); give the path of a product, a file\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(("spoil", "said"), DAMAGED_PARASOL.values(), ids=DAMAGED_PARASOL)
def test_a_damaged_parasol_product_is_told_in_one_sentence(here, refused, originals, spoil, said):
    assert_told(refused, originals, "parasol_l1b", spoil, said)


@pytest.mark.parametrize(("spoil", "said"), DAMAGED_3MI.values(), ids=DAMAGED_3MI)
def test_a_damaged_3mi_product_is_told_in_one_sentence(here, refused, originals, spoil, said):
    assert_told(refused, originals, "l1c_3mi", spoil, said)


@pytest.mark.parametrize("kind", ["parasol_l1b", "l1c_3mi"])
def test_bytes_changed_anywhere_are_told_in_one_sentence_or_read_as_numbers(here, originals, kind):
    """Random damage of headers, attributes and counts: nothing but a sentence comes out, and never a scene that cannot be."""
    generator, intact = np.random.default_rng(20260101), (originals / kind).read_bytes()
    instrument, spec = load("parasol"), validated(SceneTask, scene_task(kind)).scene
    told = []
    for _ in range(60):
        content = bytearray(intact)
        for place in generator.integers(len(content), size=4):
            content[place] = generator.integers(256)
        Path("product").write_bytes(content)
        try:
            scenes = list(render(spec, instrument, ("490P", "565NP")))
        except Fault as fault:
            told.append(str(fault))
        else:
            assert all(np.isfinite(scene.stokes).all() for scene in scenes)
    assert len(told) > 5
    assert all(len(sentence.splitlines()) == 1 for sentence in told)


def scene_task(kind):
    return {"instrument": "parasol", "bands": ["490P"], "scene": {"kind": kind, "path": "product"}, "strata": {}}


BAD_KNOBS = [
    ({"views": "some"}, "scene.views"),
    ({"views": [0, 0]}, "scene.views: must be all, or different numbers from 0 to 3, got [0, 0]"),
    ({"views": []}, "scene.views: must be all, or different numbers from 0 to 3, got []"),
    ({"rows": [0]}, "scene.rows"),
    ({"rows": [0, 12]}, "scene.rows: must be a first and a last one from 0 to 11, got [0, 12]"),
    ({"reject": [15]}, "scene.reject.0: must be ≤ 14, got 15"),
    ({"u_sign": 2}, "scene.u_sign: must be 1 or -1, got 2"),
    ({"path": ""}, "scene.path"),
    (
        {"window": [0, 1]},
        "scene.window: unknown key, got [0, 1]; allowed are kind, path, views, rows, columns, reject, mirror, u_sign",
    ),
]


@pytest.mark.parametrize(("knobs", "said"), BAD_KNOBS, ids=[str(knobs) for knobs, _ in BAD_KNOBS])
def test_a_knob_that_cannot_be_is_told_in_one_sentence(here, refused, originals, knobs, said):
    assert refused(*asked("parasol_l1b", originals / "parasol_l1b", knobs)).startswith(said)
