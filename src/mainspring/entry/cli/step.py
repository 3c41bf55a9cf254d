"""`mainspring step`: one step of a run as a process; `--worker` keeps the process and takes steps as JSON lines."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option

if TYPE_CHECKING:
    from mainspring.app.mounted import Mounted

_REFUSED = 3
_path = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the command line asked of a step that opens the ledger."""

    run: str
    environment: str
    settings: tuple[str, ...]
    at: str
    reason: str
    cause: str
    trigger: str
    since: str
    answer: Path | None
    status: str
    repository: str
    branch: str
    mounted: "Mounted"


@click.command()
@click.argument("name", default="")
@click.option("--run", "run_id", default="", metavar="ID", help="The run whose step is meant.")
@click.option("--worker", is_flag=True, help="Take steps as JSON lines on stdin, answer on stdout.")
@click.option("--state", type=_path, metavar="DIR", help="State folder of a replay.")
@click.option("--env", "environment", default="local", show_default=True, help="Environment whose stores are used.")
@click.option("--outcome", type=_path, metavar="FILE", help="Write what the step did here too.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="begin: parameters, blanks between them.")
@click.option("--at", default="", metavar="TIME", help="begin: look back from this time; default: the end of the data.")
@click.option("--reason", default="", help="begin: why, for the ledger.")
@click.option("--cause", default="", metavar="SEQ,...", help="begin: events of the ledger that led here.")
@click.option(
    "--trigger", type=click.Choice(["", "alert", "watch"]), default="", help="begin: who asks, if not people."
)
@click.option("--since", default="", metavar="TIME", help="begin: when they asked; default: now.")
@click.option(
    "--answer", type=_path, metavar="FILE", help="begin: write yes or no here; search: trials; choose: the best."
)
@click.option("--release-file", type=_path, metavar="FILE", help="begin: the release file where it is mounted.")
@click.option("--trust", type=_path, metavar="DIR", help="Public keys (*.pem) that may vouch for the champion.")
@click.option("--keys", type=_path, metavar="DIR", help="Folder of the signing key where it is mounted.")
@click.option("--repository", default="", metavar="URL", help="release: clone this, and push the release commit to it.")
@click.option("--branch", default="main", show_default=True, help="release: of that repository.")
@click.option("--status", default="", help="end: what the workflow ended as.")
@json_option
def step(  # noqa: PLR0913 - one process does any step
    *, name: str, run_id: str, worker: bool, state: Path | None, environment: str, outcome: Path | None,
    as_json: bool, release_file: Path | None, trust: Path | None, keys: Path | None, **asked: Any,  # noqa: ANN401 - click's options
) -> int:  # fmt: skip
    """Run one step of a run as a process: fetch-data, preprocess, train-model or validate-model, and in a cluster also
    begin, register-model (exit 3 if a gate refuses), release, end, search and choose, which open the ledger.
    """
    if worker == bool(name or run_id) or (not worker and not (name and run_id)):
        raise click.UsageError("give a step's name and --run ID, or --worker alone")
    if worker:
        from mainspring.app import steps

        steps.serve_steps(here(), state, environment)
        return 0
    from mainspring.app.mounted import Mounted

    mounted = Mounted(release=release_file, trust=trust, keys=keys)
    if name in _ORCHESTRATED:
        found, line, code = _ORCHESTRATED[name](_Asked(run=run_id, environment=environment, mounted=mounted, **asked))
    else:
        found, line = _performed(name, run_id, state, environment, mounted)
        code = 0
    if outcome is not None:
        outcome.write_text(present.text_of(found), encoding="utf-8")
    if as_json:
        present.emit(found)
    else:
        present.say(line)
    return code


Told = tuple[dict[str, Any], str, int]


def _performed(
    name: str, run_id: str, state: Path | None, environment: str, mounted: "Mounted"
) -> tuple[dict[str, Any], str]:
    from mainspring.app import steps

    done = steps.run_step(here(), state, name, run_id, environment=environment, mounted=mounted)
    how = f"reused from run {done.run}" if done.reused else f"done in {done.seconds:.1f} s"
    return done.to_json(), f"{done.step}: {how}"


def _begin(asked: _Asked) -> Told:
    from mainspring.app.cluster_run import Wish, begin_run
    from mainspring.app.workspace import open_workspace
    from mainspring.kernel.times import parse_time

    workspace = open_workspace(here(), environment=asked.environment, mounted=asked.mounted)
    at, since = (parse_time(text) if text else 0 for text in (asked.at, asked.since))
    trigger: Any = asked.trigger
    wish = Wish(
        at=at, settings=" ".join(asked.settings).split(), reason=asked.reason, cause=_numbers(asked.cause),
        trigger=trigger, since=since,
    )  # fmt: skip
    run, why = begin_run(workspace, asked.run, wish)
    _answer(asked, "yes" if run else "no")
    if run is None:
        return {"run": asked.run, "begun": False, "why": why}, f"run {asked.run} is not due: {why}", 0
    found = {"run": run.id, "begun": True, "snapshot": run.snapshot, "champion": run.champion}
    return found, f"run {run.id} begins", 0


def _answer(asked: _Asked, text: str) -> None:
    if asked.answer is not None:
        asked.answer.write_text(text, encoding="utf-8")


def _search(asked: _Asked) -> Told:
    from mainspring.app.searching import begin_search
    from mainspring.app.workspace import open_workspace
    from mainspring.kernel.times import parse_time

    workspace = open_workspace(here(), environment=asked.environment, mounted=asked.mounted)
    at, settings = parse_time(asked.at) if asked.at else 0, " ".join(asked.settings).split()
    trials = [{"run": run.id} for run in begin_search(workspace, asked.run, at=at, settings=settings)]
    _answer(asked, json.dumps(trials))
    return {"run": asked.run, "trials": trials}, f"{len(trials)} trials of {asked.run}", 0


def _choose(asked: _Asked) -> Told:
    from mainspring.app.searching import choose, settings_of
    from mainspring.app.workspace import open_workspace

    best = choose(open_workspace(here(), environment=asked.environment, mounted=asked.mounted), asked.run)
    _answer(asked, settings_of(best))
    return {"run": asked.run, "best": best}, f"best of {asked.run}: {settings_of(best)}", 0


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        raise click.UsageError(f"--cause {text[:60]!r} is not a list of numbers; write 12,13") from None


def _register(asked: _Asked) -> Told:
    from mainspring.app.cluster_run import register_run
    from mainspring.app.workspace import open_workspace

    result = register_run(open_workspace(here(), environment=asked.environment, mounted=asked.mounted), asked.run)
    passed = result.verdict.passed
    reasons = [{"gate": r.gate, "passed": r.passed, "what": r.what} for r in result.verdict.reasons]
    found = {
        "run": asked.run, "version": result.version, "digest": result.digest, "passed": passed, "reasons": reasons,
    }  # fmt: skip
    line = f"version {result.version} ({present.short(result.digest)}): {'passed' if passed else 'REFUSED'}"
    return found, line, 0 if passed else _REFUSED


def _release(asked: _Asked) -> Told:
    from mainspring.app.clones import open_clone
    from mainspring.app.cluster_run import release_run
    from mainspring.app.workspace import open_workspace

    if asked.repository:
        place, keys = asked.environment, asked.mounted.keys
        workspace = open_clone(here(), asked.repository, asked.branch, environment=place, keys=keys)
    else:
        workspace = open_workspace(here(), environment=asked.environment)
    version, began, why = release_run(workspace, asked.run, committed=bool(asked.repository))
    line = f"version {version} begins in {asked.environment}" if began else f"version {version} does not begin: {why}"
    return {"run": asked.run, "version": version, "began": began, "why": why}, line, 0


def _end(asked: _Asked) -> Told:
    from mainspring.app.cluster_run import end_run
    from mainspring.app.workspace import open_workspace

    event = end_run(
        open_workspace(here(), environment=asked.environment, mounted=asked.mounted), asked.run, asked.status
    )
    what = "the ledger has its end" if event is None else f"told the ledger that it ended as {asked.status}"
    return {"run": asked.run, "told": event is not None}, f"run {asked.run}: {what}", 0


_ORCHESTRATED: Mapping[str, Callable[[_Asked], Told]] = {
    "begin": _begin,
    "search": _search,
    "choose": _choose,
    "register-model": _register,
    "release": _release,
    "end": _end,
}

command = step
