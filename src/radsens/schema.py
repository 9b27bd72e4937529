"""Frozen records shared by every room of the house."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$", max_length=64)]
"""A name that becomes a path or reaches a command line, where one that began with - would be an option."""

PHRASES = {
    "extra_forbidden": "unknown key",
    "missing": "must be given",
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be ≥ {ge}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be ≤ {le}",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "must be given",
    "finite_number": "must be a finite number",
    "string_pattern_mismatch": "must be letters, digits, _ and - alone, not beginning with -",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
}
"""What is allowed, by the type of pydantic's complaint; where it has none, by the first word of that type."""

KINDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string": "must be text",
    "tuple": "must be a list",
    "dict": "must be a mapping",
    "model": "must be a mapping of knobs",
}
LONGEST = 80  # characters of a value that a message repeats


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


def _path(steps: tuple[Any, ...], tree: Any) -> list[str]:
    """Path of a knob in the user's tree, without the steps that pydantic adds for the kind of a union and for a key."""
    *above, last = [step for step in steps if step != "[key]"] or [""]
    kept = []
    for step in above:
        if isinstance(tree, dict) and step not in tree:
            continue
        kept.append(str(step))
        tree = tree[step] if isinstance(tree, dict | list) else None
    if isinstance(tree, dict) and tree.get("kind") == last:  # the record itself is wrong, not one of its knobs
        return kept
    return [*kept, str(last)] if last != "" else []


def _allowed(steps: tuple[Any, ...], model: Any) -> str:
    """The keys of `model` that are allowed where the last step is not one."""
    models = [model]
    for step in steps[:-1]:
        inside = [m.model_fields[step].annotation for m in models if step in m.model_fields]
        kinds = [m for m in models if "kind" in m.model_fields and step in get_args(m.model_fields["kind"].annotation)]
        models = [m for one in inside for m in (one, *get_args(one)) if hasattr(m, "model_fields")] or kinds
    return f"; allowed are {', '.join(models[0].model_fields)}" if models else ""


def sentence(error: ValidationError, tree: Any, model: Any, *where: str) -> str:
    """What the validation of a tree by a model complains of, in one sentence: knob, what is allowed, what came, how many more."""
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")  # what it misspells is missing elsewhere
    kind, got, context = first["type"], first["input"], first.get("ctx", {})
    steps = [*where, *_path(first["loc"], tree)]
    rest = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if kind in ("value_error", "assertion_error"):
        message = first["msg"].partition(", ")[2]
        if re.match(r"[^\s:]+: ", message):  # it names a knob below this one
            return ".".join([*steps, message]) + rest
        return ": ".join([*filter(None, [".".join(steps)]), message]) + rest
    if kind.startswith("union_tag"):
        steps, got = [*steps, "kind"], context.get("tag")
    other = KINDS.get(kind.split("_")[0], first["msg"].replace("Input should", "must"))
    message = PHRASES[kind].format(**context) if kind in PHRASES else other
    shown = repr(got) if len(repr(got)) <= LONGEST else repr(got)[:LONGEST] + "…"
    silent = kind in ("missing", "union_tag_not_found") or isinstance(got, dict | BaseModel)
    known = _allowed(first["loc"], model) if kind == "extra_forbidden" else ""
    return f"{'.'.join(steps) or 'campaign'}: {message}{'' if silent else f', got {shown}'}{known}{rest}"


def validated(model: Any, tree: Any, *where: str) -> Any:
    """A tree as a record of `model`.

    Raises
    ------
    Fault : what is wrong, with the path of the knob under `where`
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise Fault(sentence(error, tree, model, *where)) from error


def named(path: Path | None) -> Path | None:
    """A file to be written, if any is: it has a name, which `.` and `/` have not.

    Raises
    ------
    Fault : it has none
    """
    if path is not None and not path.name:
        raise Fault(f"--output: {path} is a folder; give the path of a file in it")
    return path


@dataclass(frozen=True)
class Scene:
    """Reference L1 image as one band sees it, in the focal-plane frame.

    The bands of one detector have the same pixels, those of another have others.

    Attributes
    ----------
    band : name of the spectral band
    stokes : (3, pixel) I, Q, U in normalised radiance πL/E₀ [1]
    x, y : (pixel,) focal-plane coordinates in units of the focal length, y along the rows and x along
        the columns; the azimuth is φ = atan2(y, x) [1]
    theta : (pixel,) field angle [rad]
    detector : (pixel,) address of the detector element, row * columns + column, shared by the views of a scene
    sample : (pixel,) address of the sample, one per view, below 2³²
    view : (pixel,) number of the view
    scene_class : (pixel,) index into `class_names`
    class_names : names of the scene classes, the same for all bands
    plane : name of the band's detector
    shape : (rows, columns) of that detector
    geometry : further fields of each pixel, (pixel,) [deg], for drawing and analysis
    remark : what its reader must know of the choice of the pixels
    """

    band: str
    stokes: np.ndarray
    x: np.ndarray
    y: np.ndarray
    theta: np.ndarray
    detector: np.ndarray
    sample: np.ndarray
    view: np.ndarray
    scene_class: np.ndarray
    class_names: tuple[str, ...]
    plane: str
    shape: tuple[int, int]
    geometry: dict[str, np.ndarray]
    remark: str = ""

    def part(self, chosen: np.ndarray | slice) -> "Scene":
        """Some of its pixels, without the further fields of their geometry."""
        names = ("x", "y", "theta", "detector", "sample", "view", "scene_class")
        fields = {name: getattr(self, name)[chosen] for name in names}
        return replace(self, stokes=self.stokes[:, chosen], geometry={}, **fields)

    def pieces(self, size: int) -> Iterator["Scene"]:
        """All of its pixels in their order, so many at a time; at least one piece."""
        return (self.part(slice(first, first + size)) for first in range(0, max(self.theta.size, 1), size))
