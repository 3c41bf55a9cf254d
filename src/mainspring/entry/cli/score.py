"""`mainspring score`: many asks at once, logged and traceable like those of the server."""

from pathlib import Path

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option

_folder = click.Path(path_type=Path, file_okay=False)
_file = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("file", type=_file, required=False)
@click.option("--out", type=_folder, required=True, help="Folder of the answers, a Parquet file a part.")
@click.option("--period", nargs=2, default=("", ""), metavar="FROM TO", help="Asks of the last snapshot in [FROM, TO).")
@click.option("--part-rows", default=50_000, show_default=True, help="Rows a part.")
@click.option("--env", "environment", default="local", show_default=True, help="Environment whose release answers.")
@click.option("--to", default="", metavar="URL", help="Object store that keeps the answers too.")
@click.option("--log-sink", "sinks", multiple=True, metavar="URL", help="Send the prediction log here too.")
@click.option("--release-file", type=_file, help="Release file where it is mounted.")
@click.option("--trust", type=_folder, help="Public keys (*.pem) that may vouch for the model, where they are mounted.")
@click.option("--online", default="", metavar="URL", help="Redis that fills FILE's keys; else the environment's own.")
@json_option
def score(  # noqa: PLR0913 - click's options
    *, file: Path | None, out: Path, period: tuple[str, str], part_rows: int, environment: str, to: str,
    sinks: tuple[str, ...], release_file: Path | None, trust: Path | None, online: str, as_json: bool,
) -> None:  # fmt: skip
    """Score FILE (CSV or Parquet: inputs, or only key and asked_at), or the asks of a period of the last snapshot.

    Run it again to go on with a job that stopped: parts that are done are not done again. Every row gets a prediction
    id and stands in the prediction log, so `watch`, `label` and `lineage` treat it like one of the server's.
    """
    from mainspring.app.mounted import Mounted
    from mainspring.app.scoring import Batch, moment, score_batch
    from mainspring.app.workspace import open_workspace
    from mainspring.entry.cli.mounted import without_password

    if file is not None and any(period):
        raise click.UsageError("give a file or a period, not both")
    if file is None and online:
        raise click.UsageError("--online fills a file's keys; a period's features come from the snapshot")
    start, end = (moment(text) for text in period)
    batch = Batch(out=out, file=file, start=start, end=end, part_rows=part_rows, to=to, sinks=sinks)
    mounted = Mounted(release=release_file, trust=trust, online=without_password(online))
    found = score_batch(open_workspace(here(), environment=environment, mounted=mounted), batch, present.progress)
    if as_json:
        present.emit(
            {"rows": found.rows, "parts": found.parts, "reused": found.reused, "champion": found.champion,
             "out": str(out)}
        )  # fmt: skip
        return
    kept = f", {found.reused} of them from before" if found.reused else ""
    present.say(f"{found.rows:,} rows scored by {present.short(found.champion)}: {found.parts} parts in {out}{kept}")
