"""The command line: the same verbs as the workflow's rules, and what a user asks beside them.

A fault of the user is one sentence and exit code 2; nothing is written.
"""

import gc
import json
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from radsens import kernel, record
from radsens.schema import Fault, named, validated

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich", help=__doc__
)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="the campaign's YAML")]
Output = Annotated[Path, typer.Option("--output", "-o", callback=named, help="file to write")]
Key = Annotated[str | None, typer.Option(help="key that the file must have; refused if the code or the settings give another")]
Profile = Annotated[str, typer.Option(help="profile of Snakemake: its name under profiles/, or its folder")]
_log: list[Path] = []
INTERRUPTED = 130  # exit code of a command that Ctrl-C ended


@app.callback()
def log_file(log: Annotated[Path | None, typer.Option(help="file that receives the messages too")] = None) -> None:
    """Radiometric sensitivity of space radiometers to errors of their calibration."""
    if log:
        _log.append(log)
        record.begin(log)


def example(text: str) -> dict[str, Any]:
    """Epilogue of a command's help."""
    return {"epilog": f"Example: [bold]{text}[/bold]"}


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Fault(f"{name}: not valid JSON: {error}; give a campaign's YAML, or what `snakemake -np` prints") from error


def _campaign(path: Path) -> Any:
    from radsens.campaign import Campaign

    return Campaign.read(path)


@app.command(**example("radsens check config/test.yaml"))
def check(config: ConfigFile) -> None:
    """Check a campaign and say what it is: scene, strata, jobs, expected failures. Writes nothing but tables to the cache."""
    from radsens.products.overview import overview

    overview(_campaign(config))


@app.command(**example("radsens preview config/test.yaml"))
def preview(
    config: ConfigFile,
    stratum: Annotated[str, typer.Option(help="part of the image to print")] = "all",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", callback=named, help="CSV to write, of all strata; none if not given")
    ] = None,
) -> None:
    """Predict the sensitivity table of a campaign in seconds, for its own realisations, without a pass over the pixels."""
    from radsens.products.preview import show_preview

    show_preview(_campaign(config), stratum, output)


@app.command(**example("radsens sources"))
def sources() -> None:
    """The effects table: every error source that can be named in a campaign."""
    from radsens.products.effects import show_effects

    show_effects()


@app.command(**example("radsens instruments parasol"))
def instruments(
    name: Annotated[str | None, typer.Argument(help="an instrument, to list its numbers and their sources")] = None,
) -> None:
    """The instruments that are shipped, or the numbers of one with their status and source."""
    from radsens.products.overview import instruments_table

    instruments_table(name)


@app.command(**example("radsens scene config/test.yaml --output scene.nc"))
def scene(
    spec: Annotated[str, typer.Argument(help="a campaign's YAML, or the JSON that the workflow passes")],
    output: Output,
    key: Key = None,
    threads: Annotated[int, typer.Option(min=1, help="processes that make tables of radiative transfer, if any are missing")] = 1,
) -> None:
    """Render the reference image of a campaign to netCDF."""
    from radsens import chunk

    settings = _json(spec, "SPEC") if spec.startswith("{") else _campaign(Path(spec)).scene_spec
    chunk.write_scene(settings, output, key, threads)


@app.command(**example("radsens show config/test.yaml --output scene.png"))
def show(
    config: ConfigFile,
    output: Output,
    band: Annotated[str | None, typer.Option(help="band to draw; all if not given")] = None,
    view: Annotated[int, typer.Option(min=0, help="view to draw")] = 0,
) -> None:
    """Draw the reference image of a campaign: natural colours, classes, geometry, I, DoLP and AoLP, to PNG."""
    from radsens.products.show import draw_scene

    draw_scene(_campaign(config), output, band, view)


