"""`mainspring serve`: the inference server."""

import json
import sys
from typing import TYPE_CHECKING

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option

if TYPE_CHECKING:
    from mainspring.app.serving import ServerRoom
    from mainspring.entry.inference.server import Addresses


@click.command()
@click.option("--port", default=8080, show_default=True, help="Port of predictions and metrics; 0 picks a free one.")
@click.option("--admin-port", default=0, show_default=True, help="Port of the admin API, on loopback alone.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--env", "environment", default="local", show_default=True, help="Environment whose release to serve.")
@click.option("--clock", type=click.Choice(["real", "replay"]), default="real", help="`replay` only inside a replay.")
@json_option
def serve(*, port: int, admin_port: int, host: str, environment: str, clock: str, as_json: bool) -> None:
    """Serve what the release file says, as committed; follow it without a restart. Stop with Ctrl-C."""
    from mainspring.app.serving import ServerRoom, server_parts
    from mainspring.entry.inference.server import Listening, run

    room = ServerRoom(root=here().resolve(), environment=environment)
    parts = server_parts(room, replay_clock=clock == "replay")

    def ready(at: "Addresses") -> None:
        _tell(room, at, as_json)

    run(
        parts.plane, parts.log, parts.reconciler, ready=ready,
        listening=Listening(host=host, port=port, admin_port=admin_port),
    )  # fmt: skip


def _tell(room: "ServerRoom", at: "Addresses", as_json: bool) -> None:
    from mainspring.kernel.files import write_atomic

    addresses = {"public": at.public, "admin": at.admin}
    write_atomic(room.state / "server.json", json.dumps(addresses).encode(), durable=False)
    if as_json:
        click.echo(json.dumps(addresses))
    else:
        present.say(f"serving {at.public} (admin {at.admin})")
    sys.stdout.flush()
