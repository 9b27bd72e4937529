"""What every error source of the registry promises, tested without naming one: a new source needs only its line there.

The amplitude is the example of its first knob; the instrument is a realistic one, on which every source acts.
"""

import re
from dataclasses import fields
from importlib import import_module
from typing import get_args

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import stats
from tests.equation import MEAN, RADIANS, STD, I, lattice, pixel_gaps, realise, states, whole

from radsens.models.polarimeter import nominal
from radsens.products.effects import effects
from radsens.random import draws
from radsens.realise import Measurement, Task, acting, models
from radsens.schema import Name
from radsens.sources import SOURCES
from radsens.sources._source import Direction, Distribution

DIRECTIONS = get_args(Direction)
LAWS = {"normal": stats.norm, "uniform": stats.uniform(loc=-np.sqrt(3), scale=2 * np.sqrt(3))}
KURTOSIS = {"normal": 3.0, "uniform": 9 / 5}
N = 8000
SIGMAS = 4.5  # of the standard error; some fifty comparisons with fixed seeds
NOTHING = 1e-12  # what rounding leaves of no error, in degrees too


def example(source):
    """Knobs with the example of the first one, and the defaults of the others."""
    return source.Amplitudes(**{source.Amplitudes.size(): size_field(source).examples[0]})


def size_field(source):
    return source.Amplitudes.model_fields[source.Amplitudes.size()]


def knobs(source, **others):
    return example(source).model_dump(exclude_defaults=True) | others


def scaled(source, k):
    return {source.name: example(source).scaled(k).model_dump(exclude_defaults=True)}


def having(knob):
    return [s for s in SOURCES.values() if knob in s.Amplitudes.model_fields]


def named(sources):
    return pytest.mark.parametrize("source", sources, ids=[s.name for s in sources])


EVERY = list(SOURCES.values())
DRAWN = [s for s in EVERY if s.draws]
FIELDS = [s for s in EVERY if not s.draws]
# A knob that says how small the error is (a signal-to-noise ratio) has no value for no error.
DIRECT = [s for s in EVERY if example(s).amplitude == getattr(example(s), s.Amplitudes.size())]


@pytest.fixture(scope="module")
def scene(parasol):
    return states(parasol, *lattice([0.1, 0.3], [0.2, 0.6], np.radians([-50.0, 0.0, 20.0, 70.0])), band="490P")


# --- no error, small errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@named(DIRECT)
def test_zero_amplitude_is_the_identity(parasol, scene, source, direction):
    found = realise(parasol, scene, scaled(source, 0), range(4), direction)
    assert not found.outcome.any()
    assert np.abs(pixel_gaps(found)).max() <= NOTHING


@pytest.mark.parametrize("direction", DIRECTIONS)
@named(EVERY)
def test_small_amplitudes_act_linearly(parasol, scene, source, direction):
    """A tenth of the amplitude leaves a tenth of the gap, up to a second order that is a tenth of its own tenth.

    So gap(k/10) − gap(k)/10 falls a hundredfold when k falls tenfold; and the gap itself is far larger.
    """

    def gap(k):
        return pixel_gaps(realise(parasol, scene, scaled(source, k), range(6), direction))

    first, second, third = gap(0.1), gap(0.01), gap(0.001)
    large, small = second - first / 10, third - second / 10
    sizes = np.abs(second).max(axis=(0, *range(2, second.ndim)))
    assert sizes.max() > 1e-8  # the error does something: far above rounding
    for q, size in enumerate(sizes):
        if size < 1e-12:  # nothing but rounding: a gain, say, does not change the polarisation
            continue
        rounding = 1e-13 * (RADIANS**-1 if q == 4 else 1)
        assert np.abs(large[:, q]).max() <= 0.05 * size
        assert np.abs(small[:, q]).max() <= 0.02 * np.abs(large[:, q]).max() + rounding
    np.testing.assert_allclose(example(source).scaled(0.1).amplitude, 0.1 * example(source).amplitude, rtol=1e-12)


