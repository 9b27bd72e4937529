"""The processor that kernels are compiled for: this one unless a target is pinned or numba is told otherwise."""

import platform

import pytest

from radsens.kernel import shared_folder
from radsens.schema import Fault
from radsens.target import ASKED, NATIVE, PINNED, refuse_incapable, settings, target

V3 = "x86-64-v3"


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, NATIVE),
        ({"RADSENS_TARGET": ""}, NATIVE),
        ({"RADSENS_TARGET": NATIVE}, NATIVE),
        ({"RADSENS_TARGET": V3}, V3),
        ({"RADSENS_TARGET": V3, "NUMBA_CPU_NAME": "generic"}, ASKED),
        ({"NUMBA_CPU_FEATURES": "+avx2"}, ASKED),
        ({"RADSENS_TARGET": V3, "NUMBA_CPU_NAME": ""}, V3),
    ],
)
def test_a_target_is_native_unless_asked_and_what_numba_is_told_wins(environment, name):
    assert target(environment) == name


def test_a_target_that_is_not_known_is_refused():
    with pytest.raises(Fault, match="RADSENS_TARGET: 'x86-64-v9' is not known; give native or x86-64-v3"):
        target({"RADSENS_TARGET": "x86-64-v9"})


def test_a_processor_that_lacks_an_instruction_of_the_target_is_refused_by_name():
    present = dict.fromkeys(PINNED[V3], True)
    refuse_incapable(V3, present, "haswell")
    with pytest.raises(
        Fault, match=r"x86-64-v3 needs avx2, fma, which the processor of this machine \(ivybridge\) lacks; set it"
    ):
        refuse_incapable(V3, {**present, "avx2": False} | {"fma": False}, "ivybridge")
    with pytest.raises(Fault, match="needs avx2, bmi"):
        refuse_incapable(V3, {"neon": True}, "neoverse-n1")


@pytest.mark.parametrize("name", [NATIVE, ASKED])
def test_numba_is_told_nothing_of_a_target_that_is_not_pinned(name):
    assert settings(name) == {}


def test_a_pinned_target_says_the_name_and_the_features_together():
    """The name alone leaves the features of this processor in the code: LLVM is given both, or they disagree."""
    if platform.machine() not in ("x86_64", "AMD64"):
        with pytest.raises(Fault, match="needs avx2"):
            settings(V3)
        return
    assert settings(V3) == {"CPU_NAME": V3, "CPU_FEATURES": "+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe"}


def test_each_target_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("RADSENS_CACHE", str(tmp_path))
    for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"):
        monkeypatch.delenv(name, raising=False)
    folders = set()
    for name in (NATIVE, V3):
        monkeypatch.setenv("RADSENS_TARGET", name)
        folders.add(shared_folder())
        assert shared_folder().name.endswith(f"-{name}")
    assert len(folders) == 2
