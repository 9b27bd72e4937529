"""A campaign's YAML, typed: every knob has its unit, its bounds and one sentence."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zlib import crc32

import yaml
from pydantic import AfterValidator, Field, create_model, model_validator

from radsens import instrument as instruments
from radsens.gaps.strata import ALL, Strata
from radsens.realise import Measurement
from radsens.scenes import SceneSpec
from radsens.schema import Fault, Frozen, Name, validated
from radsens.sources import SOURCES
from radsens.sources._source import Sampling
from radsens.stopping import StopAt

CONTROL = "control"

KNOBS: dict[str, Any] = {n: (s.Amplitudes | None, Field(None, description=f"{s.term} ({s.symbol})")) for n, s in SOURCES.items()}
Sources = create_model("Sources", __base__=Frozen, __doc__="Error sources of the campaign, each with its amplitudes.", **KNOBS)


def _shipped(name: str) -> str:
    if name not in instruments.names():
        raise ValueError(f"there is no instrument {name!r}; those shipped are {', '.join(instruments.names())}")
    return name


class Config(Frozen):
    """A campaign."""

    campaign: Name = Field(description="name of the campaign, and of its folder under results/")
    instrument: Annotated[Name, AfterValidator(_shipped)] = Field(description="instrument, one of `radsens instruments`")
    bands: tuple[Name, ...] = Field(min_length=1, description="bands of the instrument to analyse")
    scene: SceneSpec = Field(description="reference image")
    strata: Strata = Field(Strata(), description="parts of the image told apart; the whole image always is")
    seed: int = Field(ge=0, lt=2**64, description="seed of all draws")
    sampling: Sampling = Field(
        "random", description="scalar draws: random, or sobol, 8 scrambles of quasi-random points; fields are always random"
    )
    realisations: int = Field(ge=1, le=10_000_000, description="Monte Carlo realisations of each source [1]")
    stop_at: StopAt | None = Field(
        None, description="precision at which a source has enough of them; all are computed if it is not given"
    )
    span: int = Field(50, ge=1, le=1_000_000, description="realisations computed by one job [1]")
    error_in: Literal["knowledge", "instrument"] = Field(
        "knowledge", description="which is wrong: what the processing believes, or the instrument"
    )
    precision: Literal["float64", "float32"] = Field(
        "float32", description="of the pixel computations; float32 keeps seven digits of each error, however small it is"
    )
    quantiles: bool = Field(True, description="whether quantiles and histograms are taken, or moments and extremes alone")
    measurement: Measurement = Field(Measurement(), description="noise, quantisation and saturation of all measurements")
    sources: Sources = Field(description="error sources and their amplitudes")
    combined: dict[Name, tuple[str, ...]] = Field({}, description="names of sets of the sources above, drawn together")

    @property
    def amplitudes(self) -> dict[str, Any]:
        """Amplitudes of the sources that the campaign has, by name."""
        return {n: getattr(self.sources, n) for n in SOURCES if getattr(self.sources, n) is not None}

    @model_validator(mode="after")
    def sources_that_are_named_have_knobs(self) -> Self:
        for name in self.sources.model_fields_set:
            if getattr(self.sources, name) is None:
                raise ValueError(
                    f"sources.{name}: give its knobs, {', '.join(SOURCES[name].Amplitudes.model_fields)}, or leave it out"
                )
        return self

    @model_validator(mode="after")
    def bands_are_the_instruments(self) -> Self:
        instrument = instruments.load(self.instrument)
        for name in self.bands:
            if name not in instrument.band_names:
                raise ValueError(f"bands: {instrument.name} has no band {name!r}; it has {', '.join(instrument.band_names)}")
        if twice := [n for n, c in Counter(self.bands).items() if c > 1]:
            raise ValueError(f"bands: {twice[0]} comes twice")
        return self

    @model_validator(mode="after")
    def sources_suit_the_instrument(self) -> Self:
        instrument = instruments.load(self.instrument)
        if not self.amplitudes:
            raise ValueError(f"sources: name at least one of {', '.join(SOURCES)}")
        for name in self.amplitudes:
            source = SOURCES[name]
            if source.model != instrument.model:
                raise ValueError(
                    f"sources.{name}: belongs to the model {source.model}, but {instrument.name} is a {instrument.model}"
                )
            if source.polarised and not any(instrument.band(b).polarised for b in self.bands):
                raise ValueError(f"sources.{name}: acts on polarisers, and none of the bands {', '.join(self.bands)} has any")
        return self

    @model_validator(mode="after")
    def combined_names_and_members_are_clear(self) -> Self:
        for name, members in self.combined.items():
            if name in SOURCES or name == CONTROL:
                raise ValueError(f"combined.{name}: this name is taken; choose another")
            if missing := [m for m in members if m not in self.amplitudes]:
                raise ValueError(
                    f"combined.{name}: {missing[0]!r} is not among the sources of the campaign: {', '.join(self.amplitudes)}"
                )
            if len(members) < 2 or len(set(members)) < len(members):
                raise ValueError(f"combined.{name}: needs two or more different sources, got {list(members)}")
        return self

    @model_validator(mode="after")
    def precision_is_asked_where_there_are_strata(self) -> Self:
        for name in self.stop_at.strata if self.stop_at else ():
            field = name.partition(":")[0]
            if name != ALL and field not in self.strata.fields:
                known = ", ".join((ALL, *(f"those of {f}" for f in self.strata.fields)))
                raise ValueError(f"stop_at.strata: there is no stratum {name!r}; the campaign has {known}")
        return self

    @model_validator(mode="after")
    def names_address_different_draws(self) -> Self:
        for names in (tuple(SOURCES), self.bands):
            if len({crc32(n.encode()) for n in names}) < len(names):
                raise ValueError(
                    f"the names {', '.join(names)} do not have different crc32, which address their draws; rename one"
                )
        return self


class _OneKeyEach(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.YAMLError(f"the key {key.value!r} is given twice, line {key.start_mark.line + 1}")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse(tree: Any) -> Config:
    """A campaign from the tree of its YAML.

    Raises
    ------
    Fault : the first thing that is wrong, with the knob's path and what is allowed
    """
    if not isinstance(tree, dict) or not tree:
        raise Fault("campaign: give a campaign's YAML, as --configfile config/test.yaml; it must be a mapping of knobs")
    return validated(Config, tree)


def tree_of(path: str | Path) -> Any:
    """Tree of a YAML file, each of whose keys is given once."""
    path = Path(path)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _OneKeyEach)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise Fault(f"{path}: cannot be read ({error.strerror}); give a campaign's YAML, such as config/test.yaml") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise Fault(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error


def read(path: str | Path) -> Config:
    """A campaign from its YAML file."""
    return parse(tree_of(path))
