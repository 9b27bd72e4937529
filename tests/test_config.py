"""Bad input: one sentence that says where, what is allowed and what came; exit code 2, no traceback, nothing written."""

import os
from pathlib import Path
from typing import get_args

import pytest
import yaml
from annotated_types import Ge, Gt, Le, Lt
from tests.workflow_tools import ABSENT, TINY, changed

from radsens import config
from radsens.cli import app, run
from radsens.scenes.collection import Collection
from radsens.scenes.mixture import Acquisition
from radsens.scenes.single import Single
from radsens.schema import Fault
from radsens.sources import SOURCES

GRID = {
    "kind": "grid",
    "i": {"start": 0.1, "stop": 0.2, "steps": 2},
    "dolp": {"start": 0, "stop": 0.9, "steps": 3},
    "aolp": {"start": 0, "stop": 50, "steps": 2},
}


NAME = "must be letters, digits, _ and - alone, not beginning with -"
BAD_KNOBS = [
    # a key that is not known, at each level
    (changed(seeed=1), "seeed: unknown key, got 1; allowed are campaign, instrument, bands, "),
    (changed(scene__pixel=1), "scene.pixel: unknown key, got 1; allowed are kind, i, dolp, aolp, pixels"),
    (
        changed(scene={**GRID, "i": {"first": 1}}),
        "scene.i.first: unknown key, got 1; allowed are start, stop, steps (and 3 more)",
    ),
    (changed(strata__rings=[0, 1]), "strata.rings: unknown key, got [0, 1]; allowed are field, dolp, radiance, aolp, "),
    (changed(measurement={"nois": True}), "measurement.nois: unknown key, got True; allowed are noise, quantisation, saturation"),
    (
        changed(sources__polariser_orientation__sigm=1),
        "sources.polariser_orientation.sigm: unknown key, got 1; allowed are sigma, ",
    ),
    (changed(sources__stray_light={"sigma": 1}), "sources.stray_light: unknown key; allowed are polariser_orientation, "),
    # a misspelt key is told before the one that it leaves missing
    (changed(realisations=ABSENT, realisation=5), "realisation: unknown key, got 5; allowed are campaign, "),
    (changed(realisations=ABSENT), "realisations: must be given"),
    # out of range
    (changed(realisations=0), "realisations: must be ≥ 1, got 0"),
    (changed(realisations=-3), "realisations: must be ≥ 1, got -3"),
    (changed(span=0), "span: must be ≥ 1, got 0"),
    (changed(seed=-1), "seed: must be ≥ 0, got -1"),
    (changed(seed=2**64), "seed: must be < 18446744073709551616, got 18446744073709551616"),
    (changed(scene__i=0), "scene.i: must be > 0.0, got 0"),
    (changed(scene__dolp=1.5), "scene.dolp: must be ≤ 1.0, got 1.5"),
    (changed(strata__aolp=1), "strata.aolp: must be ≥ 2, got 1"),
    (changed(strata__field=[10]), "strata.field: must have at least 2 items, got [10]"),
    (changed(strata__field=[0, 30, 20]), "strata.field: the edges must rise, got [0.0, 30.0, 20.0]"),
    (changed(bands=[]), "bands: must have at least 1 items, got []"),
    # no number
    (changed(scene__i=float("nan")), "scene.i: must be a finite number, got nan"),
    (changed(sources__non_linearity__sigma=float("inf")), "sources.non_linearity.sigma: must be a finite number, got inf"),
    (changed(strata__field=[0, float("nan")]), "strata.field.1: must be a finite number, got nan"),
    # of another type
    (changed(realisations="many"), "realisations: must be a whole number, got 'many'"),
    (changed(realisations=2.5), "realisations: must be a whole number, got 2.5"),
    (changed(realisations=True), "realisations: must not be true; Monte Carlo realisations of each source [1]"),
    (changed(realisations=None), "realisations: must be a whole number, got None"),
    (changed(realisations=[5]), "realisations: must be a whole number, got [5]"),
    (changed(sources__non_linearity__sigma="small"), "sources.non_linearity.sigma: must be a number, got 'small'"),
    (changed(sources__non_linearity__sigma={"value": 1}), "sources.non_linearity.sigma: must be a number"),
    (changed(measurement={"noise": "perhaps"}), "measurement.noise: must be true or false, got 'perhaps'"),
    (changed(bands="490P"), "bands: must be a list, got '490P'"),
    (changed(campaign=5), "campaign: must be text, got 5"),
    (changed(strata=3), "strata: must be a mapping of knobs, got 3"),
    (changed(sources=[1]), "sources: must be a mapping of knobs, got [1]"),
    (changed(combined=["both"]), "combined: must be a mapping, got ['both']"),
    (changed(scene="uniform"), "scene: must be a mapping of knobs, got 'uniform'"),
    (changed(scene__kind="sphere"), "scene.kind: must be one of 'uniform', 'grid', 'target', 'analytic', 'clear_ocean', "),
    (changed(scene__kind=ABSENT), "scene.kind: must be given"),
    (changed(error_in="detector"), "error_in: must be 'knowledge' or 'instrument', got 'detector'"),
    (changed(precision="float16"), "precision: must be 'float64' or 'float32', got 'float16'"),
    (changed(sampling="halton"), "sampling: must be 'random' or 'sobol', got 'halton'"),
    # names
    (changed(campaign="../x"), f"campaign: {NAME}, got '../x'"),
    (changed(campaign="a b"), f"campaign: {NAME}, got 'a b'"),
    (changed(campaign="é"), f"campaign: {NAME}, got 'é'"),
    (changed(campaign=";rm"), f"campaign: {NAME}, got ';rm'"),
    (changed(campaign="-rf"), f"campaign: {NAME}, got '-rf'"),
    (changed(campaign="x\n"), f"campaign: {NAME}, got 'x\\n'"),
    (changed(campaign=""), f"campaign: {NAME}, got ''"),
    (changed(campaign="x" * 65), "campaign: must have at most 64 characters, got 'xxxx"),
    (changed(combined={"$(id)": ["polariser_orientation", "non_linearity"]}), f"combined.$(id): {NAME}, got '$(id)'"),
    # what does not fit together
    (changed(instrument="polder9"), "instrument: there is no instrument 'polder9'; those shipped are 3mi, dpc, ideal, parasol"),
    (changed(bands=["490P", "555P"]), "bands: parasol has no band '555P'; it has 443NP, 490P, 565NP, "),
    (changed(bands=["490P", "490P"]), "bands: 490P comes twice"),
    (changed(sources={}), "sources: name at least one of polariser_orientation, polariser_extinction, "),
    (changed(sources__non_linearity=None), "sources.non_linearity: give its knobs, sigma, order, calibrated_at, "),
    (changed(bands=["565NP"]), "sources.polariser_orientation: acts on polarisers, and none of the bands 565NP has any"),
    (
        changed(combined={"control": ["non_linearity", "polariser_orientation"]}),
        "combined.control: this name is taken; choose another",
    ),
    (
        changed(combined={"non_linearity": ["non_linearity", "polariser_orientation"]}),
        "combined.non_linearity: this name is taken; ",
    ),
    (
        changed(combined={"two": ["non_linearity", "stray_light"]}),
        "combined.two: 'stray_light' is not among the sources of the campaign: ",
    ),
    (
        changed(combined={"two": ["non_linearity", "radiometric_noise"]}),
        "combined.two: 'radiometric_noise' is not among the sources",
    ),
    (changed(combined={"one": ["non_linearity"]}), "combined.one: needs two or more different sources, got ['non_linearity']"),
    (changed(combined={"two": ["non_linearity"] * 2}), "combined.two: needs two or more different sources, got "),
    (changed(combined={"two": "non_linearity"}), "combined.two: must be a list, got 'non_linearity'"),
    (changed(sources__polariser_extinction={}), "sources.polariser_extinction: give either sigma or assume_ideal: true, "),
    (
        changed(sources__radiometric_noise={"snr": 9, "model": "instrument"}),
        "sources.radiometric_noise: give either snr or model: ",
    ),
    (changed(strata__cross=["field", "dolp"]), "strata.cross: must be two different fields among those given (field), got "),
    (changed(strata__cross=["field"]), "strata.cross.1: must be given"),
    (changed(scene={**GRID, "i": {"start": 0.1, "stop": 0.2, "steps": 1}}), "scene.i.steps: 1 needs start = stop"),
    # what only the scene tells
    (changed(strata__field=[0, 30, 65, 70]), "strata.field: no pixel of the scene is in field:65-70deg in any band; change "),
    (changed(scene__pixels=10**9), "scene: 1000000000 pixels asked; the focal plane has 274 x 242 = 66308"),
    (
        changed(
            scene={**GRID, "dolp": {"start": 0.01, "stop": 0.99, "steps": 36}, "aolp": {"start": 2.5, "stop": 57.5, "steps": 12}},
            strata={"dolp": [k / 36 for k in range(37)], "aolp": 12},
        ),
        "strata: 432 cells in band 490P, at most 400 are allowed; give fewer classes",
    ),
]


