"""Instruments shared by the tests of the physics, and how hypothesis runs."""

import pytest
from hypothesis import settings

from radsens.instrument import Polarimeter, load

# A kernel is compiled at its first call, which takes seconds: no deadline can be set on one example.
settings.register_profile("radsens", deadline=None)
settings.load_profile("radsens")


@pytest.fixture(scope="session")
def ideal() -> Polarimeter:
    """Perfect triplets, for which the closed forms hold."""
    return load("ideal")


@pytest.fixture(scope="session")
def parasol() -> Polarimeter:
    """A realistic nominal instrument: polarisers, optics and transmissions that are not ideal."""
    return load("parasol")