@app.command(**example("radsens warm config/test.yaml"))
def warm(
    task: Annotated[str, typer.Argument(help="a campaign's YAML, or the JSON that the workflow passes")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", callback=named, help="file to write what is said to; not printed then")
    ] = None,
) -> None:
    """Compile the kernels of a campaign into the cache, once for all of its jobs and nodes: one job of the workflow."""
    from radsens import warm as warming
    from radsens.realise import Task

    settings = validated(Task, _json(task, "TASK")) if task.startswith("{") else _campaign(Path(task)).warm_task
    kernel.lean_compiler()
    said = warming.warm(settings)
    if output:
        warming.mark(output, said)
    else:
        typer.echo(said)


@app.command(**example("radsens realise polariser_orientation 000000-000019 --task config/test.yaml --output chunk.nc"))
def realise(
    source: Annotated[str, typer.Argument(help="error source, combination, or control")],
    span: Annotated[str, typer.Argument(help="first and last realisation, inclusive: 000000-000049")],
    task: Annotated[str, typer.Option(help="the campaign's YAML, or the JSON that the workflow passes")],
    output: Output,
    scene: Annotated[Path | None, typer.Option(help="scene file; the campaign's own if not given")] = None,
    key: Key = None,
    threads: Annotated[int, typer.Option(min=1, help="threads; the result does not depend on it")] = 1,
) -> None:
    """Compute the gaps of a span of realisations of one source: one job of the workflow."""
    from radsens import chunk
    from radsens.operate.outcomes import outcomes
    from radsens.realise import Task

    if task.startswith("{"):
        settings = validated(Task, _json(task, "--task"))
        if scene is None:
            raise Fault("--scene: give the scene file when the task is JSON")
    else:
        campaign = _campaign(Path(task))
        settings, scene = campaign.task(source), scene or Path(campaign.scene)
        if not scene.is_file():
            raise Fault(f"{scene}: there is no such file; make it with radsens scene {task} --output {scene}")
    kernel.lean_compiler()
    made = chunk.write_chunk(settings, scene, chunk.span_of(span), output, threads, key)
    for log in _log:
        record.note(log, **outcomes(made))


@app.command(**example("radsens enough results/test/chunks/hf_equalisation/<key> --stages '{…}' --output enough.json"))
def enough(
    chunks: Annotated[Path, typer.Argument(help="folder of the chunks, named by their key")],
    stages: Annotated[str, typer.Option(help="the JSON that the workflow passes: spans, stages, precision that is asked")],
    output: Output,
    key: Key = None,
) -> None:
    """Decide from its first stage how many realisations a source takes (`stop_at`): one step of the workflow."""
    from radsens import stopping
    from radsens.products import enough as deciding

    typer.echo(stopping.sentence(deciding.write(chunks, _json(stages, "--stages"), output, key)))


@app.command(**example("radsens gather results/test/chunks/control/<key> --realisations 1 --span 20 --output gaps.nc"))
def gather(
    chunks: Annotated[Path, typer.Argument(help="folder of the chunks, named by their key")],
    realisations: Annotated[int, typer.Option(min=1, help="realisations of the source")],
    span: Annotated[int, typer.Option(min=1, help="realisations of one chunk")],
    output: Output,
) -> None:
    """Gather the chunks of one source, each checked, into one file."""
    from radsens import gather as gathering
    from radsens import io

    io.write(output, gathering.gather(chunks, realisations, span))


