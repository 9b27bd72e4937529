"""When a source has realisations enough: a rule of two stages on the standard error of `total`.

A first stage of m realisations estimates the standard error s of each cell of the sensitivity table; w is the one wanted.
A standard error falls as 1/√n, so that both stages together take

    n = m c (s / w)²,    c = ν / χ²(1/10; ν),    ν = 2m / (κ − 1),

rounded up to whole spans. c pays for s being an estimate: s²ν/σ² is taken for χ² of ν degrees of freedom, whose variance is
that of a sample variance, σ⁴(κ − 1)/m. So in nine cases of ten at least, the standard error of n realisations is w or less.

κ is the kurtosis of what `total`² is the mean of, z_r = (m_r − m̄)² N/(N−1) + s_r². Where parameters are drawn, z is to first
order a quadratic form of normal draws, Σ λ_i x_i², whose kurtosis 3 + 12 Σλ⁴/(Σλ²)² is 15 at most (one draw). Where only
pixels are, z is a sum over thousands of independent pixels: nearly normal, κ = 3. Of Sobol points, the standard error is that
of 8 replicates, ν = 7; it falls faster than 1/√n, and more are taken than need be.

References
----------
Stein, C. (1945), Ann. Math. Stat. 16, 243: samples of two stages, the first of which tells the size of the second (recalled).
JCGM 101:2008, 7.9: adaptive Monte Carlo, numerical tolerance of a number of significant digits, 2 s ≤ δ (recalled).
Couto, P. R. G. et al. (2013), in Theory and Applications of Monte Carlo Simulations, InTech: both in practice (recalled).
Cramér, H. (1946), Mathematical Methods of Statistics, 27.4: variance of a sample variance (recalled).
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from radsens import kernel, provenance, record
from radsens.gaps.quantities import QUANTITIES
from radsens.gaps.strata import ALL
from radsens.schema import Fault, Frozen, validated
from radsens.sobol import REPLICATES

DRAWN, PIXELS = 15, 3  # largest kurtosis of z where parameters are drawn, and where pixels alone are: see above [1]
FEW = 8  # realisations of the first stage where pixels alone are drawn: the image averages already (assumed: s to 25 %)
LEAST = 20  # realisations of a first stage, else: fewer say too little of s (assumed: c = 5.4 there, 1.8 at 100)
TENTH = -1.2815515655446004  # 10 % point of the normal distribution (verified: scipy.stats.norm.ppf(0.1))
ROUNDING = 1e-12  # largest gap without any error in float64, by the contract of the control row: below it a total is zero
NEGLIGIBLE = 1e-6  # of the largest total beside it: the rounding of float32, 6e-8 of each step, is below (assumed) [1]


class StopAt(Frozen):
    """Precision of `total` at which a source has realisations enough; give either `relative_error` or `digits`."""

    relative_error: float | None = Field(None, gt=0, lt=1, description="standard error of total, relative to it [1]")
    digits: Literal[1, 2] | None = Field(
        None, description="significant digits of total that twice its standard error leaves standing (JCGM 101, 7.9)"
    )
    strata: tuple[str, ...] = Field((ALL,), min_length=1, description="strata where that is asked", examples=[["all"]])
    quantities: tuple[str, ...] = Field(
        QUANTITIES, min_length=1, description=f"quantities of which it is asked, among {', '.join(QUANTITIES)}"
    )
    first: int = Field(100, ge=LEAST, le=1_000_000, description="realisations of the first stage, rounded up to whole spans [1]")

    @model_validator(mode="after")
    def either_an_error_or_digits(self) -> Self:
        if (self.relative_error is None) == (self.digits is None):
            raise ValueError("give either relative_error or digits, not both and not neither")
        if unknown := [q for q in self.quantities if q not in QUANTITIES]:
            raise ValueError(f"quantities: there is no {unknown[0]!r}; there are {', '.join(QUANTITIES)}")
        return self

    def wanted(self, total: float) -> float:
        """Largest standard error of a total that is precise enough, in its unit."""
        if self.relative_error is not None:
            return self.relative_error * total
        return tolerance(total, self.digits or 1) / 2


class Stages(Frozen):
    """All that the decision on a source is made of, its rows apart: spans, both stages, and the precision that is asked."""

    stop_at: StopAt
    span: int = Field(ge=1)
    first: int = Field(ge=FEW, description="realisations of the first stage, whole spans")
    most: int = Field(ge=FEW, description="realisations of both stages, at most")
    drawn: bool = Field(description="whether parameters are drawn; pixels alone are if not")
    replicates: bool = Field(False, description="whether they are Sobol points, whose replicates give the standard error")

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the standard error after the first stage."""
        return REPLICATES - 1 if self.drawn and self.replicates else freedom(self.first, self.drawn)


class Cell(Frozen):
    """One cell of the sensitivity table; its standard error is None where the realisations that did not fail give none."""

    band: str
    stratum: str
    quantity: str
    total: float | None
    mc_error: float | None
    wanted: float | None

    @property
    def ratio(self) -> float:
        """Its standard error in units of the one that is wanted [1]."""
        return math.inf if self.mc_error is None or self.wanted is None else self.mc_error / self.wanted


class Decision(Frozen):
    """How many realisations a source takes, and why.

    `needed` is n of the rule before it is rounded and cut, None where no number can be told; `worst` is the cell that asks
    for most, None where all are zero.
    """

    key: str
    source: str
    first: int
    realisations: int
    most: int
    needed: int | None
    margin: float
    worst: Cell | None

    @property
    def cut(self) -> bool:
        """Whether more realisations are needed than there may be."""
        return self.needed is None or self.needed > self.most


