"""environment.yml is the conda twin of pyproject.toml."""

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

# Conda calls every other package as PyPI does. The -base and -minimal variants leave out graphical toolkits and
# deployment back ends, which nothing here uses.
CONDA_NAME = {"matplotlib": "matplotlib-base", "snakemake": "snakemake-minimal"}

# What only a comparison of speed asks for, and only pip installs (make bench).
PIP_ONLY = "bench"

# Only conda lists its interpreter and its installer among the packages.
CONDA_ONLY = {"python", "pip"}


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pypi(pyproject):
    """Version bounds of every package that pip installs, by its normalised PyPI name."""
    project = pyproject["project"]
    lines = pyproject["build-system"]["requires"] + project["dependencies"]
    for name, extra in project["optional-dependencies"].items():
        lines += [line for line in extra if name != PIP_ONLY and Requirement(line).name != project["name"]]
    return {canonicalize_name(r.name): r.specifier for r in map(Requirement, lines)}


@pytest.fixture(scope="module")
def conda():
    """Version bounds of every package of the conda environment, by its conda name."""
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    return {r.name: r.specifier for r in map(Requirement, listed)}


def test_conda_twin_has_the_same_packages_with_the_same_bounds(pypi, conda):
    expected = {CONDA_NAME.get(name, name): bounds for name, bounds in pypi.items()}
    assert {name: bounds for name, bounds in conda.items() if name not in CONDA_ONLY} == expected


def test_conda_twin_asks_for_the_same_python(pyproject, conda):
    assert str(conda["python"]) == pyproject["project"]["requires-python"]


def test_no_renamed_package_is_left_over_in_the_name_map(pypi):
    assert set(CONDA_NAME) <= set(pypi)
