"""What the tests on a real Grid Engine share."""

import pytest
from tests.cluster import grid_engine


@pytest.fixture
def bench(tmp_path):
    """A workflow, and the cell to itself."""
    if reason := grid_engine.why_not():
        pytest.skip(reason)
    with grid_engine.own():
        yield grid_engine.workflow(tmp_path / "a bench")
