"""Options of `mainspring serve` for a pod: what is mounted or lies in an object store, instead of a repository."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from mainspring.app.mounted import Mounted

_F = TypeVar("_F", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path)
_OPTIONS = (
    click.option(
        "--release-file", type=_PATH, default=None, metavar="FILE",
        help="Follow this release file instead of the committed one; no repository is needed then.",
    ),
    click.option(
        "--models", default="", metavar="URL",
        help="Object store with the signed models: s3://, gs://, az:// or file:///; left out: .mainspring/models.",
    ),
    click.option(
        "--trust", type=_PATH, default=None, metavar="DIR",
        help="Public keys (*.pem) that may vouch for a model; left out: environments/<env>/trust.",
    ),
    click.option(
        "--online", default="", metavar="URL",
        help="Redis with features by key: redis://HOST:PORT, rediss:// or secret://env/NAME; the password in "
        "ONLINE_PASSWORD. Left out: .mainspring/online.db.",
    ),
    click.option(
        "--tls-cert", type=_PATH, default=None, metavar="FILE",
        help="Speak TLS on the ports of predictions, HTTP and gRPC, with this certificate chain (PEM).",
    ),
    click.option("--tls-key", type=_PATH, default=None, metavar="FILE", help="The certificate's private key (PEM)."),
    click.option("--tokens", type=_PATH, default=None, metavar="FILE", help="File of API keys, only read."),
    click.option(
        "--serving-file", type=_PATH, default=None, metavar="FILE", help="Rules of the prediction log (serving.yaml).",
    ),
    click.option(
        "--log-keep-mb", type=click.IntRange(0, 1 << 20), default=0, show_default=True, metavar="MB",
        help="Keep at most so much of the log on this disk, a worker: for a pod whose log goes to --log-sink; 0: all.",
    ),
)  # fmt: skip
_WORDS = {
    "release_file": "--release-file", "models": "--models", "trust": "--trust", "tokens": "--tokens",
    "serving_file": "--serving-file", "online": "--online", "log_keep_mb": "--log-keep-mb", "tls_cert": "--tls-cert",
    "tls_key": "--tls-key",
}  # fmt: skip


def mounted_options(command: _F) -> _F:
    """Give a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def mounted(given: dict[str, Any]) -> "Mounted":
    """Return what the options say."""
    from mainspring.app.mounted import Mounted

    return Mounted(
        release=given["release_file"], models=given["models"], trust=given["trust"], tokens=given["tokens"],
        serving=given["serving_file"], online=without_password(given["online"]),
    )  # fmt: skip


def without_password(address: str) -> str:
    """Return the address of a Redis; every user of a machine can read the arguments of a process."""
    from mainspring.kernel.errors import InvalidValue

    if "@" in address:
        raise InvalidValue("an address with credentials as an argument", fix="put it in a variable: secret://env/NAME")
    return address


def words(given: dict[str, Any]) -> list[str]:
    """Return the options as words of a worker's command."""
    return [word for name, option in _WORDS.items() if given[name] for word in (option, str(given[name]))]
