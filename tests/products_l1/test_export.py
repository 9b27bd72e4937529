"""A campaign on a product, through the command line: what is exported is the product with the errors of one realisation."""

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from matplotlib.image import imread
from netCDF4 import Dataset
from tests import l1_layouts
from tests.l1_layouts import SCALE

from radsens import io, realise, scenes
from radsens.campaign import Campaign
from radsens.chunk import active_of
from radsens.cli import app, run
from radsens.products.figures import Layout
from radsens.scenes import SCENES

BANDS = {"parasol_l1b": ("490P", "565NP"), "l1c_3mi": ("490P", "763NP", "1650P")}
INSTRUMENTS = {"parasol_l1b": "parasol", "l1c_3mi": "3mi"}
CAMPAIGN = {
    "campaign": "product",
    "strata": {"scene_class": True},
    "seed": 7,
    "realisations": 4,
    "span": 4,
    "sources": {"relative_transmission": {"sigma": 0.02}, "radiometric_noise": {"snr": 200}, "non_linearity": {"sigma": 0.15}},
}
WRITERS = {
    "parasol_l1b": l1_layouts.parasol,
    "l1c_3mi": lambda path: l1_layouts.three_mi(path, ("490P", "670P", "1650P"), ("763NP",), ("1650P",), 12, altitude=817.0),
}
NAMES = {
    "parasol_l1b": {f"Data_Directional_Fields/{n}" for n in ("I490P", "Q490P", "U490P", "I565NP")},
    "l1c_3mi": {
        f"data/overlap_00{n}/measurement_data/{name}"
        for n in (0, 1)
        for name in (*(f"r_{b}/reflectance_{c}" for b in ("0490", "1650") for c in "IQU"), "r_0763/reflectance_I")
    },
}
KINDS = pytest.mark.parametrize("kind", WRITERS)


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    """One product of each kind, in which one sample has no value."""
    folder = tmp_path_factory.mktemp("originals")
    for kind, write in WRITERS.items():
        write(folder / kind)
        with h5py.File(folder / kind, "r+") as file:
            name = next(n for n in sorted(NAMES[kind]) if "Q" in n)
            file[name][(2,) * file[name].ndim] = -32767
    return folder


@pytest.fixture
def campaign(here, originals):
    """Write the YAML of a campaign on a copy of a product of one kind."""

    def lay(kind, **changes):
        shutil.copy(originals / kind, "product")
        tree = {**CAMPAIGN, "instrument": INSTRUMENTS[kind], "bands": list(BANDS[kind]), **changes}
        Path("c.yaml").write_text(yaml.safe_dump({"scene": {"kind": kind, "path": "product"}, **tree}), encoding="utf-8")
        return Campaign.read("c.yaml")

    return lay


def radsens(*words):
    assert run(lambda: app([*map(str, words)])) == 0


def exported(source, realisation=0, *words):
    radsens("export", "c.yaml", source, realisation, "--output", "out", *words)
    return Path("out")


def everything(path):
    """All datasets and attributes of a file, as bytes; what points into memory (references of HDF5) is none."""
    found = {}

    def plain(attribute):
        return not h5py.check_dtype(ref=attribute.dtype) and attribute.dtype.kind not in "OV"

    def take(name, thing):
        attributes = {n: np.asarray(v).tobytes() for n, v in thing.attrs.items() if plain(thing.attrs.get_id(n))}
        values = (thing.dtype.str, thing.shape, thing[()].tobytes()) if isinstance(thing, h5py.Dataset) else ()
        found[name] = (attributes, values)

    with h5py.File(path) as file:
        file.visititems(take)
        found["/"] = {n: str(v) for n, v in file.attrs.items()}
    return found


def unpacked(path, name):
    with h5py.File(path) as file:
        return file[name][()] * float(np.ravel(file[name].attrs.get("scale_factor", 1.0))[0])


# -------------------------------------------------------------------------------------------------------------------- whole files


@KINDS
def test_the_control_is_the_product_with_a_signature(campaign, kind):
    campaign(kind)
    before, after = everything("product"), everything(exported("control"))
    for name in before:
        if name != "/":
            assert after[name] == before[name], name
    assert set(after) - set(before) == {"radsens"}


@KINDS
def test_only_the_stokes_of_the_bands_of_the_campaign_are_changed(campaign, kind):
    campaign(kind)
    before, after = everything("product"), everything(exported("relative_transmission", 2))
    changed = {n for n in before if n != "/" and before[n] != after[n]}
    polarised = {n for n in NAMES[kind] if "565" not in n and "763" not in n}  # the source acts on polarisers
    assert changed == polarised
    for name in changed:  # values alone: attributes and packing stay
        assert after[name][0] == before[name][0]
        assert after[name][1][:2] == before[name][1][:2]


def text(attribute):
    """A text of HDF5, which netCDF writes as bytes."""
    return attribute.decode() if isinstance(attribute, bytes) else attribute


