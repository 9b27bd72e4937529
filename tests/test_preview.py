"""`radsens preview` tells the table of a campaign before it is run, and the table says whether that was so."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from radsens import chunk, gather, io, realise
from radsens.campaign import Campaign
from radsens.cli import app, run
from radsens.models import polarimeter
from radsens.products import preview, screen, tables
from radsens.products.grid import console

TREE = {
    "campaign": "preview",
    "instrument": "parasol",
    "bands": ["490P", "565NP"],
    "scene": {
        "kind": "grid",
        "i": {"start": 0.2, "stop": 0.2, "steps": 1},
        "dolp": {"start": 0.05, "stop": 0.6, "steps": 4},
        "aolp": {"start": 20, "stop": 70, "steps": 2},
        "pixels": 30,
    },
    "strata": {"field": [0, 30, 65], "dolp": [0, 0.3, 1]},
    "seed": 5,
    "realisations": 12,
    "span": 12,
    "precision": "float64",
    "sources": {"relative_transmission": {"sigma": 0.002}, "radiometric_noise": {"snr": 100}, "non_linearity": {"sigma": 0.001}},
    "combined": {"both": ["relative_transmission", "radiometric_noise"]},
}
NAMES = ("relative_transmission", "radiometric_noise", "non_linearity", "both")


@pytest.fixture
def written(here):
    """A campaign's YAML in an empty working folder."""
    Path("preview.yaml").write_text(yaml.safe_dump(TREE), encoding="utf-8")
    return Campaign.read("preview.yaml")


def computed(campaign, scene="scene.nc"):
    """Gathered rows of the sources, and of the control."""
    chunk.write_scene(campaign.scene_spec, Path(scene))
    return {n: gather.joined([chunk.compute(campaign.task(n), scene, range(campaign.realisations(n)))]) for n in campaign.names}


@pytest.mark.parametrize("sampling", ["random", "sobol"])
def test_the_preview_is_the_table_of_the_campaign_but_for_what_it_says(written, sampling):
    """Same rows, and where it is exact the same numbers to 1e-9; the pass in float64 loses 1e-16 of gaps of about 1e-3.

    Expected totals of noise are within 5 Monte Carlo errors, those to first order in errors of 1e-3 within 1 %.
    """
    campaign = Campaign(written.config.model_copy(update={"sampling": sampling}))
    told, found = preview.predicted_table(campaign), tables.sensitivity(computed(campaign))
    assert tables.agreement(found)["doubtful"] == []
    rows = told.merge(found, on=["source", "band", "stratum", "quantity"], suffixes=("", "_found"), validate="one_to_one")
    assert len(rows) == len(told) == len(found)
    np.testing.assert_array_equal(rows["total"], rows["predicted"])  # what the table says beside its totals
    assert (rows["predicted_by"] == rows["predicted_by_found"]).all()
    by = {kind: rows[(rows["predicted_by"] == kind)] for kind in ("exact", "expected", "first order")}
    for column in ("mean", "between", "within", "total", "rms", "mc_error", "sensitivity"):
        np.testing.assert_allclose(by["exact"][column], by["exact"][f"{column}_found"], rtol=1e-9, atol=1e-12)
    late = by["expected"]
    assert (np.abs(late["total"] - late["total_found"]) < 5 * late["mc_error_found"]).all()
    bent = by["first order"][by["first order"]["source"] == "non_linearity"]
    np.testing.assert_allclose(bent["total"], bent["total_found"], rtol=0.01)
    assert {kind: len(one) for kind, one in by.items()} == {"exact": 5 * 3, "expected": 5 * (3 + 1) * 2, "first order": 5 * 12}


def test_the_scene_that_stands_is_read_and_a_damaged_one_is_rendered(written, monkeypatch):
    rendered = preview.predicted_table(written)
    chunk.write_scene(written.scene_spec, Path(written.scene))
    with monkeypatch.context() as only_reading:
        only_reading.setattr(preview, "render", None)
        read = preview.predicted_table(written)
    Path(written.scene).write_bytes(Path(written.scene).read_bytes()[:2000])
    for table in (read, preview.predicted_table(written)):
        pd.testing.assert_frame_equal(table, rendered)


