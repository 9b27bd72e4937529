"""Measurement models: each module offers `QUANTITIES`, `nominal`, `pixel_table`, `parameters`, `measure` and `retrieve`."""
