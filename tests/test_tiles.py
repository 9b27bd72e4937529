"""Pixels in tiles: each in its place with its table, whatever the pieces that it comes in, in little more than their own room."""

import tracemalloc
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from tests.equation import lattice, states

from radsens import chunk
from radsens.gaps.strata import Strata, partition
from radsens.gaps.sums import PILOTS
from radsens.models import polarimeter
from radsens.models.pixels import LINEAR_ROWS, TABLE_ROWS
from radsens.realise import PIECE, Measurement, Task, pixels_of
from radsens.scenes import files
from radsens.tiles import PAD, laid, pilots

STRATA = Strata(dolp=(0, 0.2, 0.6, 1), field=(0, 25, 90), aolp_min_dolp=0.1)
ADDRESS = 8  # bytes of the two addresses of a pixel


@pytest.fixture(scope="module")
def scene(parasol):
    """Unpolarised to fully polarised light all over the field, in no order, with a number of its own in each pixel."""
    made = states(parasol, *lattice([0.1, 0.4], [0.05, 0.15, 0.5, 0.9], np.radians([-60, 0, 40])), 61, "490P")
    mixed = made.part(np.random.default_rng(1).permutation(made.theta.size))
    return replace(mixed, detector=np.arange(mixed.theta.size), sample=7 * np.arange(mixed.theta.size))


def table_of(instrument, scene):
    return partial(pixels_of, polarimeter.nominal(instrument, scene.band), instrument)


def columns(image):
    """The pixels of each tile: rows of the table (row, pixel), addresses, and how many are true and with an angle."""
    for start, size, true, angle in image.tiles:
        table = image.pixels[start * image.rows : (start + size) * image.rows].reshape(image.rows, size)
        yield table, image.detector[start : start + size], image.sample[start : start + size], true, angle


@pytest.mark.parametrize("rows", [LINEAR_ROWS, TABLE_ROWS])
def test_each_pixel_is_once_in_a_tile_of_its_cell_with_its_table_and_addresses(parasol, scene, rows):
    part, table = partition(STRATA, scene), table_of(parasol, scene)(scene)
    image, _ = laid(scene.pieces(100), table_of(parasol, scene), part, rows, "float32")
    seen = []
    for start, stop, cell, *_ in image.groups:
        for found, detector, sample, true, angle in list(columns(image))[start:stop]:
            who = detector[:true].astype(int)
            assert (part.cell[who] == cell).all()
            assert (part.aolp[who] == (np.arange(true) < angle)).all()
            np.testing.assert_array_equal(found[:, :true], table[:rows, who].astype(np.float32), strict=True)
            assert (sample[:true] == 7 * who).all()
            assert found.shape[1] % PAD == 0
            assert (found[:, true:] == found[:, true - 1 : true]).all() and (detector[true:] == detector[true - 1]).all()
            seen.append(who)
    assert (np.sort(np.concatenate(seen)) == np.arange(scene.theta.size)).all()


def test_pixels_that_stand_for_their_cell_are_in_the_order_in_which_they_are_looked_for(parasol, scene):
    part = partition(STRATA, scene)
    _, standing = laid(scene.pieces(100), table_of(parasol, scene), part, TABLE_ROWS, "float64")
    chosen = pilots(part)
    assert chosen.size == 2 * PILOTS * len(part.members)
    assert (standing.detector[: chosen.size] == chosen).all() and (standing.sample[: chosen.size] == 7 * chosen).all()


@pytest.mark.parametrize("size", [1, 999, 1 << 20])
def test_the_pieces_change_no_bit_of_the_tiles(parasol, scene, size):
    some = scene.part(np.arange(0, scene.theta.size, 3))
    part, table = partition(STRATA, some), table_of(parasol, some)
    for one, other in zip(*(laid(some.pieces(n), table, part, TABLE_ROWS, "float32") for n in (64, size)), strict=True):
        for name in one._fields:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)


def test_laying_the_pixels_out_takes_little_more_room_than_their_tiles(parasol, scene):
    """One piece in float64 with what is made of it on the way: some hundred numbers for each of its pixels."""
    many = scene.part(np.arange(1 << 17) % scene.theta.size)
    part, pieces = partition(STRATA, many), many.pieces(PIECE)
    table_of(parasol, scene)(scene)  # so that nothing is compiled below
    tracemalloc.start()
    laid(pieces, table_of(parasol, many), part, TABLE_ROWS, "float32")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < many.theta.size * (4 * TABLE_ROWS + ADDRESS) + PIECE * 8 * 100


def test_a_job_needs_ninety_bytes_for_each_further_pixel(parasol, scene, tmp_path):
    """Of these 84 are the tiles in float32, 3 say which cell it is of; the scene, of 64, is gone before they are laid."""
    sources = {"relative_transmission": {"sigma": 0.01}, "radiometric_noise": {"snr": 200}}
    settings = {"seed": 1, "error_in": "knowledge", "precision": "float32", "measurement": Measurement()}
    task, few, many = Task(instrument=parasol.name, sources=sources, **settings), 1 << 18, 1 << 19

    def peak(pixels):
        about = {"key": "0" * 12, "instrument": parasol.name, "strata": STRATA.model_dump_json()}
        files.write(tmp_path / "scene.nc", [scene.part(np.arange(pixels) % scene.theta.size)], about)
        tracemalloc.start()
        chunk.compute(task, tmp_path / "scene.nc", range(1))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(64)  # so that nothing is compiled below
    assert peak(many) - peak(few) < 90 * (many - few)
