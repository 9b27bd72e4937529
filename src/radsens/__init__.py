"""Radiometric sensitivity of space radiometers to errors of their calibration."""

__version__ = "0.1.0"
