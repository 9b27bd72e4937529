"""Frozen records shared by every room of the house."""

from dataclasses import dataclass
from typing import Annotated, Any, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
"""A name that becomes a path or reaches a command line."""


class Fault(ValueError):
    """Something the user must mend, in one sentence: what, where and what is allowed."""


class Frozen(BaseModel):
    """A typed, immutable record that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def truth_is_not_a_number(cls, tree: Any) -> Any:
        for name, value in tree.items() if isinstance(tree, dict) else ():
            field = cls.model_fields.get(name)
            if isinstance(value, bool) and field and bool not in (field.annotation, *get_args(field.annotation)):
                raise ValueError(f"{name}: must not be {str(value).lower()}; {field.description}")
        return tree


def sentence(error: ValidationError, *where: str) -> str:
    """First complaint of a validation in one sentence: the knob's path, what is wrong, what came, how many more there are."""
    first, *more = error.errors()
    steps = [str(step) for step in (*where, *first["loc"]) if not str(step).startswith("function-")]
    message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if first["type"] == "extra_forbidden":
        message = "unknown key"
    got = first["input"]
    came = "" if isinstance(got, dict | BaseModel) or first["type"] in ("missing", "value_error") else f", got {got!r}"
    rest = f" (and {len(more)} more)" if more else ""
    return f"{'.'.join(steps) or 'campaign'}: {message[0].lower()}{message[1:]}{came}{rest}"


@dataclass(frozen=True)
class Scene:
    """Reference L1 image: one Stokes vector per band and pixel, in the focal-plane frame.

    Attributes
    ----------
    bands : names of the spectral bands, the first axis of `stokes`
    stokes : (band, 3, pixel) I, Q, U in normalised radiance πL/E₀ [1]
    x, y : (pixel,) focal-plane coordinates in units of the focal length, y along the rows and x along
        the columns; the azimuth is φ = atan2(y, x) [1]
    theta : (pixel,) field angle [rad]
    detector : (pixel,) address of the detector element, shared by the views of a scene
    sample : (pixel,) address of the sample, one per view
    scene_class : (pixel,) index into `class_names`
    class_names : names of the scene classes
    shape : (rows, columns) of the image when `detector` = row * columns + column, for drawing
    geometry : further fields of each pixel, (pixel,) [deg], for drawing and analysis
    """

    bands: tuple[str, ...]
    stokes: np.ndarray
    x: np.ndarray
    y: np.ndarray
    theta: np.ndarray
    detector: np.ndarray
    sample: np.ndarray
    scene_class: np.ndarray
    class_names: tuple[str, ...]
    shape: tuple[int, int]
    geometry: dict[str, np.ndarray]
