"""Elementary functions with the same bits on every processor.

The sin, cos, exp, log and arctan of numpy and of libm change with the processor; + − × ÷, rounding to an integer and scaling
by a power of two do not (IEEE 754). So these functions use nothing else, one numpy call per operation, which leaves a
compiler no pair to fuse.

Method: argument reduction with the constant in several parts, then a polynomial. The coefficients are minimax fits
(Remez exchange in 50 to 60 digits with mpmath) rounded to float64. The error beside a fit is relative to its function
and holds for the rounded coefficients in exact arithmetic. The accuracy in a docstring includes the rounding of the
evaluation and bounds what was measured against mpmath.

References
----------
Cody W. J. & Waite W. 1980, Software Manual for the Elementary Functions, Prentice-Hall.
Muller J.-M. 2016, Elementary Functions: Algorithms and Implementation, 3rd ed., Birkhäuser.
Cody W. J. 1969, Rational Chebyshev approximations for the error function, Math. Comp. 23, 631–637.
Shepherd M. M. & Laframboise J. G. 1981, Chebyshev approximation of (1 + 2x) exp(x²) erfc x in 0 ≤ x < ∞,
Math. Comp. 36, 249–253.
Wichura M. J. 1988, Algorithm AS 241: the percentage points of the normal distribution, Applied Statistics 37, 477–484.
"""

import numpy as np

TURN_LIMIT, EXP_LIMIT, NDTR_LIMIT = 1e3, 700.0, 37.0

# π/2 in 33 + 33 + 53 bits and ln 2 in 32 + 53 bits, so that a whole number of up to 20 bits times any part but the last
# is exact.
TWO_OVER_PI = 0.6366197723675814
QUARTER_1, QUARTER_2, QUARTER_3 = 1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21
LOG2_E, LN2_1, LN2_2 = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10
HALF_PI, HALF_PI_REST = 1.5707963267948966, 6.123233995736766e-17
SQRT_HALF = 0.7071067811865476

# fmt: off
# sin r = r + r z S(z) and cos r = 1 − z/2 + z² C(z), z = r², |r| ≤ π/4: errors 6.7e-18 and 1.3e-18.
SIN = (
    -0.16666666666666632, 0.008333333333322413, -0.00019841269829807865, 2.7557313691941534e-06,
    -2.5050758119152935e-08, 1.5896795873775974e-10,
)
COS = (
    0.0416666666666666, -0.0013888888888874125, 2.4801587289482344e-05, -2.7557314352377933e-07,
    2.0875723279083273e-09, -1.1359648088324223e-11,
)

# r coth(r/2) = 2 + z E(z), z = r², |r| ≤ ln(2)/2: error of exp 2.4e-19.
EXP = (
    0.16666666666666555, -0.002777777777669845, 6.613756250584764e-05, -1.65338375701617e-06,
    4.136060327323342e-08,
)

# arctan q = q A(q²), 0 ≤ q ≤ 1: error 6.1e-17. The first coefficient is held at 1, so that arctan q → q exactly.
ARCTAN = (
    1.0, -0.3333333333333186, 0.19999999999755003, -0.1428571427133399, 0.11111110678728241,
    -0.09090901235074327, 0.07692212927243526, -0.06665860339198301, 0.05877307644800749,
    -0.05239232503694407, 0.04673948121193259, -0.04092634817232422, 0.03406775100338143,
    -0.025826716099077628, 0.016977953544545236, -0.00918449670862698, 0.0038559406804861713,
    -0.0011640589839980817, 0.00022301949006272903, -2.025824787930993e-05,
)

# ndtr(−a) exp(a²/2) = (1/2 + s T(t))/(1 + a), s = a/(a + 5), t = (a − 5)/(a + 5), 0 ≤ a ≤ 37: error 6.4e-17.
TAIL = (
    -0.0769683402999245, -0.1061362233680934, 0.16819696022003489, -0.14819225544959316,
    0.09539016951622371, -0.046316243028441256, 0.015975412239084146, -0.002931410906733645,
    -0.00042073394895351176, 0.0004363171353868641, -7.164782038165069e-05, -3.556708335481418e-05,
    1.5771010537684784e-05, 2.3470089575096004e-06, -2.4784930697399153e-06,
    -1.3119611598743617e-07, 3.7343498327887893e-07, 9.705409569045606e-09, -5.0779470603521733e-08,
    -1.6353953664475002e-09, 4.0958180349007376e-09,
)

