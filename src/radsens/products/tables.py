"""Sensitivity tables from the gathered rows of a campaign.

With m_r and s_r the mean and the standard deviation (ddof 0) of the gaps in the image of realisation r, N realisations:

    between² = Σ (m_r − m̄)² / (N − 1),    within² = mean s_r²,    total² = between² + within²
    rms² = mean (m_r² + s_r²) = mean² + (N − 1)/N between² + within²

`mc_error` is the standard error of `total`: total² is the mean of z_r = (m_r − m̄)² N/(N−1) + s_r².

Where the draws are Sobol points, the realisations of a replicate are not independent, only the replicates are. Then

    se²(x̄) = K/(K − 1) Σ_k [Σ_{r in k} (x_r − x̄)]² / N²,    between² = Σ (m_r − m̄)²/N + se²(m̄)

with the K replicates k: for replicates of one realisation these are the formulas above. (The mean of N points errs by far
less than that of N random draws, and N − 1 would then be too small a divisor.) `mc_error` is se(z̄)/(2 total) with
z_r = (m_r − m̄)² + s_r². Replicates may differ in size: each weighs as it has realisations.

`predicted` is the total of the same realisations by the Gram tier, which no pixel pass entered, and `predicted_by` how that
tier knows it. `refined` is `total` with that tier as control variate, `refined_error` its standard error (`products.refined`).
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import radsens
from radsens import gram, io
from radsens import instrument as instruments
from radsens.config import CONTROL
from radsens.gaps.quantities import QUANTITIES, UNITS
from radsens.gaps.statistics import LOG_BITS, LOG_HALF, LOG_LOWEST
from radsens.gaps.strata import ALL
from radsens.products.refined import refined
from radsens.realise import LAST_REASON, Task
from radsens.schema import Fault
from radsens.sobol import REPLICATES
from radsens.sources import SOURCES
from radsens.stopping import StopAt, cells

LABELS = ("source", "band", "stratum", "quantity", "unit", "amplitude", "amplitude_unit", "n_realisations", "n_failed")
VALUES = ("mean", "between", "within", "total", "rms", "p95_abs", "mc_error", "sensitivity")
PREDICTION = ("predicted", "predicted_by")
REFINED = ("refined", "refined_error")
COLUMNS = (*LABELS, *VALUES, *PREDICTION, *REFINED)
RELATIVE, FLOOR = 1e-4, 2e-7  # by which an exact total may differ: what float32 leaves, twice its floor, and room beside it
MARKS = ".tables"  # folder of the mark: an empty file named by the id of the campaign whose tables stand


def replicates(task: Task, realisations: np.ndarray) -> np.ndarray | None:
    """Replicate of each realisation, where replicates are what is independent: Sobol points that some source draws from."""
    drawn = task.sampling == "sobol" and any(SOURCES[name].draws for name in task.sources)
    return realisations % REPLICATES if drawn else None


def error_of_mean(x: np.ndarray, replicate: np.ndarray) -> float:
    """Standard error of the mean of x (realisation,) from the independent replicates that its values belong to; NaN for one."""
    _, member = np.unique(replicate, return_inverse=True)
    sums = np.bincount(member, x - x.mean())
    return float(np.sqrt(sums.size / (sums.size - 1) * (sums**2).sum()) / x.size) if sums.size > 1 else np.nan


def statistics_of(m: np.ndarray, s: np.ndarray, replicate: np.ndarray | None = None) -> dict[str, float]:
    """Statistics of one row from the image means and standard deviations of its realisations, (realisation,) each.

    `replicate` (realisation,) says which of them depend on each other; none do without it.

    Returns
    -------
    mean, between, within, total, rms, mc_error in the unit of the gap; NaN where the number of realisations gives none
    """
    n = m.size
    if n == 0:
        return dict.fromkeys(("mean", "between", "within", "total", "rms", "mc_error"), np.nan)
    found = {"mean": m.mean(), "within": np.sqrt((s**2).mean()), "rms": np.sqrt((m**2 + s**2).mean())}
    found |= {"between": np.nan, "total": np.nan, "mc_error": np.nan}
    if n > 1:
        found["between"] = m.std(ddof=1) if replicate is None else np.hypot(m.std(), error_of_mean(m, replicate))
        found["total"] = np.hypot(found["between"], found["within"])
        z = (m - m.mean()) ** 2 * (n / (n - 1) if replicate is None else 1) + s**2
        error = z.std(ddof=1) / np.sqrt(n) if replicate is None else error_of_mean(z, replicate)
        found["mc_error"] = 0.0 if found["total"] == 0 else error / (2 * found["total"])
    return found


def error_of(row: Any) -> float:
    """Standard error of what a row of the table knows best, `total` or `refined`; NaN if neither tells one."""
    return float(np.fmin(row["mc_error"], row["refined_error"]))


def edges() -> np.ndarray:
    """Edges of the bins of |gap| in a histogram of a source, (LOG_HALF + 1,); the first bin reaches down to 0."""
    k = np.arange(LOG_HALF + 1)
    steps = 1 << LOG_BITS
    found = np.ldexp(1 + (k % steps) / steps, k // steps + LOG_LOWEST)
    found[0] = 0
    return found


def p95_abs(histogram: np.ndarray, low: float, high: float) -> float:
    """95th percentile of |gap| from a histogram of signed gaps (bin,), clamped to what |gap| can be between low and high."""
    counts = histogram[LOG_HALF:] + histogram[LOG_HALF - 1 :: -1]
    if not counts.sum():
        return np.nan
    cumulated = np.concatenate([[0], np.cumsum(counts)]).astype(float)
    found = np.interp(0.95 * cumulated[-1], cumulated, edges())
    least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return float(np.clip(found, least, max(abs(low), abs(high))))


def amplitude_of(name: str, task: Task) -> tuple[float, str]:
    """Reported amplitude of a name and its unit; NaN for a combination and for an error without size."""
    if name not in SOURCES:
        return np.nan, ""
    amplitude = SOURCES[name].Amplitudes.model_validate(task.sources[name]).amplitude
    return (np.nan, "") if amplitude is None else (amplitude, SOURCES[name].unit)


def rows_of(name: str, file: io.File) -> list[dict[str, Any]]:
    """Rows of the sensitivity table of one source: bands, strata and quantities that it has."""
    task = Task.model_validate_json(file.attributes["task"])
    instrument, good = instruments.load(task.instrument), file["outcome"] == 0
    amplitude, amplitude_unit = amplitude_of(name, task)
    replicate = replicates(task, file["realisation"])
    lost = np.any(file["outcome"] > LAST_REASON, axis=0)  # in a pixel: the Gram tier cannot leave such draws out
    found = []
    for b, band in enumerate(file["band"]):
        if not file["n"][0, b, 0, 0]:
            continue  # the source does not act in this band
        quantities = QUANTITIES if instrument.band(band).polarised else QUANTITIES[:1]
        for s, stratum in enumerate(file["stratum"]):
            for q, quantity in enumerate(quantities):
                here = good[:, b] & (file["n"][:, b, s, q] > 0)
                dependent = None if replicate is None else replicate[here]
                values = statistics_of(file["mean"][here, b, s, q], file["std"][here, b, s, q], dependent)
                if here.any():
                    extremes = file["min"][here, b, s, q].min(), file["max"][here, b, s, q].max()
                    values["p95_abs"] = p95_abs(file["histogram"][b, s, q], *extremes)
                expected = file["gram_mean"][here, b, s, q], file["gram_rms"][here, b, s, q]
                values["predicted"] = statistics_of(expected[0], gram.std(*expected), dependent)["total"]
                values |= dict.fromkeys(REFINED, np.nan)
                if not lost[b]:
                    law = file["law_n"][:, b], file["law_sums"][:, b, s, q]
                    values |= refined(file["mean"][here, b, s, q], file["std"][here, b, s, q], *expected, *law, dependent)
                values["sensitivity"] = values["rms"] / amplitude if amplitude else np.nan
                labels = (
                    name,
                    band,
                    stratum,
                    quantity,
                    UNITS[quantity],
                    amplitude,
                    amplitude_unit,
                    len(good),
                    int((~good[:, b]).sum()),
                )
                known = {"predicted_by": gram.KINDS[file["gram_kind"][b, q]]}
                found.append({**dict(zip(LABELS, labels, strict=True)), **values, **known})
    return found


def sensitivity(files: dict[str, io.File]) -> pd.DataFrame:
    """The tidy sensitivity table: one row per source, band, stratum and quantity."""
    rows = [row for name, file in files.items() if name != CONTROL for row in rows_of(name, file)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def agreement(table: pd.DataFrame) -> dict[str, Any]:
    """How the totals of a sensitivity table agree with those that the Gram tier knows exactly.

    Returns
    -------
    checked : number of such rows; largest : of their relative differences; doubtful : rows that differ by more than may be
    """
    rows = table[(table["predicted_by"] == gram.KINDS[gram.EXACT]) & table["predicted"].notna()]
    apart = (rows["total"] - rows["predicted"]).abs()
    doubtful = rows[~(apart <= RELATIVE * rows["predicted"] + FLOOR)]
    names = doubtful[["source", "band", "stratum", "quantity"]].agg(" ".join, axis=1).tolist() if len(doubtful) else []
    largest = float((apart / (rows["predicted"] + FLOOR)).max()) if len(rows) else None
    return {"checked": len(rows), "largest": largest, "doubtful": names}


def control(file: io.File) -> pd.DataFrame:
    """The control row: largest |gap| of the reference run, without any error, per band and quantity."""
    largest = np.fmax(np.abs(file["min"][:, :, 0]), np.abs(file["max"][:, :, 0])).max(axis=0)
    rows = [
        {"band": band, "quantity": quantity, "unit": UNITS[quantity], "max_abs_gap": largest[b, q]}
        for b, band in enumerate(file["band"])
        for q, quantity in enumerate(QUANTITIES)
        if file["n"][0, b, 0, q]
    ]
    return pd.DataFrame(rows)


def strata(file: io.File) -> pd.DataFrame:
    """Pixels of each stratum, and the fraction whose reference DoLP is too small for an angle."""
    aolp = QUANTITIES.index("aolp")
    rows = []
    for b, band in enumerate(file["band"]):
        for s, stratum in enumerate(file["stratum"]):
            pixels, angles = int(file["n"][0, b, s, 0]), int(file["n"][0, b, s, aolp])
            polarised = bool(file["n"][0, b, 0, 1])
            excluded = 1 - angles / pixels if pixels and polarised else np.nan
            rows.append({"band": band, "stratum": stratum, "pixels": pixels, "aolp_pixels": angles, "aolp_excluded": excluded})
    return pd.DataFrame(rows)


def _failures(file: io.File) -> dict[str, dict[str, int]]:
    """Failed realisations by band and reason."""
    found: dict[str, dict[str, int]] = {}
    for b, band in enumerate(file["band"]):
        codes, counts = np.unique(file["outcome"][:, b], return_counts=True)
        reasons = {str(file["outcome_name"][c]): int(n) for c, n in zip(codes, counts, strict=True) if c}
        if reasons:
            found[str(band)] = reasons
    return found


def counts(file: io.File) -> dict[str, Any]:
    """Realisations of a source, those that failed and saturated pixels."""
    return {
        "realisations": int(file.attributes["realisation_count"]),
        "failed": _failures(file),
        "saturated_pixels": int(file["saturated"][:, :, 0].sum()),
    }


def unreached(frame: pd.DataFrame, rule: StopAt) -> list[dict[str, Any]]:
    """The cells where the precision that was asked is not reached, the worst first; one realisation alone has none."""
    found = []
    for source, rows in frame[frame["n_realisations"] > 1].groupby("source", sort=False):
        records: Any = rows.to_dict("records")
        found += [(source, cell) for cell in cells(rule, records) if cell.ratio > 1]
    worst_first = sorted(found, key=lambda one: -one[1].ratio)
    return [{"source": source, **cell.model_dump(mode="json")} for source, cell in worst_first]


def summary(
    identity: str, files: dict[str, io.File], frame: pd.DataFrame | None = None, rule: StopAt | None = None
) -> dict[str, Any]:
    """What stands beside the tables: campaign id, version, of each source its key, realisations and failures.

    With `stop_at`, that rule and the cells of the table that have not reached it.
    """
    stopped: dict[str, Any] = {}
    if rule is not None and frame is not None:
        stopped = {"stop_at": rule.model_dump(mode="json", exclude_none=True), "unreached": unreached(frame, rule)}
    sources = {
        name: {
            "key": file.attributes["key"],
            **counts(file),
            "results_sha256": file.attributes[io.DIGEST],
        }
        for name, file in files.items()
    }
    return {"id": identity, "radsens": radsens.__version__, "stratum_of_control": ALL, **stopped, "sources": sources}


def write(identity: str, gaps: list[Path], folder: Path, rule: StopAt | None = None) -> None:
    """Write sensitivity.csv, control.csv, strata.csv, campaign.json and, last of all, the mark that says whose they are.

    Parameters
    ----------
    identity : the campaign's id, 12 hexadecimal digits
    gaps : gathered rows, each in a folder named by its source
    folder : of the campaign
    rule : the precision that was asked, if the campaign asks any
    """
    if not re.fullmatch("[0-9a-f]{12}", identity):
        raise Fault(f"--write: must be a campaign's id, 12 hexadecimal digits, got {identity!r}")
    files = {path.parent.name: io.read_made(path) for path in gaps}
    if CONTROL not in files:
        raise Fault("table: the gathered rows of the control are needed beside those of the sources")
    frames = {"sensitivity": sensitivity(files), "control": control(files[CONTROL]), "strata": strata(files[CONTROL])}
    texts = {f"{name}.csv": frame.to_csv(index=False) for name, frame in frames.items()}
    about = summary(identity, files, frames["sensitivity"], rule) | {"agreement": agreement(frames["sensitivity"])}
    texts["campaign.json"] = json.dumps(about, indent=1) + "\n"
    marks, parts = folder / MARKS, {name: folder / f".{name}.part" for name in texts}
    try:
        marks.mkdir(parents=True, exist_ok=True)
        for name, part in parts.items():
            part.write_text(texts[name], encoding="utf-8")
        for mark in marks.iterdir():
            mark.unlink()
        for name, part in parts.items():
            part.replace(folder / name)
        (marks / identity).touch()
    except OSError as error:
        for part in parts.values():
            part.unlink(missing_ok=True)
        raise Fault(f"{error.filename or folder}: the tables cannot be written ({error.strerror})") from error