@KINDS
def test_an_export_says_where_it_comes_from(campaign, kind):
    found = campaign(kind)
    with h5py.File(exported("non_linearity", 3)) as file:
        about, history = dict(file["radsens"].attrs), text(file.attrs["history"])
    assert (text(about["campaign_id"]), text(about["key"])) == (found.id, found.keys["non_linearity"])
    assert (text(about["error_source"]), int(np.ravel(about["realisation"])[0])) == ("non_linearity", 3)
    assert history.endswith(f"calibration error of non_linearity, realisation 3, campaign product ({found.id})")
    assert history.startswith("made by nobody\n") == (kind == "parasol_l1b")


def test_netcdf_reads_what_was_exported_from_netcdf(campaign):
    campaign("l1c_3mi")
    for words in ((), ("--float32",)):
        with Dataset(exported("non_linearity", 1, *words)) as file:
            values = file["data/overlap_001/measurement_data/r_0490/reflectance_I"]
            assert values.dimensions == ("geo_reference_grid_cells", "viewing_directions_VNIR")
            assert 0.05 < values[...].mean() < 0.5
            assert file.spacecraft == "SGA1"
            assert file["quality"].duration_of_product == 100.0


# ------------------------------------------------------------------------------------------------------------------------- errors


def expected_gaps(found, source, realisation):
    """ΔI, ΔQ, ΔU of each band in the frame and unit of the product, at the addresses of its samples."""
    spec, task = found.config.scene, found.task(source)
    for scene in scenes.render(spec, found.instrument, found.config.bands):
        here = realise.acting(active_of(task), found.instrument, scene.band)
        gap = realise.gap_image(task, found.instrument, scene, here, realisation)
        stokes = np.zeros((3, scene.theta.size))
        stokes[: min(3, len(gap))] = scene.stokes[0] * gap[:3]
        module = SCENES[spec.kind]
        names = module.stored(scene.band, found.instrument.band(scene.band).polarised)
        for name, values in zip(names, module.to_product(spec, stokes, scene), strict=False):
            yield name, scene.sample, values


def difference(kind, name, sample):
    """What the export changed, at samples of the product; groups one after the other."""
    names = [name] if kind == "parasol_l1b" else [f"data/overlap_00{n}/{name}" for n in (0, 1)]
    return np.concatenate([(unpacked("out", n) - unpacked("product", n)).ravel() for n in names])[sample]


@KINDS
@pytest.mark.parametrize(
    ("words", "rounding"),
    # counts are rounded once: half a step. 32 bits have 24 significant: 6e-8 of the value, rounded before and after the sum,
    # and once more where the product was counts
    [((), 0.5 * SCALE), (("--float32",), 3 * 6e-8)],
    ids=["packed", "float32"],
)
@pytest.mark.parametrize("source", ["relative_transmission", "radiometric_noise", "non_linearity"])
def test_the_gaps_of_the_realisation_are_in_the_file(campaign, kind, words, rounding, source):
    found = campaign(kind)
    exported(source, 2, *words)
    largest = 0.0
    for name, sample, expected in expected_gaps(found, source, 2):
        got = difference(kind, name, sample)
        np.testing.assert_allclose(got, expected, rtol=0, atol=rounding + 1e-12)
        largest = max(largest, np.abs(expected).max())
    assert largest > 5 * SCALE  # else nothing would be shown


@KINDS
def test_an_export_without_packing_is_read_as_a_product_again(campaign, kind):
    """What had no value still has none, and the gaps below a step of the packing are there."""
    found = campaign(kind)
    first = {s.band: s for s in scenes.render(found.config.scene, found.instrument, found.config.bands)}
    shutil.copy(exported("radiometric_noise", 1, "--float32"), "again")
    again = found.config.scene.model_copy(update={"path": "again"})
    for scene in scenes.render(again, found.instrument, found.config.bands):
        np.testing.assert_array_equal(scene.sample, first[scene.band].sample)
        assert scene.remark == first[scene.band].remark
        task = found.task("radiometric_noise")
        here = realise.acting(active_of(task), found.instrument, scene.band)
        gap = realise.gap_image(task, found.instrument, first[scene.band], here, 1)
        np.testing.assert_allclose((scene.stokes[0] / first[scene.band].stokes[0] - 1), gap[0], rtol=0, atol=3e-7)


# ------------------------------------------------------------------------------------------------------------------- the campaign


@KINDS
def test_a_campaign_on_a_product_has_a_control_of_rounding_only(campaign, kind, capsys):
    found = campaign(kind)
    radsens("check", "c.yaml")
    said = " ".join(capsys.readouterr().out.split())
    assert "samples" in said and "left out: " in said and "1 without a value" in said
    radsens("scene", "c.yaml", "--output", found.scene, "--key", found.scene_key)
    radsens("realise", "control", "000000-000000", "--task", "c.yaml", "--output", "control.nc")
    rows = io.read("control.nc")
    assert rows["n"][0, 0, 0, 0] > 100
    assert np.nanmax(np.abs(rows["max"][..., :4])) < 1e-12
    strata = set(map(str, rows["stratum"]))
    assert ("scene_class:cloudy" in strata) == (kind == "parasol_l1b")