@pytest.mark.parametrize(("tree", "said"), BAD_KNOBS, ids=[said[:60] for _, said in BAD_KNOBS])
def test_a_bad_knob_is_told_in_one_sentence(here, refused, tree, said):
    Path("bad.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    assert refused("check", "bad.yaml").startswith(said)


NEEDED = {
    "uniform": TINY["scene"],
    "grid": GRID,
    "target": {"pattern": "flat"},
    "collection": {"scenes": [TINY["scene"]]},
}
"""What a kind of scene cannot do without."""


def _beyond():
    """Each bound of each number of the sources and scenes: knob's path, the campaign that breaks it, what is said."""
    for name, source in SOURCES.items():
        for knob, field in source.Amplitudes.model_fields.items():
            valid = {"polariser_extinction": {"sigma": 0.1}, "radiometric_noise": {"snr": 100}}.get(name, {"sigma": 0.1})
            for wrong, said in _broken(field):
                yield f"sources.{name}.{knob}", changed(sources={name: {**valid, knob: wrong}}, combined={}), said
    for model in (*get_args(Single), Collection):
        kind = get_args(model.model_fields["kind"].annotation)[0]
        valid = {"kind": kind, **NEEDED.get(kind, {})}
        for knob, field in model.model_fields.items():
            for wrong, said in _broken(field):
                yield f"scene.{knob}", changed(scene={**valid, knob: wrong}), said
    for knob, field in Acquisition.model_fields.items():
        for wrong, said in _broken(field):
            scene = {"kind": "broken_cloud", "acquisition": {knob: wrong}}
            yield f"scene.acquisition.{knob}", changed(scene=scene), said


def _broken(field):
    """Values just outside the bounds of a field, and what is said of them."""
    signs = {Ge: ("ge", "≥", -1, 1), Gt: ("gt", ">", 0, 1), Le: ("le", "≤", 1, 1), Lt: ("lt", "<", 0, 1)}
    for bound in field.metadata:
        if type(bound) in signs:
            name, sign, step, _ = signs[type(bound)]
            limit = getattr(bound, name)
            yield limit + step, f"must be {sign} {limit}"
    if any(type(bound) in signs for bound in field.metadata):
        yield float("nan"), "must be a"
        yield "x", "must be a"


BEYOND = list(_beyond())


@pytest.mark.parametrize(("knob", "tree", "said"), BEYOND, ids=[f"{knob} {said}" for knob, _, said in BEYOND])
def test_a_number_out_of_its_range_is_told_with_the_bound(knob, tree, said):
    with pytest.raises(Fault) as fault:
        config.parse(tree)
    assert str(fault.value).startswith(f"{knob}: {said}")


def test_each_source_has_a_bounded_amplitude():
    assert {knob for knob, *_ in BEYOND} >= {f"sources.{name}.{source.Amplitudes.size()}" for name, source in SOURCES.items()}


BAD_FILES = {
    "empty": ("", "campaign: give a campaign's YAML"),
    "a list": ("- 490P\n", "campaign: give a campaign's YAML"),
    "words": ("hello\n", "campaign: give a campaign's YAML"),
    "not closed": ("bands: [490P\n", "bad.yaml: not valid YAML: while parsing a flow sequence"),
    "a key twice": (yaml.safe_dump(TINY) + "seed: 1\n", "bad.yaml: not valid YAML: the key 'seed' is given twice, line "),
    "a nested key twice": (
        "sources: {non_linearity: {sigma: 1, sigma: 2}}\n",
        "bad.yaml: not valid YAML: the key 'sigma' is given twice",
    ),
    "a list as key": ("{[1, 2]: 3}\n", "bad.yaml: not valid YAML: while constructing a mapping"),
    "an object": (
        "!!python/object/apply:os.system ['touch pwned']\n",
        "bad.yaml: not valid YAML: could not determine a constructor",
    ),
    "very deep": ("[" * 5000, "bad.yaml: not valid YAML: "),
    "binary": (b"\x89HDF\r\n\xff\x00", "bad.yaml: not valid YAML: "),
    "latin 1": ("campaign: é\n".encode("latin1"), "bad.yaml: not valid YAML: "),
}


@pytest.mark.parametrize(("content", "said"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_no_campaign_is_told_in_one_sentence(here, refused, content, said):
    Path("bad.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refused("check", "bad.yaml").startswith(said)


def test_a_campaign_that_cannot_be_read_is_told_in_one_sentence(here, refused):
    assert refused("check", "none.yaml").startswith(
        "none.yaml: cannot be read (No such file or directory); give a campaign's YAML"
    )
    Path("folder.yaml").mkdir()
    assert refused("check", "folder.yaml").startswith("folder.yaml: cannot be read (Is a directory); give a campaign's YAML")


def test_a_number_in_scientific_notation_is_a_number():
    """YAML 1.1 reads 1e-3 as text."""
    assert config.parse(changed(sources__non_linearity__sigma="1e-3")).amplitudes["non_linearity"].sigma == 1e-3


def test_a_good_campaign_is_described_and_nothing_is_written(here, capsys):
    Path("good.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    assert run(lambda: app(["check", "good.yaml"])) == 0
    said = capsys.readouterr()
    assert "200 pixels" in said.out
    assert not said.err
    assert os.listdir(here) == ["good.yaml"]
