"""`total` with the Gram tier as control variate (Glasserman 2003, Monte Carlo Methods in Financial Engineering, section 4.1;
Owen, Monte Carlo Theory, Methods and Examples, section 8.9; both recalled).

With m and w = m² + s² the mean and the mean square of the gaps in the image of a realisation, g and h the same by the Gram
tier, N realisations of the pass over the pixels, and E_R the mean over the R realisations of the Gram tier alone,

    μ̂ = E_R[g] + (1/N) Σ (m − g),    ŵ = E_R[h] + (1/N) Σ (w − h),    refined² = ŵ − μ̂² + se²(μ̂)                          (1)

Both means are unbiased whatever the tier is worth, since the coefficients are 1 and not fitted; + se² takes the bias of μ̂²
away, as N − 1 does in `between`². With d = w − h − 2 μ̂ (m − g) and c = h − 2 μ̂ g, refined² errs to first order by

    (1/N) Σ (d − d̄) + E_R[c] − E[c],    se² = var(d)/N + var(c)/R + 2 cov(d, c)/max(N, R)                               (2)

since the N are among the R, or these among those. (se²(μ̂) is (2) with d = m − g, c = g.) With Sobol points the errors of
the K replicates, each in both sums, are what is independent: with the terms e_k of replicate k in (2), se² = K/(K − 1) Σ e_k².
`refined_error` is se/(2 refined).

Where the tier is exact, d = 0: what is left is the error of R realisations, however small N is. Where it is the first
order, d is the remainder, a second order.
"""

import numpy as np


def refined(
    m: np.ndarray,
    s: np.ndarray,
    gram_mean: np.ndarray,
    gram_rms: np.ndarray,
    law_n: np.ndarray,
    law_sums: np.ndarray,
    replicate: np.ndarray | None = None,
) -> dict[str, float]:
    """`refined` and `refined_error` of a row, in the unit of the gap.

    Parameters
    ----------
    m, s, gram_mean, gram_rms : (realisation,) image means and standard deviations, the same mean and the rms by the Gram tier
    law_n, law_sums : (8,), (8, 5) of the row, of `expectation.Expectation`
    replicate : (realisation,) of Sobol points; without it realisations are independent

    Returns
    -------
    NaN both for fewer than two realisations or replicates, where the tier says nothing, and where refined² is not positive
    for want of precision
    """
    nothing = {"refined": np.nan, "refined_error": np.nan}
    if m.size < 2 or not law_n.any() or not np.isfinite(law_sums).all():
        return nothing
    g, h = gram_mean, gram_rms**2
    dm, dw = m - g, m**2 + s**2 - h
    of_g, of_h = law_sums[:, :2].sum(axis=0) / law_n.sum()
    mu, w = of_g + dm.mean(), of_h + dw.mean()
    bias = _error_squared(dm, g, law_n, law_sums, np.array([1.0, 0.0]), replicate)
    error = _error_squared(dw - 2 * mu * dm, h - 2 * mu * g, law_n, law_sums, np.array([-2 * mu, 1.0]), replicate)
    square = w - mu**2 + bias
    if square == 0 and error == 0:
        return dict.fromkeys(nothing, 0.0)
    return {"refined": np.sqrt(square), "refined_error": np.sqrt(error / square) / 2} if square > 0 else nothing


def _error_squared(
    d: np.ndarray, c: np.ndarray, n: np.ndarray, sums: np.ndarray, of: np.ndarray, replicate: np.ndarray | None
) -> float:
    """se² of equation (2); `of` are the coefficients of g and h in c."""
    total = n.sum()
    if replicate is not None:
        known = np.unique(replicate).size
        each = np.bincount(replicate, d - d.mean(), n.size) / d.size
        each += (sums[:, :2] @ of - n * (sums[:, :2].sum(axis=0) @ of) / total) / total
        return float(known / (known - 1) * (each**2).sum()) if known > 1 else np.nan
    first, (gg, gh, hh) = sums[:, :2].sum(axis=0) / total, sums[:, 2:].sum(axis=0) / total
    spread = np.array([[gg, gh], [gh, hh]]) - np.outer(first, first)
    of_law = max(float(of @ spread @ of), 0.0)
    both = np.cov(d, c)
    return float(max(both[0, 0] / d.size + of_law / total + 2 * both[0, 1] / max(d.size, total), 0.0))
