"""`mainspring tokens`: the API keys that clients of the inference server present."""

from typing import TYPE_CHECKING, Any

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option

if TYPE_CHECKING:
    from mainspring.security.tokens import Token

_DIGITS = 12


@click.group()
def tokens() -> None:
    """Make, list and revoke API keys of the inference server.

    A running server follows within a second. Once a project has tokens, every request on the public port needs one.
    """


@tokens.command()
@click.argument("name")
@click.option("--model", "models", multiple=True, default=("*",), help="A model it may ask; repeat; default: all.")
@click.option(
    "--role", "roles", multiple=True, default=("predict", "metadata"), show_default=True,
    help="What it may do: predict, label, metadata, metrics or admin; repeat.",
)  # fmt: skip
@click.option("--expires", default="", metavar="DURATION", help="It ends after this time, such as 90d; default: never.")
@click.option("--rate", default=0.0, help="Requests a second at most; 0: no limit of its own.")
@click.option("--budget", default="", metavar="ROWS/DURATION", help="Rows at most, such as 100000/1d.")
@json_option
def create(name: str, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - the options above, by name
    """Make the token NAME and show its secret, once.

    Clients send it as `Authorization: Bearer SECRET`.
    """
    from mainspring.app.access import TokenDesk
    from mainspring.kernel.times import parse_duration
    from mainspring.security.tokens import Wanted

    desk = TokenDesk(here())
    wanted = Wanted(
        name=name, models=given["models"], roles=given["roles"],
        expires_at=desk.now() + parse_duration(given["expires"]) if given["expires"] else 0,
        allowance=_allowance(given["rate"], given["budget"]),
    )  # fmt: skip
    issued = desk.create(wanted)
    if as_json:
        present.emit({"secret": issued.secret, **_document(issued.token, desk.now())})
        return
    present.say(issued.secret)
    present.progress(f"token {issued.token.id} ({name}): keep the secret, it is not shown again")


@tokens.command("list")
@json_option
def list_tokens(as_json: bool) -> None:
    """List the tokens; their secrets are not kept."""
    from mainspring.app.access import TokenDesk

    desk = TokenDesk(here())
    found = [_document(item, desk.now()) for item in desk.tokens()]
    if as_json:
        present.emit({"tokens": found})
        return
    rows = [
        (t["id"], t["name"], ", ".join(t["models"]), ", ".join(t["roles"]), t["expires"], t["state"]) for t in found
    ]
    present.table(("id", "name", "models", "roles", "expires", "state"), rows)


@tokens.command()
@click.argument("token")
@json_option
def revoke(token: str, as_json: bool) -> None:
    """Revoke TOKEN, an id or a name, at once."""
    from mainspring.app.access import TokenDesk

    desk = TokenDesk(here())
    found = _document(desk.revoke(token), desk.now())
    if as_json:
        present.emit(found)
    else:
        present.say(f"token {found['id']} ({found['name']}) is revoked")


@tokens.command()
@json_option
def prune(as_json: bool) -> None:
    """Forget tokens that are revoked or expired."""
    from mainspring.app.access import TokenDesk

    count = TokenDesk(here()).prune()
    if as_json:
        present.emit({"forgotten": count})
    else:
        present.say(f"{count} tokens forgotten")


def _document(token: "Token", now: int) -> dict[str, Any]:
    from mainspring.kernel.times import format_time

    allowance = token.allowance
    return {
        "id": token.id, "name": token.name, "models": sorted(token.models), "roles": sorted(token.roles),
        "created": format_time(token.created_at),
        "expires": format_time(token.expires_at) if token.expires_at else None,
        "state": token.state(now), "rate": allowance.rate or None,
        "budget": {"rows": allowance.budget, "seconds": allowance.period_s} if allowance.budget else None,
    }  # fmt: skip


def _allowance(rate: float, budget: str) -> Any:  # noqa: ANN401 - the class is imported only when called
    from mainspring.kernel.errors import InvalidValue
    from mainspring.kernel.times import SECOND, parse_duration
    from mainspring.security.tokens import Allowance

    if not budget:
        return Allowance(rate=rate)
    rows, _, period = budget.partition("/")
    if not rows.isdecimal() or len(rows) > _DIGITS or int(rows) == 0:
        raise InvalidValue(f"{budget[:60]!r} is not a budget", fix="write rows and a time, such as 100000/1d")
    return Allowance(rate=rate, budget=int(rows), period_s=max(1, parse_duration(period) // SECOND))