def key(chunks: str, stages: Stages) -> str:
    """Key of a decision: that of the chunks, both stages, and the code that decides."""
    code = kernel.digest(provenance.closure("radsens.products.enough"))
    return provenance.key(chunks=chunks, stages=stages.model_dump(mode="json"), code=code)


def tolerance(total: float, digits: int) -> float:
    """Numerical tolerance δ = ½ 10^l of a number c 10^l, c an integer of so many digits (JCGM 101:2008, 7.9.2)."""
    exponent = int(f"{total:.{digits - 1}e}".partition("e")[2])  # of the number as rounded: 0.0996 is 10 × 10⁻²
    return 0.5 * 10.0 ** (exponent - digits + 1)


def freedom(count: int, drawn: bool) -> float:
    """Degrees of freedom ν of a standard error from so many independent realisations [1]."""
    return 2 * count / ((DRAWN if drawn else PIXELS) - 1)


def margin(nu: float) -> float:
    """c = ν / χ²(1/10; ν), with χ² after Wilson and Hilferty (1931, PNAS 17, 684): ν (1 − 2/9ν + x √(2/9ν))³ [1].

    It errs by less than 3 % from ν = 2.8 (LEAST realisations), and towards more realisations.
    """
    width = 2 / (9 * nu)
    return (1 - width + TENTH * math.sqrt(width)) ** -3


def needed(count: int, ratio: float, nu: float) -> int:
    """n of the rule, from so many realisations that gave a ratio s / w; those that there are if they suffice."""
    return max(count, math.ceil(count * margin(nu) * ratio**2))


def whole(count: float, span: int, most: int) -> int:
    """A number of realisations rounded up to whole spans, the most at most."""
    return min(math.ceil(count / span) * span, most)


def first_stage(rule: StopAt, drawn: bool, span: int, most: int) -> int:
    """Realisations of the first stage."""
    return whole(rule.first if drawn else min(rule.first, FEW), span, most)


def cells(rule: StopAt, rows: Iterable[Mapping[str, Any]]) -> list[Cell]:
    """The cells of one source where precision is asked, from its rows of the sensitivity table.

    Left out are those without pixels, and those that are zero but for rounding: a gap that the error cannot make.
    """
    rows, found = list(rows), []
    largest: dict[tuple[str, str], float] = {}
    for row in rows:
        place = row["band"], row["stratum"]
        largest[place] = max(largest.get(place, 0.0), row["total"] if row["total"] > 0 else 0.0)
    for row in rows:
        total, good = float(row["total"]), row["n_realisations"] - row["n_failed"]
        asked = row["stratum"] in rule.strata and row["quantity"] in rule.quantities
        empty = good > 0 and math.isnan(row["mean"])
        zero = total <= max(ROUNDING, NEGLIGIBLE * largest[row["band"], row["stratum"]])
        if not asked or empty or zero:
            continue
        values = (None, None, None) if math.isnan(total) else (total, float(row["mc_error"]), rule.wanted(total))
        labels = (str(row[name]) for name in ("band", "stratum", "quantity"))
        found.append(Cell(**dict(zip(Cell.model_fields, (*labels, *values), strict=True))))
    return found


def decide(key: str, source: str, stages: Stages, found: Iterable[Cell]) -> Decision:
    """How many realisations a source takes, from the cells of its first stage."""
    worst = max(found, key=lambda cell: cell.ratio, default=None)
    ratio, nu = (worst.ratio if worst else 0.0), stages.freedom
    wanted = needed(stages.first, ratio, nu) if math.isfinite(ratio) else None
    count = stages.most if wanted is None else whole(wanted, stages.span, stages.most)
    return Decision(
        key=key,
        source=source,
        first=stages.first,
        realisations=count,
        most=stages.most,
        needed=wanted,
        margin=margin(nu),
        worst=worst,
    )


def sentence(decision: Decision) -> str:
    """A decision in words: how many realisations, and what asked for them."""
    head, cell = f"{decision.source}: {decision.realisations} realisations", decision.worst
    if cell is None:
        return f"{head}: the gaps that stop_at asks about are zero, or not there"
    name = f"{cell.band} {cell.quantity}" + ("" if cell.stratum == ALL else f" in {cell.stratum}")
    if cell.total is None or cell.mc_error is None or cell.wanted is None:
        return f"{head}, the most: too few of the first {decision.first} did not fail to tell the precision of {name}"
    reached, wanted = cell.mc_error / cell.total, cell.wanted / cell.total
    after = f"after {decision.first} the standard error of {name} is {reached:.2g} of its total, {wanted:.2g} is wanted"
    if decision.cut:
        return f"{head}, the most, where {decision.needed} are needed: {after}"
    return f"{head} are enough: {after}"


def read(path: Path, key: str) -> Decision | None:
    """A decision that stands; None if there is none.

    Raises
    ------
    Fault : the file is damaged, or another decision's
    """
    if not path.exists():
        return None
    mend = "take it away, and the next run decides again"
    try:
        decision: Decision = validated(Decision, record.read(path))
    except Fault as fault:
        raise Fault(f"{path}: is damaged ({fault}); {mend}") from fault
    if decision.key != key:
        raise Fault(f"{path}: holds the key {decision.key}, not {key} of its name; {mend}")
    return decision


def images_for(pixels: int, share: float) -> int:
    """Images of independent pixels whose gaps have a `total` with a given relative standard error.

    N = 1 / (2 P share²), rounded up: the variance of P normal gaps has a relative variance of 2/P, `total` a quarter of that.
    """
    return math.ceil(1 / (2 * pixels * share**2))
