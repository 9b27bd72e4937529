"""A scene on its way through a file: band by band, the pixels of each detector once, and checked bit by bit."""

import weakref
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from netCDF4 import Dataset
from tests.workflow_tools import one_sentence

from radsens import chunk, io
from radsens.campaign import Campaign
from radsens.config import parse
from radsens.gather import gather
from radsens.instrument import FocalPlane, Polarimeter
from radsens.products.images import write_image
from radsens.scenes import files, render
from radsens.scenes.analytic import Analytic
from radsens.schema import Fault

BANDS = ("P1", "P2", "N1")
SPEC = Analytic(kind="analytic", step=4)
ABOUT = {"key": "0123456789ab"}
TREE = {
    "campaign": "two",
    "instrument": "ideal",
    "bands": list(BANDS),
    "scene": {"kind": "analytic", "step": 4},
    "strata": {"field": [0, 20, 65]},
    "seed": 3,
    "realisations": 4,
    "span": 2,
    "sources": {"non_linearity": {"sigma": 0.01}},
}


@pytest.fixture(scope="module")
def double(ideal):
    """An instrument whose second band has a smaller detector of its own."""
    plane = FocalPlane(rows=61, columns=41, pitch_row=0.1, pitch_column=0.12, focal_length=3.57)
    small = ideal.detectors[0].model_copy(update={"name": "small", "focal_plane": plane})
    bands = tuple(b.model_copy(update={"detector": "small"}) if b.name == "P2" else b for b in ideal.bands)
    return Polarimeter.model_validate({**dict(ideal), "detectors": (*ideal.detectors, small), "bands": bands})


@pytest.fixture(scope="module")
def scenes(double):
    return {scene.band: scene for scene in render(SPEC, double, BANDS)}


@pytest.fixture
def path(scenes, tmp_path):
    files.write(tmp_path / "scene.nc", scenes.values(), ABOUT)
    return tmp_path / "scene.nc"


@pytest.fixture
def campaign(double, here, monkeypatch):
    """A campaign on that instrument, with its scene."""
    monkeypatch.setattr("radsens.instrument.load", lambda name: double)
    found = Campaign(parse(TREE))
    chunk.write_scene(found.scene_spec, found.scene)
    return found


PIXEL = ("x", "y", "theta", "detector", "sample", "view", "scene_class", "geometry")


def test_bands_of_one_detector_share_their_pixels_and_those_of_another_have_others(scenes):
    for name in PIXEL:
        assert getattr(scenes["N1"], name) is getattr(scenes["P1"], name)
        assert getattr(scenes["P2"], name) is not getattr(scenes["P1"], name)
    assert [(s.plane, s.shape, s.theta.size) for s in scenes.values()] == [
        ("ccd", (274, 242), 68 * 60),
        ("small", (61, 41), 15 * 10),
        ("ccd", (274, 242), 68 * 60),
    ]


@pytest.mark.parametrize("band", BANDS)
def test_a_band_comes_back_as_it_was_with_its_further_fields_in_single_precision(scenes, path, band):
    found, expected = files.read(path, band), scenes[band]
    for name in (f.name for f in fields(expected) if f.name != "geometry"):
        one, other = getattr(found, name), getattr(expected, name)
        assert np.array_equal(one, other), name
        assert np.asarray(one).dtype == np.asarray(other).dtype, name
    assert list(found.geometry) == list(expected.geometry)
    for name, values in expected.geometry.items():
        np.testing.assert_array_equal(found.geometry[name], values.astype(np.float32), strict=True)
    assert files.read(path, band, geometry=False).geometry == {}


@pytest.mark.parametrize("size", [1 << 10, 1 << 20])
def test_the_pieces_of_a_band_are_its_pixels_in_their_order(path, size):
    whole = files.read(path, "P2", geometry=False)
    found = list(files.pieces(path, whole.part(np.arange(0)), size))
    assert [piece.theta.size for piece in found] == [piece.theta.size for piece in whole.pieces(size)]
    for name in ("stokes", *files.FIELDS):
        joined = np.concatenate([getattr(piece, name) for piece in found], axis=-1)
        np.testing.assert_array_equal(joined, getattr(whole, name), strict=True)
    assert {(piece.band, piece.plane, piece.class_names) for piece in found} == {("P2", whole.plane, whole.class_names)}