@pytest.mark.parametrize("direction", DIRECTIONS)
@named(EVERY)
def test_a_source_changes_one_model_only(parasol, source, direction):
    """The one that the campaign says, or that the source insists on; the other is the nominal one."""
    amplitudes = example(source)
    wrong = amplitudes.error_in or direction
    setting = {"instrument": "parasol", "seed": 5, "precision": "float64", "measurement": Measurement(), "sources": {}}
    task = Task(error_in=direction, **setting)
    actual, believed = models(task, parasol, "490P", [(source, amplitudes)], range(3))
    untouched, changed = (believed, actual) if wrong == "instrument" else (actual, believed)
    assert not differences(untouched, nominal(parasol, "490P"))
    assert differences(changed, nominal(parasol, "490P"))


def differences(a, b):
    """Names of the parameters in which two models differ."""
    return [f.name for f in fields(a) if not np.array_equal(getattr(a, f.name), getattr(b, f.name))]


# --- realisations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@named(EVERY)
def test_a_realisation_depends_on_its_number_only(parasol, source, direction, precision):
    """One span of twelve realisations, cut in other ways and run by several threads: the same bits."""
    here = states(parasol, *lattice([0.1, 0.3], [0.2, 0.6], [-0.5, 0.3]), pixels=20, band="490P")

    def run(*spans, threads=1):
        setting = {"precision": precision, "strata": whole, "threads": threads}
        return [realise(parasol, here, {source.name: knobs(source)}, s, direction, **setting) for s in spans]

    (one,) = run(range(30, 42))
    for found in (run(range(30, 35), range(35, 36), range(36, 42)), run(range(30, 42), threads=5)):
        np.testing.assert_array_equal(np.concatenate([part.rows for part in found]), one.rows)
        np.testing.assert_array_equal(sum(part.totals for part in found), one.totals)
        for name, values in one.drawn.items():
            np.testing.assert_array_equal(np.concatenate([part.drawn[name] for part in found]), values)
    assert len({row.tobytes() for row in one.rows}) == 12  # and each has its own


@named(EVERY)
def test_sampling_changes_the_draws_of_parameters_and_no_random_field(parasol, scene, source):
    def rows(sampling):
        return realise(parasol, scene, {source.name: knobs(source)}, range(3), sampling=sampling).rows

    one, other = rows("random"), rows("sobol")
    assert np.array_equal(one, other) == (source.draws == 0)
    assert not source.draws or (one[:, 1:, I] != other[:, 1:, I]).any(axis=(1, 2)).all()


# --- the law of the draws ---------------------------------------------------------------------------------------------


def effect(source, irm, **others):
    """What N draws do to the model, per unit of the amplitude in SI units: (draw, parameter), to first order.

    An error is either absolute or relative to the parameter; the one whose size is the amplitude is meant.
    """
    small = example(source).scaled(1e-4).model_copy(update=others)
    wrong = source.modify(irm, small, draws(11, source.name, "490P", range(N), source.draws))
    (name,) = [n for n in differences(wrong, irm) if np.shape(getattr(wrong, n))[:1] == (N,)]
    before, after = getattr(irm, name), getattr(wrong, name)
    size = small.amplitude * {"1": 1.0, "deg": RADIANS}[source.unit]
    change = (after - before).reshape(N, -1) / size
    relative = change / before if np.all(before) else change
    return min((change, relative), key=lambda c: abs(c[:, 0].std() - 1))


LAWFUL = [(s, law) for s in DRAWN for law in (get_args(Distribution) if s in having("distribution") else ("normal",))]


@pytest.mark.parametrize(("source", "law"), LAWFUL, ids=[f"{s.name}-{law}" for s, law in LAWFUL])
def test_draws_follow_the_declared_law_with_the_declared_standard_deviation(parasol, source, law):
    """Mean, standard deviation and Kolmogorov's distance of each parameter that is drawn."""
    others = {"distribution": law} if source in having("distribution") else {}
    for z in effect(source, nominal(parasol, "490P"), **others).T:
        assert abs(z.mean()) < SIGMAS / np.sqrt(N)
        assert abs(z.std() - 1) < SIGMAS * np.sqrt((KURTOSIS[law] - 1) / (4 * N))
        assert stats.kstest(z, LAWS[law].cdf).pvalue > 1e-4
    assert law in source.distribution


CORRELATED = [s for s in having("correlation") if s.draws]


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("law", get_args(Distribution))
@named(CORRELATED)
def test_draws_have_the_declared_correlation_between_any_two_polarisers(parasol, source, law, rho):
    """The standard error of a correlation coefficient is at most (1 − ρ²)/√N for normal draws, 1/√N for any."""
    z = effect(source, nominal(parasol, "490P"), distribution=law, correlation=rho)
    found = np.corrcoef(z.T)[np.triu_indices(3, 1)]
    np.testing.assert_allclose(found, rho, atol=SIGMAS / np.sqrt(N))


