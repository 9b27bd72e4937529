"""Speed of the compiled pass against the same job in tuned NumPy: `python -m benchmarks`, or `make bench`."""

import os

# One thread is what is compared; the libraries of linear algebra read this when numpy is imported.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"
