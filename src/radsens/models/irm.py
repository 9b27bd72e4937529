"""The parameters of a triplet polarimeter: its instrumental radiometric model (IRM), which the error sources modify."""

from dataclasses import dataclass, replace

import numpy as np

from radsens.instrument import Polarimeter

# Parameters that a realisation may draw, as they are recorded: unit, and whether each sample has its own.
DRAWN = {
    "absolute_gain": ("count", False),
    "relative_transmission": ("1", True),
    "orientation": ("degree", True),
    "efficiency": ("1", True),
    "non_linearity": ("1", False),
    "dark": ("count", False),
}


@dataclass(frozen=True)
class IRM:
    """Instrumental radiometric model of one band; parameters may carry a leading realisation axis.

    Attributes
    ----------
    polarised : whether the band is a triplet (3 samples) or one unpolarised sample
    absolute_gain : A_k t_m, (...) [count per unit of normalised radiance]
    relative_transmission : T_a, (..., sample) [1]
    orientation : α_a, (..., sample) [rad]
    extinction : ρ_e = T_min / T_max, (..., sample); 0 is a perfect polariser, 1 none [1]
    optics_polarisation : (c₂, c₄) of ε(θ) = c₂ θ² + c₄ θ⁴ [rad⁻², rad⁻⁴]
    low_frequency : (c₂, c₄) of P(θ) = 1 + c₂ θ² + c₄ θ⁴ [rad⁻², rad⁻⁴]
    high_frequency : standard deviation of the known inter-pixel coefficients g_a(l, p) [1]
    high_frequency_error : standard deviation of the error on g_a(l, p) [1]
    high_frequency_correlation : of that error inside the triplet [1]
    non_linearity : b, deviation from linearity at full scale, (...) [1]
    non_linearity_order : 2 or 3, exponent of the deviation
    calibrated_at : x₀, fraction of full scale where the absolute calibration pins the gain [1]
    dark : C, (...) [count]
    bits : of the digital counts
    snr : signal-to-noise ratio of one sample at the mean signal of the triplet; infinite without this noise [1]
    detector_noise : read noise [count] and shot variance per count [count] that the detector has when noise is on
    read_noise, shot : read noise [count] and shot variance per count of signal [count]; 0 without this noise
    quantisation, saturation : whether counts are rounded, and cut at full scale
    """

    polarised: bool
    absolute_gain: np.ndarray | float
    relative_transmission: np.ndarray
    orientation: np.ndarray
    extinction: np.ndarray
    optics_polarisation: tuple[float, float]
    low_frequency: tuple[float, float]
    high_frequency: float
    dark: np.ndarray | float
    bits: int
    detector_noise: tuple[float, float]
    high_frequency_error: float = 0.0
    high_frequency_correlation: float = 0.0
    non_linearity: np.ndarray | float = 0.0
    non_linearity_order: int = 2
    calibrated_at: float = 0.0
    snr: float = np.inf
    read_noise: float = 0.0
    shot: float = 0.0
    quantisation: bool = False
    saturation: bool = False

    @property
    def efficiency(self) -> np.ndarray:
        """Polarising efficiency η = (1 − ρ_e) / (1 + ρ_e), (..., sample) [1]."""
        return (1 - self.extinction) / (1 + self.extinction)

    @property
    def sample_gain(self) -> np.ndarray:
        """A_k t_m T_a, (..., sample) [count per unit of normalised radiance]."""
        return np.asarray(self.absolute_gain)[..., None] * self.relative_transmission

    @property
    def full_scale(self) -> float:
        """Dark-free signal that fills the scale, S_fs = 2^bits − 1 − C [count]."""
        return 2**self.bits - 1 - self.dark

    def with_instrument_noise(self) -> "IRM":
        """The same model with the detector's read and shot noise on."""
        return replace(self, read_noise=self.detector_noise[0], shot=self.detector_noise[1])


def nominal(instrument: Polarimeter, band: str, noise: bool = False, quantisation: bool = False, saturation: bool = False) -> IRM:
    """The model of one band as calibrated, of the instrument's own file; measurement noise is off unless asked."""
    detector, b = instrument.detector(band), instrument.band(band)
    extinction = [0.0 if ratio is None else 1 / ratio for ratio in b.extinction_ratio or (1.0,)]
    irm = IRM(
        polarised=b.polarised,
        absolute_gain=instrument.absolute_gain(band) * b.integration_time,
        relative_transmission=np.array(b.relative_transmission or [1.0]),
        orientation=np.array(b.orientation or [0.0]) * (np.pi / 180),
        extinction=np.array(extinction),
        optics_polarisation=b.optics_polarisation,
        low_frequency=b.low_frequency,
        high_frequency=b.high_frequency,
        dark=detector.dark,
        bits=detector.bits,
        detector_noise=(detector.read_noise, detector.shot),
        quantisation=quantisation,
        saturation=saturation,
    )
    return irm.with_instrument_noise() if noise else irm


def drawn(nominal: IRM, actual: IRM, believed: IRM, count: int) -> dict[str, np.ndarray]:
    """Parameters as drawn, each from the model that it is wrong in, or nominal: (realisation, ...).

    Those of `DRAWN`, in its units, (realisation, sample) or (realisation,).
    """
    found = {}
    for name, (unit, per_sample) in DRAWN.items():
        of = [np.asarray(getattr(irm, name)) for irm in (nominal, believed, actual)]
        value = of[1] if of[1].shape != of[0].shape or (of[1] != of[0]).any() else of[2]
        shape = (count, nominal.relative_transmission.size) if per_sample else (count,)
        found[name] = np.broadcast_to(np.degrees(value) if unit == "degree" else value, shape)
    return found