# ln(1 + f) = 2 artanh s = 2 s + s z L(z), s = f/(2 + f), z = s², √½ ≤ 1 + f ≤ √2: error 1.5e-18.
LOG = (
    0.6666666666666734, 0.39999999999416375, 0.2857142874201498, 0.22222198610842994,
    0.1818356240187849, 0.15314098921479188, 0.14795474282318508,
)

# PPND16 of Wichura 1988 (verified against the statistics module of CPython, which holds them too): ratios of polynomials in
# 0.425² − (p − 1/2)² near the middle, in √(−ln p) − 1.6 and √(−ln p) − 5 in the tails.
MIDDLE = (
    (
        3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
        4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3,
    ),
    (
        1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
        2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3,
    ),
)
NEAR_TAIL = (
    (
        1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
        1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4,
    ),
    (
        1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
        1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9,
    ),
)
FAR_TAIL = (
    (
        6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
        2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7,
    ),
    (
        1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
        7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15,
    ),
)
# fmt: on


def _horner(coefficients, z):
    total = coefficients[-1]
    for c in coefficients[-2::-1]:
        total = total * z + c
    return total


def _wave(x, quarter):
    """Sine of x + quarter · π/2, 0 ≤ quarter < 4 being a whole number."""
    x = np.asarray(x, dtype=np.float64)
    inside = np.abs(x) <= TURN_LIMIT
    t = np.where(inside, x, 0.0)
    n = np.rint(t * TWO_OVER_PI)
    r = ((t - n * QUARTER_1) - n * QUARTER_2) - n * QUARTER_3
    z = r * r
    sine = r + r * (z * _horner(SIN, z))
    near = 1.0 - 0.5 * z
    cosine = near + (((1.0 - near) - 0.5 * z) + z * z * _horner(COS, z))  # what the first sum rounded off comes back
    n = n + quarter
    n = n - 4.0 * np.floor(0.25 * n)
    wave = np.where((n == 1.0) | (n == 3.0), cosine, sine)
    return np.where(inside, np.where(n >= 2.0, -wave, wave), np.nan)[()]


def sin(x):
    """Sine, its argument reduced by π/2 in three parts (Cody & Waite 1980).

    Parameters
    ----------
    x : (...) angle, |x| ≤ 1000 [rad]

    Returns
    -------
    (...) sin x within 2 ulp, NaN outside the domain [1]
    """
    return _wave(x, 0.0)


def cos(x):
    """Cosine, its argument reduced by π/2 in three parts (Cody & Waite 1980).

    Parameters
    ----------
    x : (...) angle, |x| ≤ 1000 [rad]

    Returns
    -------
    (...) cos x within 2 ulp, NaN outside the domain [1]
    """
    return _wave(x, 1.0)


def exp(x):
    """Exponential, its argument reduced by ln 2 in two parts (Cody & Waite 1980).

    x = n ln 2 + r and exp r = 1 + r + r c/(2 − c), c = r − z E(z) (Muller 2016).

    Parameters
    ----------
    x : (...) exponent, |x| ≤ 700 [1]

    Returns
    -------
    (...) exp x within 1 ulp, NaN outside the domain [1]
    """
    x = np.asarray(x, dtype=np.float64)
    inside = np.abs(x) <= EXP_LIMIT
    t = np.where(inside, x, 0.0)
    n = np.rint(t * LOG2_E)
    high, low = t - n * LN2_1, n * LN2_2
    r = high - low
    z = r * r
    c = r - z * _horner(EXP, z)
    y = 1.0 + (high - (low - r * c / (2.0 - c)))
    return np.where(inside, np.ldexp(y, n.astype(np.int32)), np.nan)[()]