@app.command(**example("radsens table config/test.yaml"))
def table(
    where: Annotated[Path, typer.Argument(help="the campaign's YAML to print its table; with --write, the folder to write to")],
    gaps: Annotated[list[Path] | None, typer.Argument(help="with --write: the gathered rows of each source")] = None,
    write: Annotated[str | None, typer.Option(help="write the tables, under this campaign id, instead of printing them")] = None,
    stratum: Annotated[str, typer.Option(help="part of the image to print")] = "all",
    stop_at: Annotated[str | None, typer.Option(help="with --write: the JSON of `stop_at`, if the campaign has it")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="print what stands by now, while sources are missing")] = False,
) -> None:
    """Print the sensitivity table of a campaign with its control row, or write it: one step of the workflow."""
    if partial and write is not None:
        raise Fault("--partial: a partial table is printed, never written; leave out --write")
    if write is not None:
        from radsens.products import tables
        from radsens.stopping import StopAt

        rule = None if stop_at is None else validated(StopAt, _json(stop_at, "--stop-at"), "stop_at")
        tables.write(write, gaps or [], where, rule)
    elif gaps:
        raise Fault(f"{gaps[0]}: gathered rows are given with --write alone; a table is printed from the campaign's YAML")
    elif partial:
        from radsens.products.partial import show_partial

        show_partial(_campaign(where), stratum)
    else:
        from radsens.products.screen import show_table

        show_table(_campaign(where), stratum)


@app.command(**example("radsens image polariser_orientation 7 --config config/test.yaml"))
def image(
    source: Annotated[str, typer.Argument(help="error source, combination, or control")],
    realisation: Annotated[int, typer.Argument(min=0, help="number of the realisation")],
    config: Annotated[Path, typer.Option(help="the campaign's YAML")] = Path("config/test.yaml"),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="netCDF to write, and PNG beside it; default: the campaign's images/")
    ] = None,
    band: Annotated[str | None, typer.Option(help="band of the PNG; the first that the source acts on if not given")] = None,
    view: Annotated[int, typer.Option(min=0, help="view of the PNG")] = 0,
) -> None:
    """The image with calibration error of one realisation: reference, with error and gap of I, Q, U, DoLP, AoLP."""
    from radsens.products.images import write_image

    for path in write_image(_campaign(config), source, realisation, output, band, view):
        typer.echo(path)


@app.command(**example("radsens export config/product.yaml polariser_orientation 7 --output with_error.h5"))
def export(
    config: ConfigFile,
    source: Annotated[str, typer.Argument(help="error source, combination, or control")],
    realisation: Annotated[int, typer.Argument(min=0, help="number of the realisation")],
    output: Output,
    float32: Annotated[bool, typer.Option("--float32", help="write I, Q and U of the bands as 32-bit reals, not packed")] = False,
) -> None:
    """Copy the product of a campaign with I, Q, U of its bands replaced by those with the error of one realisation."""
    from radsens.products import export as exporting

    for line in exporting.export(_campaign(config), source, realisation, output, float32).lines:
        typer.echo(line)


@app.command(**example("radsens plan config/parasol.yaml --jobs 200"))
def plan(
    config: ConfigFile,
    jobs: Annotated[int | None, typer.Option(min=1, help="jobs that run at once; the profile's if not given, else 100")] = None,
    profile: Annotated[str | None, typer.Option(help="profile of Snakemake that will run it, for its number of jobs")] = None,
) -> None:
    """What a campaign will take, from a short calibration here, and the span to choose. Submits and writes nothing."""
    from radsens.operate import plan as planning

    planning.plan(_campaign(config), planning.jobs_at_once(jobs, profile))


@app.command(name="run", **example("radsens run config/test.yaml --profile local -- --until realise"))
def run_campaign(
    config: ConfigFile,
    extra: Annotated[list[str] | None, typer.Argument(metavar="[-- ARGUMENTS]", help="further arguments of snakemake")] = None,
    profile: Profile = "local",
) -> None:
    """Run a campaign with Snakemake, whose command is printed; a lock that a dead run left is taken away first."""
    from radsens.operate import run as running

    raise typer.Exit(running.run(_campaign(config), config, profile, extra or []))


