"""`mainspring features`, `data` and `keys`: what is defined, what was taken, who is trusted."""

from pathlib import Path

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option


@click.group()
def features() -> None:
    """List features; bring the online store up to date."""


@features.command("list")
@json_option
def list_features(as_json: bool) -> None:
    """List every feature with the view that makes it."""
    from mainspring.app.workspace import open_workspace
    from mainspring.data.views import WindowView, columns_of

    views = open_workspace(here()).settings.definitions.views
    rows = [
        (f"{view.name}.{name}", "window" if isinstance(view, WindowView) else "row", view.source, ", ".join(view.by))
        for view in views
        for name in columns_of(view)
    ]
    if as_json:
        names = ("feature", "kind", "source", "by")
        present.emit({"features": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    present.table(("feature", "kind", "source", "by"), rows)


@features.command()
@click.option("--until", default="", metavar="TIME", help="Bring it up to this time; default: the end of the data.")
@click.option("--to", "environment", default="local", metavar="ENV", help="Environment whose stores.online is written.")
@click.option("--online", default="", metavar="URL", help="Write to this Redis: an address, or secret://env/NAME.")
@json_option
def materialise(until: str, environment: str, online: str, as_json: bool) -> None:
    """Write what every view shows into the online store, from where the last call ended; readers see it at the end."""
    from mainspring.app.features import materialise_features
    from mainspring.entry.cli.mounted import without_password
    from mainspring.entry.cli.pipeline import opened
    from mainspring.kernel.errors import InvalidValue
    from mainspring.kernel.times import parse_time

    workspace = opened(environment)
    if environment != "local" and not (online or workspace.named_store("online")):
        raise InvalidValue(
            f"{environment} names no online store", fix=f"set environments.{environment}.stores.online, or --online URL"
        )
    end = parse_time(until) if until else 0
    written = materialise_features(workspace, until=end, online=without_password(online))
    if as_json:
        present.emit({"rows": written})
    else:
        present.say(f"{written:,} rows written to the online store")


@click.group()
def data() -> None:
    """Read the history of snapshots."""


@data.command()
@json_option
def log(as_json: bool) -> None:
    """List every snapshot: version, time, rows, digest."""
    from mainspring.app.workspace import open_workspace

    taken = open_workspace(here()).ledger.read(kind="snapshot.taken")
    if as_json:
        present.emit({"snapshots": [{"at": event.at, **event.body} for event in taken]})
        return
    rows = [
        (e.body["version"], present.moment(e.at), sum(e.body["rows"].values()), present.short(e.body["digest"]))
        for e in taken
    ]
    present.table(("version", "taken", "rows", "digest"), rows)


@click.group()
def keys() -> None:
    """List keys; let a key vouch for models in an environment."""


@keys.command()
def create() -> None:
    """Make a new signing key for this machine; the old one is kept aside. Models signed before need the old trust."""
    from mainspring.app.features import create_key
    from mainspring.app.workspace import open_workspace

    present.say(f"this machine signs with {create_key(open_workspace(here()))} now")


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """List this machine's own key and every trusted key."""
    from mainspring.app.features import known_keys
    from mainspring.app.workspace import open_workspace

    found = [{"id": key.id, "where": key.where} for key in known_keys(open_workspace(here()))]
    if as_json:
        present.emit({"keys": found})
    else:
        present.table(("key", "counts in"), [(key["id"], key["where"]) for key in found])


@keys.command()
@click.argument("environment")
@click.argument("pem", type=click.Path(path_type=Path))
def trust(environment: str, pem: Path) -> None:
    """Let the public key in PEM vouch for models in ENVIRONMENT; commit the file it writes."""
    from mainspring.app.features import trust_key
    from mainspring.app.workspace import open_workspace
    from mainspring.kernel.errors import NotFound

    try:
        given = (here() / pem).read_bytes()
    except OSError as error:
        raise NotFound(f"{pem} cannot be read: {error.strerror}", fix="give the file of a public key (PEM)") from error
    name = trust_key(open_workspace(here()), environment, given)
    present.say(f"{environment} now trusts {name}; commit environments/{environment}/trust")
