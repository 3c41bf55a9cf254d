"""`mainspring serve`: the inference server."""

import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.mounted import mounted, mounted_options, words
from mainspring.entry.cli.options import here, json_option

if TYPE_CHECKING:
    from mainspring.app.serving import ServerRoom
    from mainspring.entry.inference.binding import Addresses, Listening
    from mainspring.entry.inference.loops import Stop
    from mainspring.serve.witness import Witness

_TOKEN_VARIABLE = "MAINSPRING_METRICS_TOKEN"  # noqa: S105 - the variable's name
_MAX_TOKEN = 4_096


@click.command()
@click.option("--port", default=8080, show_default=True, help="Port of predictions; 0 picks a free one.")
@click.option(
    "--host", default="127.0.0.1", show_default=True,
    help="Address of predictions; one that others reach needs an API key (mainspring tokens create).",
)  # fmt: skip
@click.option("--admin-port", default=0, show_default=True, help="Port of the admin API.")
@click.option(
    "--admin-host", default="127.0.0.1", show_default=True,
    help="Address of the admin API; one that others reach needs a key with the role admin.",
)  # fmt: skip
@click.option("--metrics-port", default=0, show_default=True, help="Port of GET /metrics and probes.")
@click.option(
    "--metrics-host", default="127.0.0.1", show_default=True,
    help="Address of metrics; one that others reach needs a scrape token or a key with the role metrics.",
)  # fmt: skip
@click.option(
    "--metrics-token-file", type=click.Path(path_type=Path), default=None, metavar="FILE",
    help=f"File with the scrape token; or put it in {_TOKEN_VARIABLE}.",
)  # fmt: skip
@click.option("--grpc-port", default=None, type=int, help="Also answer over gRPC on --host (extra grpc); 0: any.")
@click.option(
    "--log-sink", "log_sinks", multiple=True, metavar="URL",
    help="Send the prediction log there too: s3://, gs://, az://, file:/// or http(s):// (CloudEvents). Repeatable.",
)  # fmt: skip
@click.option(
    "--cache-mb", type=click.IntRange(0, 65_536), default=0, show_default=True, metavar="MB",
    help="Keep scores of equal rows, so many MB a project and worker; 0: off.",
)  # fmt: skip
@click.option(
    "--explain", is_flag=True,
    help="Also answer /v1/models/NAME:explain, in a process beside the server (extra explain).",
)  # fmt: skip
@click.option("--drain", default=1.0, show_default=True, metavar="SECONDS", help="Answer on for so long after SIGTERM.")
@click.option(
    "--access-log", default=None, metavar="FILE",
    help="Append a line of JSON for each prediction; - for standard error.",
)  # fmt: skip
@click.option("--traces", default=None, metavar="URL", help="Send spans there over OTLP/HTTP (extra otel).")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True,
    help="Processes behind the public port; one alone on Windows and in a replay.",
)  # fmt: skip
@click.option("--worker", default="", hidden=True, help="K/N: this is worker K of N.")
@click.option("--with-parent", is_flag=True, hidden=True, help="End when standard input closes.")
@click.option("--listener", default=-1, hidden=True, help="Descriptor of the listener that a parent handed on.")
@click.option("--env", "environment", default="local", show_default=True, help="Environment whose release to serve.")
@click.option("--clock", type=click.Choice(["real", "replay"]), default="real", help="`replay` only inside a replay.")
@mounted_options
@json_option
def serve(*, environment: str, clock: str, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - the options above
    """Serve what the release file says, as committed; follow it without a restart. Stop with Ctrl-C.

    Predictions, admin and metrics have a port each, on loopback unless told otherwise. Once a project has API keys,
    predictions need one.
    """
    from mainspring.app.serving import ServerRoom

    room = ServerRoom(
        root=here().resolve(), environment=environment, log_sinks=given["log_sinks"], cache_mb=given["cache_mb"],
        explain=given["explain"],
        log_keep_mb=given["log_keep_mb"], mounted=mounted(given),
    )  # fmt: skip
    if given["workers"] > 1:
        _supervise(room, clock, as_json, given)
    else:
        _serve(room, clock, as_json, given)


def _serve(room: "ServerRoom", clock: str, as_json: bool, given: dict[str, Any]) -> None:
    from dataclasses import replace

    from mainspring.app.serving import server_parts
    from mainspring.entry.inference.access import KeyRing
    from mainspring.entry.inference.desk import DeskRules
    from mainspring.entry.inference.server import Stop, run

    number, _, count = given["worker"].partition("/")
    room, stop = replace(room, worker=int(number or 0), workers=int(count or 1)), Stop.new()
    parts = server_parts(room, replay_clock=clock == "replay")

    def ready(at: "Addresses") -> None:
        gc.freeze()  # what is loaded stays: to look through it for garbage again and again stops answers for 0.1 s
        _tell(room, at, as_json)

    if number or given["with_parent"]:
        _end_with_parent(stop)
    run(
        parts.fleet, KeyRing(parts.tokens, parts.clock), ready=ready, stop=stop, listening=_listening(given, room),
        rules=DeskRules(share=int(count or 1), witnesses=_witnesses(given), budgets=parts.budgets),
    )  # fmt: skip


def _supervise(room: "ServerRoom", clock: str, as_json: bool, given: dict[str, Any]) -> None:
    from mainspring.app.serving import key_parts
    from mainspring.entry.inference.access import KeyRing
    from mainspring.entry.inference.supervisor import supervise
    from mainspring.kernel.errors import InvalidValue

    if sys.platform == "win32" or clock == "replay":
        raise InvalidValue("several workers on Windows or in a replay", fix="leave --workers out")
    if given["grpc_port"] is not None and sys.platform != "linux":
        raise InvalidValue("gRPC with several workers needs Linux", fix="leave --workers or --grpc-port out")
    tokens, time = key_parts(room)
    count = given["workers"]

    def command(number: int, listener: int, grpc: int) -> list[str]:
        return [
            sys.executable, "-m", "mainspring", "-C", str(room.root), "serve", "--env", room.environment,
            "--host", given["host"], "--port", str(given["port"]), "--drain", str(given["drain"]), "--json",
            "--worker", f"{number}/{count}", "--listener", str(listener), *_told(given),
            "--cache-mb", str(room.cache_mb), *(["--explain"] if room.explain else []), *words(given),
            *(word for url in room.log_sinks for word in ("--log-sink", url)),
            *(["--grpc-port", str(grpc)] if grpc else []),
        ]  # fmt: skip

    def ready(at: "Addresses") -> None:
        _tell(room, at, as_json)

    supervise(count, command, KeyRing(tokens, time), listening=_listening(given, room), ready=ready)


def _witnesses(given: dict[str, Any]) -> "tuple[Witness, ...]":
    from mainspring.app.serving import tracing
    from mainspring.entry.inference.access_log import AccessLog

    found: list[Witness] = []
    if given["access_log"] is not None:
        found.append(AccessLog(_appended(given["access_log"])))
    if given["traces"] is not None:
        found.append(tracing(given["traces"]))
    return tuple(found)


def _appended(name: str) -> BinaryIO:
    from mainspring.kernel.errors import InvalidValue

    if name == "-":
        return sys.stderr.buffer
    try:
        return open(name, "ab")
    except OSError as error:
        raise InvalidValue(f"the access log cannot be written: {error.strerror}", fix="name another file") from error


def _told(given: dict[str, Any]) -> list[str]:
    """Return the options by which a worker tells of its predictions too."""
    return [
        word
        for option, name in (("--access-log", "access_log"), ("--traces", "traces"))
        if given[name] is not None
        for word in (option, given[name])
    ]


def _end_with_parent(stop: "Stop") -> None:
    """Stop when the parent's end of our standard input closes, however the parent ended."""
    import os
    import threading

    def wait() -> None:
        while os.read(0, 4_096):  # not sys.stdin: its lock would be held at the interpreter's end
            pass
        stop.asked.set()

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _listening(given: dict[str, Any], room: "ServerRoom") -> "Listening":
    from mainspring.app.serving import watch_readings
    from mainspring.entry.inference.access import scrape_digest
    from mainspring.entry.inference.binding import Address, Listening
    from mainspring.entry.inference.tls import tls_of

    scrape = _scrape_token(given["metrics_token_file"])
    if given["grpc_port"] is not None:
        _check_grpc()
    return Listening(
        public=Address(host=given["host"], port=given["port"]),
        grpc=None if given["grpc_port"] is None else Address(host=given["host"], port=given["grpc_port"]),
        admin=Address(host=given["admin_host"], port=given["admin_port"]),
        metrics=Address(host=given["metrics_host"], port=given["metrics_port"]),
        scrape=scrape_digest(scrape) if scrape and not given["worker"] else None,
        listener=given["listener"],
        tls=tls_of(given["tls_cert"], given["tls_key"]),
        drain_s=given["drain"],
        beside=bytes if room.worker else watch_readings(room),
    )


def _check_grpc() -> None:
    from importlib.util import find_spec

    from mainspring.kernel.errors import NotFound

    if find_spec("grpc") is None:
        raise NotFound("gRPC needs grpcio", fix="pip install 'mainspring[grpc]'")


def _scrape_token(path: Path | None) -> str:
    """Return the scrape token of a file or of the environment, or ""."""
    import os

    from mainspring.kernel.errors import InvalidValue, NotFound

    text = os.environ.get(_TOKEN_VARIABLE, "")
    if path is not None:
        try:
            with path.open("rb") as stream:
                text = stream.read(_MAX_TOKEN + 1).decode("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise NotFound(f"{path} cannot be read", fix="give a file that holds the scrape token") from error
    least = 16
    if (path is not None or text) and not least <= len(text) <= _MAX_TOKEN:
        raise InvalidValue(f"a scrape token of {len(text)} characters", fix=f"use {least} to {_MAX_TOKEN}")
    return text


def _tell(room: "ServerRoom", at: "Addresses", as_json: bool) -> None:
    from mainspring.kernel.files import write_atomic

    addresses = {"public": at.public, "admin": at.admin, "metrics": at.metrics}
    if at.grpc:
        addresses |= {"grpc": at.grpc, "grpc_admin": at.grpc_admin}
    if not room.worker:
        write_atomic(room.state / "server.json", json.dumps(addresses).encode(), durable=False)
    if as_json:
        click.echo(json.dumps(addresses))
    else:
        remote = f"gRPC {at.grpc}, " if at.grpc else ""
        present.say(f"serving {at.public} ({remote}admin {at.admin}, metrics {at.metrics}/metrics)")
    sys.stdout.flush()
