"""An environment's freeze windows and its server's options; what is wrong with one is said beside the others."""

from collections.abc import Iterator, Mapping
from typing import Any

from mainspring.deliver.freezes import Freeze, parse_freeze
from mainspring.kernel.errors import InvalidValue
from mainspring.project.entry_models import EntrySection
from mainspring.project.lower_data import Findings
from mainspring.project.mistakes import Path
from mainspring.project.models import EnvironmentSection

_OPTIONS = ("server", "autoscaling", "ingress", "gateway", "placement")
_OURS = ("deployment", "rollouts")


def lower_freezes(section: EntrySection, here: Path, found: Findings) -> tuple[Freeze, ...]:
    """Return the windows of an environment; mistakes go to `found`."""
    freezes: list[Freeze] = []
    for index, given in enumerate(section.freeze):
        try:
            freezes.append(parse_freeze(given.from_, given.to, given.zone, given.reason))
        except InvalidValue as error:
            found.add((*here, "freeze", index), error.what, error.fix)
    return tuple(freezes)


def lower_options(
    section: EnvironmentSection, platform: str, scaled: bool, here: Path, found: Findings
) -> Mapping[str, Any]:
    """Return what the file says of the server's pods, section by section; mistakes go to `found`."""
    written = {name: getattr(section, name) for name in _OPTIONS}
    for name, what, fix in _unfit(section, platform, scaled):
        found.add((*here, name), what, fix)
    return {name: value.model_dump(exclude_none=True) for name, value in written.items() if value is not None}


def _unfit(section: EnvironmentSection, platform: str, scaled: bool) -> Iterator[tuple[str, str, str]]:
    given = {name for name in (*_OPTIONS, "identity") if getattr(section, name)}
    if platform == "local":
        yield from ((name, "a local environment has no pods", "remove it or set platform") for name in sorted(given))
        return
    for name in sorted(given & {"ingress", "gateway"}):
        if platform not in _OURS:
            yield name, f"{platform} makes its own routes", f"remove it, or write platform: {_OURS[0]}"
    if section.server and section.server.tls_secret and platform not in _OURS:
        yield "server", f"{platform} asks its pods without TLS", f"remove tls_secret, or write platform: {_OURS[0]}"
    if {"ingress", "gateway"} <= given:
        yield "gateway", "an Ingress and a Gateway's route would both lead to the server", "keep one of them"
    if section.placement and section.placement.server.priority_class and section.serverless:
        yield "placement", "Knative takes no priority class", "remove server.priority_class"
    rule = section.autoscaling
    if rule and not scaled:
        yield "autoscaling", "there is nothing to choose from", "write replicas: {min: 2, max: 8}"
    if rule and rule.kind == "keda" and platform not in _OURS:
        yield "autoscaling", f"{platform} has an autoscaler of its own", "remove kind: keda"
    if rule and rule.rows_per_second and rule.kind != "keda":
        yield "autoscaling", "only KEDA scales on rows a second", "write kind: keda, or remove rows_per_second"