def test_a_file_that_goes_away_between_its_pieces_is_told_in_a_sentence(path, tmp_path):
    whole = files.read(path, "P2", geometry=False)
    with pytest.raises(Fault, match=r"gone.nc: cannot be read any more \("):
        list(files.pieces(tmp_path / "gone.nc", whole, 100))


def test_a_file_tells_its_bands_and_whose_it_is_and_holds_the_pixels_of_each_detector_once(path):
    bands, about = files.about(path)
    assert bands == BANDS
    assert about["key"] == ABOUT["key"]
    with Dataset(path) as dataset:
        assert {n for n in dataset.variables if n.startswith(("x_", "sample_", "stokes_"))} == {
            "stokes_component", *(f"stokes_{b}" for b in BANDS), "x_ccd", "x_small", "sample_ccd", "sample_small",
        }  # fmt: skip
        assert dataset["stokes_N1"].dimensions == ("stokes_component", "pixel_ccd")
        assert dataset["geometry_vza_small"].dtype == np.float32


def test_no_band_is_in_memory_while_the_next_is_made_or_read(scenes, tmp_path, campaign, monkeypatch):
    seen = []

    def watched(make):
        def made(*arguments, **settings):
            assert not any(stokes() is not None for stokes in seen)
            scene = make(*arguments, **settings)
            scene = replace(scene, stokes=scene.stokes.copy())
            seen.append(weakref.ref(scene.stokes))
            return scene

        return made

    files.write(tmp_path / "scene.nc", map(watched(scenes.get), BANDS), ABOUT)
    assert len(seen) == 3
    monkeypatch.setattr(files, "read", watched(files.read))
    chunk.compute(campaign.task("non_linearity"), campaign.scene, range(2))
    assert len(seen) == 7  # three bands, and the names of the strata


# --- digests ----------------------------------------------------------------------------------------------------------


def spoil(path, name):
    """Flip a bit of the values of a variable."""
    content, values = bytearray(path.read_bytes()), io.read(path)[name].tobytes()
    content[content.index(values) + 3] ^= 1
    path.write_bytes(content)


def test_only_the_band_that_is_read_is_checked(path):
    spoil(path, "stokes_P2")
    assert files.read(path, "P1").band == "P1"
    with pytest.raises(Fault, match=r"scene\.nc: damaged: its data do not have the digest"):
        files.read(path, "P2")
    with pytest.raises(Fault, match="damaged"):
        io.read(path)


def test_further_fields_that_are_not_asked_for_are_not_checked(path):
    spoil(path, "geometry_sza_ccd")
    assert files.read(path, "N1", geometry=False).band == "N1"
    with pytest.raises(Fault, match="damaged"):
        files.read(path, "N1")


def test_a_digest_that_was_changed_with_its_values_does_not_go_unnoticed(path):
    with Dataset(path, "r+") as dataset:
        dataset["stokes_P1"][:] = 0.5
        dataset["stokes_P1"].sha256 = sha256(np.full((3, 68 * 60), 0.5).tobytes()).hexdigest()
    with pytest.raises(Fault, match="damaged"):
        files.about(path)


def test_the_digest_of_a_file_is_that_of_its_variables_whatever_their_order(path):
    file = io.read(path)
    assert file.attributes[io.DIGEST] == io.results_sha256(file.variables)
    assert io.results_sha256(dict(sorted(file.variables.items()))) == file.attributes[io.DIGEST]