@named(CORRELATED)
def test_full_correlation_is_one_draw_for_all(parasol, source):
    z = effect(source, nominal(parasol, "490P"), correlation=1.0)
    np.testing.assert_allclose(z, z[:, :1] * np.ones(3), atol=1e-6)  # rounding over an amplitude of 1e-4 and less
    assert z.std() > 0.5


@named(FIELDS)
def test_a_random_field_has_the_declared_law_in_the_image(ideal, source):
    """One sample of an unpolarised band shows it as it is: its standard deviation is the amplitude, its law normal."""
    n = 40_000
    here = states(ideal, 0.3, np.full(1, 0.2), 0.4, pixels=n, band="N1")
    assert acting([(source, example(source))], ideal, "N1")
    rows = realise(ideal, here, {source.name: knobs(source)}, range(1), "instrument", strata=whole).rows[0, 0, I]
    size = example(source).amplitude
    assert abs(rows[MEAN]) < SIGMAS * size / np.sqrt(n)
    np.testing.assert_allclose(rows[STD], size, rtol=SIGMAS / np.sqrt(2 * n))
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    error = np.sqrt(levels * (1 - levels) / n) / stats.norm.pdf(stats.norm.ppf(levels))
    np.testing.assert_array_less(np.abs(rows[5:] / size - stats.norm.ppf(levels)), SIGMAS * error + 2e-3)
    assert source.distribution.startswith("normal")


# --- the record -------------------------------------------------------------------------------------------------------


@named(EVERY)
def test_a_record_says_what_the_effects_table_needs(source):
    assert SOURCES[source.name] is source
    TypeAdapter(Name).validate_python(source.name)
    for text in (source.symbol, source.term, source.distribution, source.correlated):
        assert text.strip()
    assert re.search(r"\b\d{4}\b|appendix [A-Z]", source.reference)  # a document, by its year, number or part
    assert import_module(f"radsens.models.{source.model}").simulate
    assert all(next(row for row in effects() if row["name"] == source.name).values())


@named(EVERY)
def test_every_knob_has_a_meaning_a_unit_and_bounds(source):
    for name, field in source.Amplitudes.model_fields.items():
        assert field.description, name
        if float in get_args(field.annotation) or field.annotation is float:
            assert re.search(r"\[(1|deg|K|count)\]$", field.description), name
            assert {type(bound).__name__ for bound in field.metadata} >= {"Ge", "Le"}, name
    assert f"[{source.unit}]" in size_field(source).description or source not in DIRECT
    assert size_field(source).examples


@named(EVERY)
def test_a_knob_that_is_unknown_or_out_of_bounds_is_refused(source):
    for wrong in ({"no_such_knob": 1}, {source.Amplitudes.size(): -1}, {source.Amplitudes.size(): 1e9}):
        with pytest.raises(ValidationError):
            source.Amplitudes(**{**knobs(source), **wrong})


@named(DRAWN)
def test_a_source_takes_as_many_draws_as_it_declares(parasol, source):
    """Each draw changes the model, and there is one realisation of it for each of the table."""
    irm, amplitudes = nominal(parasol, "490P"), example(source)
    if "correlation" in type(amplitudes).model_fields:
        amplitudes = amplitudes.model_copy(update={"correlation": 0.5})
    base = source.modify(irm, amplitudes, np.zeros((2, source.draws)))
    assert not differences_in_value(base, irm)
    for k in range(source.draws):
        z = np.zeros((2, source.draws))
        z[1, k] = 1.0
        changed = source.modify(irm, amplitudes, z)
        (name,) = differences_in_value(changed, irm)
        values = np.broadcast_to(getattr(changed, name), (2, *np.shape(getattr(changed, name))[1:]))
        np.testing.assert_array_equal(values[0], getattr(irm, name))
        assert not np.array_equal(values[1], getattr(irm, name))


def differences_in_value(a, b):
    """Parameters of `a` with a value other than in `b`, whatever their shapes; settings of the error are left out."""
    numeric = (f.name for f in fields(a) if isinstance(getattr(b, f.name), np.ndarray | float))
    return [n for n in numeric if not np.all(getattr(a, n) == getattr(b, n))]