@app.command(**example("radsens status config/test.yaml --watch"))
def status(
    config: ConfigFile,
    watch: Annotated[bool, typer.Option("--watch", help="show it anew every five seconds")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print it for scripts")] = False,
) -> None:
    """How a campaign stands: done, running, failed and why, missing, time left, precision. Exit code 0: complete; 1: not yet."""
    from radsens.operate import status as standing

    campaign = _campaign(config)
    if as_json:
        found = standing.status(campaign)
        typer.echo(standing.as_json(found))
    else:
        found = standing.watch(campaign) if watch else standing.show(campaign)
    raise typer.Exit(0 if found.complete else 1)


@app.command(**example("radsens why config/test.yaml polariser_orientation/7"))
def why(
    config: ConfigFile,
    what: Annotated[str, typer.Argument(metavar="CHUNK", help="SOURCE/REALISATION, SOURCE/FIRST-LAST or the path of a chunk")],
) -> None:
    """Why a chunk or a realisation is as it is: state, reason, draws, command, digests, host, log, and how to make it here."""
    from radsens.operate.why import explained

    for line in explained(_campaign(config), config, what):
        typer.echo(line)


@app.command(**example("radsens rerun config/test.yaml --source non_linearity --realisations 0,1,20-23"))
def rerun(
    config: ConfigFile,
    failed: Annotated[bool, typer.Option("--failed", help="the jobs that failed or were lost")] = False,
    source: Annotated[str | None, typer.Option(help="all chunks of this source, compared with those that stand")] = None,
    realisations: Annotated[str | None, typer.Option(help="the chunks that hold them, such as 0,1,20-23")] = None,
    profile: Profile = "local",
) -> None:
    """Compute again what failed, or chunks that stand: their bits must come out the same. Nothing is lost on the way."""
    from radsens.operate import rerun as again

    raise typer.Exit(again.rerun(_campaign(config), config, profile, failed, source, realisations))


@app.command(**example("radsens prune config/test.yaml --yes"))
def prune(config: ConfigFile, yes: Annotated[bool, typer.Option("--yes", help="remove them")] = False) -> None:
    """List the files of a campaign that are of other settings or that failures left, and remove them."""
    from radsens.operate import prune as pruning

    pruning.prune(_campaign(config), yes)


cluster = typer.Typer(no_args_is_help=True, help="What a cluster must give before a campaign goes there.")
app.add_typer(cluster, name="cluster", **example("radsens cluster check --profile sge"))


@cluster.command(name="check", **example("radsens cluster check --profile sge"))
def cluster_check(profile: Profile) -> None:
    """Check a profile: its library, its scheduler, and one trivial job from submission to log; say what to mend."""
    from radsens.operate.cluster import check

    if not check(profile):
        raise typer.Exit(1)


def _say(text: str) -> None:
    """A message on the screen and in the log."""
    print(text, file=sys.stderr)
    for path in _log:
        with suppress(OSError):  # it is on the screen
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as f:
                f.write(text + "\n")


def _outcome(command: Callable[[], Any]) -> tuple[int, str]:
    """Exit code of a command, and the reason of its failure."""
    try:
        command()
    except Fault as fault:
        _say(f"radsens: {fault}")
        return 2, str(fault)
    except SystemExit as stop:
        code = int(stop.code or 0)
        return code, "interrupted" if code == INTERRUPTED else f"ended with exit code {code}"
    except MemoryError:
        reason = "not enough memory; give fewer strata or a smaller span, or run on a larger node"
        _say(f"radsens: {reason}")
        return 1, reason
    except Exception as error:  # noqa: BLE001 - a fault of ours: not swallowed, its trace goes to the log and the exit code is 1
        _say(traceback.format_exc())
        return 1, traceback.format_exception_only(error)[-1].strip()
    return 0, ""


def run(command: Callable[[], Any]) -> int:
    """Exit code of a command: 0; 2 for a fault of the user, in one sentence; 1 for a fault of ours, with its trace.

    A job of the workflow, which has a log, leaves its record beside it.
    """
    _log.clear()
    code, reason = _outcome(command)
    for path in _log:
        record.end(path, code, reason)
    return code


def main() -> None:
    """Entry of the command `radsens`."""
    gc.set_threshold(100_000)  # start-up and compilation make many objects and no garbage: a tenth of their time
    raise SystemExit(run(app))