def test_the_command_prints_a_stratum_and_writes_all_to_the_output_alone(written, capsys):
    words = ["preview", "preview.yaml", "--stratum", "field:0-30deg", "--output", "told.csv"]
    assert run(lambda: app(words)) == 0
    said = capsys.readouterr().out
    assert "stratum field:0-30deg, 12 realisations" in said
    assert all(f"{kind}: " in said for kind in ("exact", "expected", "first order"))
    assert "left out: saturation, quantisation, quantiles" in said
    table = pd.read_csv("told.csv")
    assert set(table["stratum"]) == {"all", "field:0-30deg", "field:30-65deg", "dolp:0-0.3", "dolp:0.3-1"}
    assert set(table.columns) - set(tables.COLUMNS) == set() and tuple(dict.fromkeys(table["source"])) == NAMES
    assert {p.name for p in Path().iterdir()} == {"preview.yaml", "told.csv"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stratum", "sea"], "--stratum: 'sea' is not in the table; it has all, field:0-30deg"),
        (["--output", "nowhere/told.csv"], "--output: nowhere/told.csv cannot be written"),
        (["--output", "."], "--output: . is a folder; give the path of a file in it"),
    ],
)
def test_bad_options_end_in_one_sentence(written, refused, words, said):
    assert refused("preview", "preview.yaml", *words).startswith(said)


def test_a_campaign_that_cannot_be_previewed_is_told_in_one_sentence(here, refused):
    Path("empty.yaml").write_text(yaml.safe_dump({**TREE, "strata": {"field": [0, 30, 65, 80]}}), encoding="utf-8")
    assert refused("preview", "empty.yaml").startswith("strata.field: no pixel of the scene is in field:65-80deg")


def shown(table):
    """What is printed of the agreement of a table."""
    out = console()
    with out.capture() as said:
        screen.show_agreement(out, table)
    return said.get()


def test_totals_that_are_known_exactly_are_compared_with_those_of_the_pixels(written):
    table = tables.sensitivity(computed(written))
    found = tables.agreement(table)
    assert found["checked"] == 15 and found["largest"] < 1e-9 and found["doubtful"] == []
    assert shown(table).startswith("15 totals are known exactly without the pixels: they agree to ")
    assert shown(table[table["source"] == "radiometric_noise"]) == ""


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_pass_over_the_pixels_that_goes_wrong_makes_its_totals_doubtful(written, monkeypatch, precision):
    """The element of J between I and Q is wrong by 1 % of another, in the pass alone: I and Q are told, U is right."""
    campaign = Campaign(written.config.model_copy(update={"precision": precision}))
    assert tables.agreement(tables.sensitivity(computed(campaign)))["doubtful"] == []
    right = realise.pixels_of

    def spoilt(*arguments):
        table = right(*arguments)
        table[polarimeter.J + 1] += 0.01 * table[polarimeter.J]
        return table

    monkeypatch.setattr(realise, "pixels_of", spoilt)
    table = tables.sensitivity(computed(campaign))
    found = tables.agreement(table)
    seen = {f"relative_transmission 490P {stratum} {quantity}" for stratum in set(table["stratum"]) for quantity in "IQ"}
    assert set(found["doubtful"]) == seen
    assert "DOUBTFUL" in shown(table)


def test_the_record_beside_the_tables_says_how_they_agree(written):
    paths = []
    for name, file in computed(written).items():
        paths.append(Path("gaps", name, "rows.nc"))
        io.write(paths[-1], file)
    tables.write("0" * 12, paths, Path("made"))
    about = json.loads(Path("made/campaign.json").read_text(encoding="utf-8"))
    assert about["agreement"]["checked"] == 15 and about["agreement"]["doubtful"] == []
    again = pd.read_csv("made/sensitivity.csv")
    assert tables.agreement(again) == about["agreement"]