def log(x):
    """Natural logarithm, ln x = n ln 2 + ln(1 + f), √½ ≤ 1 + f < √2.

    ln(1 + f) = f − (f²/2 − s (f²/2 + z L(z))), s = f/(2 + f), z = s² (Cody & Waite 1980, their R(z) a polynomial).

    Parameters
    ----------
    x : (...) positive and finite [1]

    Returns
    -------
    (...) ln x within 1 ulp, NaN outside the domain [1]
    """
    x = np.asarray(x, dtype=np.float64)
    inside = (x > 0.0) & (x < np.inf)
    mantissa, n = np.frexp(np.where(inside, x, 1.0))
    low = mantissa < SQRT_HALF
    f = np.where(low, 2.0 * mantissa, mantissa) - 1.0
    n = (n - low).astype(np.float64)
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * (f * f)
    rest = s * (half + z * _horner(LOG, z)) + n * LN2_2
    return np.where(inside, n * LN2_1 - ((half - rest) - f), np.nan)[()]


def arctan(x):
    """Arc tangent, arctan x = π/2 − arctan 1/x beyond 1 (Muller 2016).

    Parameters
    ----------
    x : (...) tangent, any number, also infinite [1]

    Returns
    -------
    (...) arctan x within 2.5 ulp (3e-16 relative) [rad]
    """
    x = np.asarray(x, dtype=np.float64)
    a = np.abs(x)
    q = np.minimum(a, 1.0) / np.maximum(a, 1.0)
    z = q * q
    near = q + q * (z * _horner(ARCTAN[1:], z))
    return np.copysign(np.where(a > 1.0, (HALF_PI - near) + HALF_PI_REST, near), x)[()]


def ndtr(x):
    """Normal cumulative distribution function.

    exp(−x²/2) in two factors (Cody 1969) times a polynomial (Shepherd & Laframboise 1981); 1 − ndtr(−x) above 0.

    Parameters
    ----------
    x : (...) standard normal number, any, also infinite [1]

    Returns
    -------
    (...) ndtr(x) within 6 ulp for −37 ≤ x ≤ 0 (7e-16 relative), 3 ulp for x > 0; 0 or 1 beyond |x| = 37 [1]
    """
    x = np.asarray(x, dtype=np.float64)
    a = np.minimum(np.abs(x), NDTR_LIMIT)
    top = np.ldexp(np.rint(np.ldexp(a, 20)), -20)  # 26 bits: its square is exact
    gauss = exp(-0.5 * (top * top)) * exp(-0.5 * ((a - top) * (a + top)))
    tail = gauss * (0.5 + a / (a + 5.0) * _horner(TAIL, (a - 5.0) / (a + 5.0))) / (1.0 + a)
    tail = np.where(np.abs(x) > NDTR_LIMIT, 0.0, tail)
    return np.where(x > 0.0, 1.0 - tail, tail)[()]


def ndtri(p):
    """Standard normal number below which a share p lies, the inverse of `ndtr`: PPND16 of Wichura 1988.

    Parameters
    ----------
    p : (...) share, 0 < p < 1 [1]

    Returns
    -------
    (...) normal number within 6 ulp (7e-16 relative), NaN outside the domain [1]
    """
    p = np.asarray(p, dtype=np.float64)
    inside = (p > 0.0) & (p < 1.0)
    p = np.where(inside, p, 0.5)
    q = p - 0.5
    middle = np.abs(q) <= 0.425
    r = np.where(middle, 0.180625 - q * q, 0.0)
    centre = q * (_horner(MIDDLE[0], r) / _horner(MIDDLE[1], r))
    t = np.sqrt(-log(np.minimum(p, 1.0 - p)))
    near, far = np.minimum(t, 5.0) - 1.6, np.maximum(t, 5.0) - 5.0
    tail = np.where(
        t <= 5.0, _horner(NEAR_TAIL[0], near) / _horner(NEAR_TAIL[1], near), _horner(FAR_TAIL[0], far) / _horner(FAR_TAIL[1], far)
    )
    return np.where(inside, np.where(middle, centre, np.copysign(tail, q)), np.nan)[()]
