"""Which files a campaign is made of, and what each depends on. It computes paths and keys, and runs nothing."""

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from radsens import chunk, config, provenance, stopping
from radsens import instrument as instruments
from radsens.config import CONTROL, Config
from radsens.kernel import build, digest
from radsens.realise import Task
from radsens.schema import Fault
from radsens.sources import SOURCES
from radsens.stopping import Decision, Stages
from radsens.target import target

RESULTS = Path("results")
SHARP = 1e-3  # relative standard error of a total beyond which a table of three figures tells nothing more [1]
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")  # as os.path.expandvars knows it, which Snakemake asks


def refuse_unset(resources: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> None:
    """Refuse default resources that name a variable of the environment which is not set, or is empty.

    Snakemake leaves such a name as it is: the scheduler would be given an account called `$RADSENS_ACCOUNT`.
    """
    for resource, value in resources.items():
        for name in ("".join(found) for found in VARIABLE.findall(str(getattr(value, "raw", value)))):
            if not environment.get(name):
                raise Fault(f"default-resources.{resource}: {name} is not set; export {name}=… or write the value in the profile")


class Campaign:
    """A campaign's sources, spans, keys and paths.

    `sources` in its sense are the rows of the sensitivity table: the error sources, their combinations, and the control.
    """

    def __init__(self, settings: Config):
        self.config = settings
        self.root = RESULTS / settings.campaign
        self.instrument = instruments.load(settings.instrument)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The campaign of a YAML file."""
        return cls(config.read(path))

    @classmethod
    def load(cls, tree: dict[str, Any], files: Iterable[str | Path] = (), resources: Mapping[str, Any] | None = None) -> Self:
        """The campaign of Snakemake's `config`, for the Snakefile: a fault is one sentence and exit code 2.

        The files that `config` was read from are read again, since Snakemake takes the last of a key given twice; `resources`
        are those that the profile gives to all rules.
        """
        try:
            target()  # one that is not known is told here
            refuse_unset(resources or {})
            for path in files:
                config.tree_of(path)
            campaign = cls(config.parse(tree))
            campaign.refuse_unwritable()
            _ = campaign.scene_key  # a product that cannot be read is told here
            for name in campaign.staged:
                campaign.decision(name)  # a damaged one is told here, in one sentence
        except Fault as fault:
            print(f"radsens: {fault}", file=sys.stderr)
            raise SystemExit(2) from None
        return campaign

    def refuse_unwritable(self) -> None:
        """Refuse a results folder that cannot be written to, before anything is computed."""
        folder = next(p for p in (self.root, *self.root.parents) if p.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise Fault(f"{folder.resolve()}: results cannot be written there; make it a folder that you may write to")

    @property
    def names(self) -> tuple[str, ...]:
        """All that is realised: the control first, then sources and combinations."""
        return (CONTROL, *self.config.amplitudes, *self.config.combined)

    def members(self, name: str) -> tuple[str, ...]:
        """Error sources drawn under a name."""
        if name == CONTROL:
            return ()
        return self.config.combined.get(name, (name,))

    def task(self, name: str) -> Task:
        """What a job under this name computes."""
        if name not in self.names:
            raise Fault(f"source: {name!r} is not in the campaign; it has {', '.join(self.names)}")
        c = self.config
        amplitudes = {m: c.amplitudes[m].model_dump(mode="json", exclude_defaults=True) for m in self.members(name)}
        return Task(
            instrument=c.instrument,
            seed=c.seed,
            sampling=c.sampling,
            error_in=c.error_in,
            precision=c.precision,
            quantiles=c.quantiles,
            measurement=c.measurement,
            sources=amplitudes,
        )

    def task_json(self, name: str) -> str:
        """The task on a command line."""
        return self.task(name).model_dump_json()

    @cached_property
    def warm_task(self) -> Task:
        """A task that calls all that the campaign's tasks call: every source at once."""
        amplitudes = {source: knobs for name in self.names for source, knobs in self.task(name).sources.items()}
        return self.task(CONTROL).model_copy(update={"sources": amplitudes})

    @cached_property
    def scene_spec(self) -> dict[str, Any]:
        """What the scene file is made of."""
        c = self.config
        return {
            "instrument": c.instrument,
            "bands": list(c.bands),
            "scene": c.scene.model_dump(mode="json"),
            "strata": c.strata.model_dump(mode="json"),
        }

    @cached_property
    def scene_json(self) -> str:
        """The scene's settings on a command line."""
        return json.dumps(self.scene_spec)

    @cached_property
    def scene_key(self) -> str:
        """Key of the scene file."""
        return provenance.scene_key(self.scene_spec["scene"], self.scene_spec["strata"], self.instrument, self.config.bands)

    @cached_property
    def keys(self) -> dict[str, str]:
        """Key of the chunks of each name."""
        return {n: provenance.task_key(self.task(n), self.scene_key, self.instrument, self.config.bands) for n in self.names}

    def limit(self, name: str) -> int:
        """Realisations that a name may have: one where none differs from another."""
        random = any(self.config.amplitudes[m].random for m in self.members(name)) or self.config.measurement.noise
        return self.config.realisations if random and name != CONTROL else 1

    def drawn(self, name: str) -> bool:
        """Whether a name draws parameters; if not, its realisations differ by what is drawn for each pixel alone."""
        return any(SOURCES[m].draws and self.config.amplitudes[m].random for m in self.members(name))

    @cached_property
    def staged(self) -> dict[str, Stages]:
        """The names whose number of realisations is decided after a first stage, and what that decision is made of."""
        rule, span, found = self.config.stop_at, self.config.span, {}
        for name in self.names if rule else ():
            most, drawn = self.limit(name), self.drawn(name)
            first = stopping.first_stage(rule, drawn, span, most) if rule else most
            if rule and first < most:
                sobol = self.config.sampling == "sobol"
                found[name] = Stages(stop_at=rule, span=span, first=first, most=most, drawn=drawn, replicates=sobol)
        return found

    def averaging(self, pixels: int) -> list[str]:
        """Sentences on the sources that draw pixels alone, of at least so many, and are realised more often than serves."""
        few = stopping.images_for(pixels, SHARP)
        found = [name for name in self.names if self.most(name) > few and not self.drawn(name)]
        return [
            f"{name}: about {few} realisations give total to {SHARP:.1%}, as an image averages over its pixels; "
            f"{self.most(name)} are {'allowed' if name in self.staged else 'asked for'}"
            for name in found
        ]

    @cached_property
    def decision_keys(self) -> dict[str, str]:
        """Key of the decision of each staged name."""
        return {name: stopping.key(self.keys[name], stages) for name, stages in self.staged.items()}

    def decision_path(self, name: str) -> str:
        """Path of the decision of a staged name."""
        return str(self.root / "enough" / name / f"{self.decision_keys[name]}.json")

    def decision(self, name: str) -> Decision | None:
        """The decision of a staged name, if it stands."""
        return stopping.read(Path(self.decision_path(name)), self.decision_keys[name])

    def realisations(self, name: str) -> int:
        """Realisations of a name by what is known: as many as were decided, those of the first stage until then."""
        if name not in self.staged:
            return self.limit(name)
        decision = self.decision(name)
        return decision.realisations if decision else self.staged[name].first

    def most(self, name: str) -> int:
        """Realisations that a name can still come to have."""
        return self.realisations(name) if name not in self.staged or self.decision(name) else self.staged[name].most

    def spans(self, name: str) -> list[str]:
        """Names of the spans of a name."""
        return [chunk.span_name(s) for s in chunk.spans(self.realisations(name), self.config.span)]

    @property
    def scene(self) -> str:
        """Path of the scene."""
        return str(self.root / "scene" / f"{self.scene_key}.nc")

    def chunk_folder(self, name: str) -> str:
        """Folder of the chunks of a name."""
        return str(self.root / "chunks" / name / self.keys[name])

    def chunks(self, name: str) -> list[str]:
        """Paths of the chunks of a name."""
        return self.chunks_of(name, self.realisations(name))

    def first_chunks(self, name: str) -> list[str]:
        """Paths of the chunks of the first stage of a name; of all if there is no second one."""
        return self.chunks_of(name, self.staged[name].first if name in self.staged else self.limit(name))

    def chunks_of(self, name: str, count: int) -> list[str]:
        """Paths of the chunks of the first realisations of a name."""
        return [f"{self.chunk_folder(name)}/{chunk.span_name(span)}.nc" for span in chunk.spans(count, self.config.span)]

    @cached_property
    def warm(self) -> str:
        """Path of the file that says that kernels are compiled: of this code and these settings, whatever the amplitudes."""
        name = provenance.key(task=self.task(CONTROL).model_dump(mode="json", exclude={"seed"}), build=build())
        return str(self.root / "warm" / f"{name}.txt")

    def awaited(self, name: str, span: str) -> list[str]:
        """Files that a chunk is made after: the scene, the compiled kernels, and the control, which proves the model.

        A lost one is not awaited by a chunk that stands: Snakemake would make that chunk again after it.
        """
        files = [self.scene, self.warm, *(self.chunks(CONTROL) if name != CONTROL else [])]
        stands = Path(self.chunk_folder(name), f"{span}.nc").exists()
        return [path for path in files if not stands or Path(path).exists()]

    def decided_by(self, name: str) -> list[str]:
        """Chunks that the decision on a staged name is made from; a lost one is not awaited by a decision that stands."""
        stands = Path(self.decision_path(name)).exists()
        return [path for path in self.first_chunks(name) if not stands or Path(path).exists()]

    def gaps(self, name: str) -> str:
        """Path of the gathered rows of a name."""
        return str(self.root / "gaps" / name / f"{self.keys[name]}-{self.realisations(name)}.nc")

    @property
    def all_chunks(self) -> list[str]:
        """Paths of all chunks."""
        return [path for name in self.names for path in self.chunks(name)]

    @property
    def all_gaps(self) -> list[str]:
        """Paths of all gathered rows."""
        return [self.gaps(name) for name in self.names]

    @cached_property
    def id(self) -> str:
        """12 hexadecimal digits of what the tables depend on: changes with any setting that changes a number.

        A decision stands for the rows that follow from it: Snakemake asks for the id before it is made.
        """
        rows = [self.decision_path(name) if name in self.staged else self.gaps(name) for name in self.names]
        rule = {"stop_at": self.config.stop_at.model_dump(mode="json")} if self.config.stop_at else {}
        return provenance.key(gaps=rows, code=digest(provenance.closure("radsens.products.tables")), **rule)

    @property
    def stop_option(self) -> str:
        """Option of `radsens table --write` that tells it which precision was asked, quoted for a shell."""
        rule = self.config.stop_at
        return f" --stop-at {shlex.quote(rule.model_dump_json())}" if rule else ""

    @property
    def table(self) -> str:
        """Path of the sensitivity table."""
        return str(self.root / "sensitivity.csv")

    @property
    def summary(self) -> str:
        """Path of the record beside the tables: campaign id, keys, versions."""
        return str(self.root / "campaign.json")

    @property
    def tables(self) -> list[str]:
        """Paths of all that the last step writes."""
        return [self.table, self.summary, *(str(self.root / name) for name in ("control.csv", "strata.csv")), self.mark]

    @property
    def decisions(self) -> list[str]:
        """Paths of all decisions."""
        return [self.decision_path(name) for name in self.staged]

    @property
    def files(self) -> list[str]:
        """Paths of all that the workflow makes, by what is known."""
        return [*self.begun, *(path for name in self.names for path in self.rest(name))]

    @property
    def begun(self) -> list[str]:
        """Paths of all whose names are known before any decision is made.

        Each is asked for by name: Snakemake looks for what is missing behind a file that it makes again only if nothing
        between the two is `ancient`, else it ends well with tables that are not there.
        """
        first = [path for name in self.names for path in self.first_chunks(name)]
        return [self.scene, *first, *self.decisions, *self.tables]

    def rest(self, name: str, decided: Callable[..., Any] | None = None) -> list[str]:
        """Paths of the second stage of a name and of its gathered rows, which follow from its decision.

        `decided` is how Snakemake waits for that (`get` of the checkpoint): it raises until the decision is made.
        """
        rows = self.rows(name, decided)
        return [*self.chunks(name)[len(self.first_chunks(name)) :], rows]

    def rows(self, name: str, decided: Callable[..., Any] | None = None) -> str:
        """Path of the gathered rows of a name, once its decision is made; `decided` as in `rest`."""
        if decided and name in self.staged:
            decided(campaign=self.config.campaign, source=name, key=self.decision_keys[name])
        return self.gaps(name)

    @property
    def mark(self) -> str:
        """Path of the empty file, named by the campaign's id, that says whose tables stand: only the last written have one."""
        return str(self.root / ".tables" / self.id)

    @property
    def stale(self) -> bool:
        """Whether tables stand that are not this campaign's."""
        return Path(self.table).exists() and not Path(self.mark).exists()