def test_a_product_under_another_name_gives_the_same_keys(campaign):
    found = campaign("parasol_l1b")
    shutil.copy("product", "elsewhere")
    text = Path("c.yaml").read_text(encoding="utf-8").replace("path: product", "path: elsewhere")
    Path("c.yaml").write_text(text, encoding="utf-8")
    assert Campaign.read("c.yaml").id == found.id


# ---------------------------------------------------------------------------------------------------------------- what is refused


def test_a_scene_that_is_no_product_has_nothing_to_export(campaign, refused):
    campaign("parasol_l1b", scene={"kind": "uniform", "i": 0.2, "dolp": 0.3, "aolp": 20, "pixels": 20}, strata={})
    said = refused("export", "c.yaml", "control", 0, "--output", "out")
    assert said == "scene.kind: uniform is no product, so that there is nothing to export; parasol_l1b and l1c_3mi are"


def test_a_realisation_or_a_source_that_the_campaign_lacks_is_refused(campaign, refused):
    campaign("parasol_l1b")
    said = refused("export", "c.yaml", "non_linearity", 4, "--output", "out")
    assert said == "realisation: must be below 4, as many as non_linearity has in the campaign, got 4"
    assert refused("export", "c.yaml", "stray_light", 0, "--output", "out").startswith(
        "source: 'stray_light' is not in the campaign"
    )


def test_the_product_itself_is_never_written_over(campaign, refused):
    campaign("parasol_l1b")
    said = refused("export", "c.yaml", "control", 0, "--output", "product")
    assert said == "--output: product is the product itself, which stays as it is; give another name"


@KINDS
def test_an_export_is_not_exported_again(campaign, refused, kind, capsys):
    campaign(kind)
    shutil.move(exported("non_linearity", 1), "product")
    capsys.readouterr()
    said = refused("export", "c.yaml", "control", 0, "--output", "again")
    assert said.startswith("scene.path: the product has a group radsens: it is an export already")


def test_an_output_that_cannot_be_written_leaves_nothing(campaign, refused):
    campaign("parasol_l1b")
    said = refused("export", "c.yaml", "control", 0, "--output", "product/out")
    assert said.startswith("product/out: cannot be written (")


def test_values_that_do_not_fit_the_packing_are_cut_and_counted(campaign, capsys):
    """Radiances near the largest count, 3.2767: with 2 % of error some go beyond."""
    campaign("parasol_l1b")
    with h5py.File("product", "r+") as file:
        file["Data_Directional_Fields/I565NP"][:, :3, :] = 32700
    capsys.readouterr()
    exported("radiometric_noise", 0)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert said[0] == "out"
    cut = int(said[1].split()[1])
    with h5py.File("out") as file:
        counts = file["Data_Directional_Fields/I565NP"][:, :3, :]
    assert 0 < cut == np.count_nonzero(counts == 32766)
    assert counts.max() == 32766  # 32767 means that there is no value


@KINDS
def test_the_samples_of_a_product_are_drawn_where_the_detector_saw_them(campaign, kind):
    scene = next(scenes.render(campaign(kind).config.scene, campaign(kind).instrument, BANDS[kind]))
    layout = Layout.of(scene, 1.0, shown=1)
    assert layout.index is None
    assert layout.spread
    radsens("show", "c.yaml", "--view", 1, "--band", BANDS[kind][0], "--output", "scene.png")
    assert np.unique(imread("scene.png")[..., :3].reshape(-1, 3), axis=0).shape[0] > 100


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from radsens.cli import main
main()
"""


def test_a_disk_without_room_for_an_export_is_met_before_hdf5_ends_the_process(campaign):
    campaign("parasol_l1b")
    room = Path("product").stat().st_size + 6000  # enough for the copy, not for the datasets that are made anew beside the old
    words = ("export", "c.yaml", "relative_transmission", "0", "--output", "out", "--float32")
    ended = subprocess.run([sys.executable, "-c", LIMITED, str(room), *words], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith("radsens: out: cannot be written (File too large); nothing was kept")
    assert sorted(path.name for path in Path().iterdir()) == ["c.yaml", "product"]


@KINDS
def test_of_a_damaged_product_the_product_is_blamed_and_not_the_output(campaign, kind, capsys):
    campaign(kind)
    Path("product").write_bytes(Path("product").read_bytes()[:20000])
    assert run(lambda: app(["export", "c.yaml", "control", "0", "--output", "out"])) == 2
    assert capsys.readouterr().err.startswith("radsens: product: cannot be read as a ")
    assert not Path("out").exists()
