"""Counts of a product and the values that they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsens.scenes.packing import packing
from radsens.schema import Fault

RADIANCE = {"scale_factor": 1e-4, "add_offset": 0.0}
INT16, UINT16, FLOAT32 = np.dtype("int16"), np.dtype("uint16"), np.dtype("float32")


@given(st.integers(-32766, 32766), st.sampled_from([1e-4, 0.0015, 0.006, 0.01, 1.0]), st.sampled_from([0.0, -0.5, 10.0]))
def test_a_value_that_is_read_and_written_back_is_the_same_count(count, scale, offset):
    packed = packing({"scale_factor": scale, "add_offset": offset}, INT16, "x")
    values, present = packed.unpack(np.array([count], np.int16))
    back, cut = packed.pack(values)
    assert present.all()
    assert (back[0], cut) == (count, 0)


CODES = [
    ("int16", [32767, -32767]),
    ("uint16", [65534, 65535]),
    ("int8", [127, -127]),
    ("float32", [9.96921e36, np.nan]),
]


@pytest.mark.parametrize(("kind", "codes"), CODES)
def test_both_codes_of_what_is_missing_are_no_values_though_the_file_names_at_most_one(kind, codes):
    packed = packing({**RADIANCE, "_FillValue": np.array([codes[0]], kind)}, np.dtype(kind), "x")
    values, present = packed.unpack(np.array([*codes, 5], kind))
    assert present.tolist() == [False, False, True]
    assert values.tolist() == pytest.approx([0, 0, 5e-4])


def test_a_value_beyond_the_type_is_cut_to_the_last_count_that_is_no_code_and_is_counted():
    packed = packing(RADIANCE, INT16, "x")
    counts, cut = packed.pack(np.array([5.0, -5.0, 3.2766, 3.27668, 0.1]))
    assert counts.tolist() == [32766, -32766, 32766, 32766, 1000]
    assert cut == 3


def test_rounding_is_to_the_nearest_count():
    packed = packing(RADIANCE, INT16, "x")
    assert packed.pack(np.array([1.49e-4, 1.51e-4, -1.51e-4]))[0].tolist() == [1, 2, -2]


BAD = [
    ({"scale_factor": 0.0}, "its scale_factor is 0, which must lie between 1e-12 and 1"),
    ({"scale_factor": np.nan}, "its scale_factor is nan, which must lie between 1e-12 and 1"),
    ({"scale_factor": 1e30}, r"its scale_factor is 1e\+30, which must lie between 1e-12 and 1"),
    ({"scale_factor": -1e-4}, "its scale_factor is -0.0001, which must lie between 1e-12 and 1"),
    ({"scale_factor": "1e-4"}, "its scale_factor is '1e-4', which must be a number"),
    ({"scale_factor": [1e-4, 1e-4]}, "its scale_factor holds 2 numbers, which must be one"),
    ({"add_offset": np.inf}, "its add_offset is inf, which must be at most 1000 in magnitude"),
    ({"_FillValue": b"none"}, "its _FillValue is \"b'none'\", which must be a number"),
]


@pytest.mark.parametrize(("attributes", "said"), BAD, ids=[said for _, said in BAD])
def test_an_absurd_packing_is_told_in_one_sentence(attributes, said):
    with pytest.raises(Fault, match=f"^file: I490P: {said}$"):
        packing({**RADIANCE, **attributes}, INT16, "file: I490P")