ONE = io.Variable(("x",), np.array([1.0, 2.0]))
OTHERS = {
    "a name": {"b": ONE},
    "an axis": {"a": replace(ONE, dimensions=("y",))},
    "a type": {"a": replace(ONE, values=np.array([1, 2]))},
    "a value": {"a": replace(ONE, values=np.array([1.0, np.nextafter(2, 3)]))},
    "a shape": {"a": io.Variable(("x", "y"), np.array([[1.0, 2.0]]))},
    "one more": {"a": ONE, "b": ONE},
    "numbers as text": {"a": replace(ONE, values=np.array(["1.0", "2.0"], dtype=object))},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_the_digest_of_a_file_changes_with(other):
    assert io.results_sha256(other) != io.results_sha256({"a": ONE})
    assert io.results_sha256({"a": replace(ONE, attributes={"units": "1"})}) == io.results_sha256({"a": ONE})


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_band_that_the_file_has_not_is_told_with_those_that_it_has(path):
    with pytest.raises(Fault, match=r"scene\.nc: has no band 'P3'; it has P1, P2, N1"):
        files.read(path, "P3")


def test_bands_of_different_classes_are_refused_and_nothing_is_kept(scenes, tmp_path):
    odd = replace(scenes["P2"], class_names=("land", "sea"))
    with pytest.raises(Fault, match="band P2 has other scene classes than band P1"):
        files.write(tmp_path / "scene.nc", [scenes["P1"], odd], ABOUT)
    assert not list(tmp_path.iterdir())


def test_a_scene_that_fails_on_the_way_leaves_no_file_and_keeps_its_own_sentence(scenes, tmp_path):
    def rendered():
        yield scenes["P1"]
        raise OSError("the product of P2 cannot be read")

    with pytest.raises(OSError, match="the product of P2"):
        files.write(tmp_path / "scene.nc", rendered(), ABOUT)
    assert not list(tmp_path.iterdir())


def test_more_samples_than_have_addresses_are_refused(scenes, double, monkeypatch):
    many = replace(scenes["P1"], sample=scenes["P1"].sample + 2**32)
    monkeypatch.setattr("radsens.scenes.analytic.render", lambda spec, instrument, bands: iter([many]))
    with pytest.raises(Fault, match=r"samples in band P1, at most 2\^32 are addressed"):
        list(render(SPEC, double, ["P1"]))


# --- campaigns --------------------------------------------------------------------------------------------------------


def test_each_band_has_the_pixels_and_the_draws_of_its_own_detector(campaign):
    made = chunk.compute(campaign.task("non_linearity"), campaign.scene, range(4))
    assert made["n"][0, :, 0, 0].tolist() == [68 * 60, 15 * 10, 68 * 60]
    drawn = made["non_linearity"]  # (realisation, band): one draw for all bands of a detector
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 2])
    assert (drawn[:, 0] != drawn[:, 1]).all()


def test_images_of_two_detectors_stand_side_by_side_in_their_file(campaign):
    path, _ = write_image(campaign, "non_linearity", 1, None, "P2")
    image = io.read(path)
    assert image.variables["I_gap_ccd"].dimensions == ("band_ccd", "row_ccd", "column_ccd")
    assert image["I_gap_ccd"].shape == (2, 68, 60)
    assert image["I_gap_small"].shape == (1, 15, 10)
    assert image["band"].tolist() == list(BANDS)
    row = chunk.compute(campaign.task("non_linearity"), campaign.scene, range(1, 2))
    assert image["I_gap_small"].mean() == pytest.approx(row["mean"][0, 1, 0, 0], rel=1e-12)


def test_chunks_of_other_bits_of_the_scene_are_not_joined(campaign):
    """As when the scene is lost between two spans, and rendered again on a processor that rounds otherwise."""
    task, folder = campaign.task("non_linearity"), campaign.chunk_folder("non_linearity")
    old, young = (f"{folder}/{span}.nc" for span in campaign.spans("non_linearity"))
    first = chunk.write_chunk(task, campaign.scene, range(2), Path(old))
    bands, about = files.about(campaign.scene)
    assert first.attributes["scene_sha256"] == about[io.DIGEST]
    again = [files.read(campaign.scene, band) for band in bands]
    again[0].stokes[0, 0] = np.nextafter(again[0].stokes[0, 0], 1)
    files.write(campaign.scene, again, about)
    second = chunk.compute(task, campaign.scene, range(2, 4))
    io.write(young, replace(second, attributes={**second.attributes, "date_created": "2999-01-01T00:00:00+00:00"}))
    with pytest.raises(Fault) as fault:
        gather(Path(folder), 4, 2)
    said = one_sentence(f"radsens: {fault.value}")
    assert "the chunk 000000-000001 was computed on other bits of the scene than 000002-000003" in said
    assert "take it away, and the next run makes it again" in said
    chunk.write_chunk(task, campaign.scene, range(2), Path(old))
    assert gather(Path(folder), 4, 2).attributes["scene_sha256"] == files.about(campaign.scene)[1][io.DIGEST]
