"""Classes at their edges, and what is printed of a table whose units are all 1."""

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from radsens import instrument, scenes
from radsens.gaps.strata import Strata, partition
from radsens.products import screen

NODES = {"start": 0, "stop": 150, "steps": 6}  # 0, 30, … 150 degrees


@pytest.mark.parametrize(("count", "expected"), [(2, [3, 3]), (3, [3, 3, 0]), (4, [3, 0, 3, 0])])
def test_an_angle_that_is_a_multiple_of_a_class_falls_where_its_equals_modulo_60_degrees_fall(count, expected):
    """0, 60 and 120 degrees are one state of a triplet, 30, 90 and 150 another: rounding must not part them."""
    spec = {"kind": "grid", "i": {"start": 0.1, "stop": 0.1, "steps": 1}, "dolp": {"start": 0.3, "stop": 0.3, "steps": 1}}
    spec = TypeAdapter(scenes.SceneSpec).validate_python({**spec, "aolp": NODES})
    (scene,) = scenes.render(spec, instrument.load("ideal"), ("P1",))
    part = partition(Strata(aolp=count), scene)
    sizes = [np.isin(part.cell, np.flatnonzero((part.members == s).any(1))).sum() for s in range(1, len(part.names))]
    assert sizes == expected


def test_an_amplitude_without_unit_is_printed_without_one():
    rows = {"source": ["a", "b"], "band": ["P1", "P1"], "quantity": ["I", "I"], "amplitude": [0.001, 0.1], "rms": [1.0, 2.0]}
    frame = pd.DataFrame({**rows, "amplitude_unit": ["1", "deg"]})
    assert [row[2] for row in screen._pivot(frame, "rms", number=False)] == ["0.001", "0.1 deg"]
