"""The processor that kernels are compiled for: this one, or one whose code runs on every node of a cluster.

Numba keeps compiled code with the name and the features of the processor that it is for. Those of this one are never quite
those of another node, which then compiles everything again; a pinned target is the same on all nodes, and costs a little
speed (no AVX-512). The bits of a result are the same on every target.
"""

import os
from collections.abc import Mapping

from radsens.schema import Fault

NATIVE = "native"
ASKED = "asked"  # the user's own variables of numba
OWN = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")

# The x86-64 microarchitecture level 3 as LLVM spells it (x86-64 psABI, table 3.1: AVX2, BMI1, BMI2, F16C, FMA, LZCNT, MOVBE;
# the lower levels are in the name). Verified on the assembly: with the name alone numba keeps the features of this
# processor, AVX-512 among them.
PINNED = {"x86-64-v3": ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")}


def target(environment: Mapping[str, str] = os.environ) -> str:
    """Name of the target: that in `RADSENS_TARGET`, else native; `asked` where variables of numba name a processor."""
    if any(environment.get(name) for name in OWN):
        return ASKED
    name = environment.get("RADSENS_TARGET") or NATIVE
    if name not in (NATIVE, *PINNED):
        raise Fault(f"RADSENS_TARGET: {name!r} is not known; give {NATIVE} or {', '.join(PINNED)}")
    return name


def refuse_incapable(name: str, present: Mapping[str, bool], processor: str) -> None:
    """Refuse a pinned target whose code this processor cannot run: `present` says which features it has."""
    if missing := [feature for feature in PINNED[name] if not present.get(feature)]:
        raise Fault(
            f"RADSENS_TARGET: {name} needs {', '.join(missing)}, which the processor of this machine ({processor}) lacks; "
            f"set it to {NATIVE}"
        )


def settings(name: str) -> dict[str, str]:
    """What numba is told of the processor, by names of its configuration: nothing unless the target is pinned."""
    if name not in PINNED:
        return {}
    from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

    refuse_incapable(name, get_host_cpu_features(), get_host_cpu_name())
    return {"CPU_NAME": name, "CPU_FEATURES": ",".join(f"+{feature}" for feature in PINNED[name])}
