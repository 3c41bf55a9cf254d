"""Render the report: one HTML file that needs no network, runs no script and tells what retraining was worth.

Templates escape by default; drawings come from `svg`, which escapes every attribute and text. The page's policy allows
inline style and nothing else, so even a mistake in escaping could not run or fetch anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mainspring.entry.console import formats, plots, timeline, verdict
from mainspring.entry.console.canary import Card, card
from mainspring.entry.console.completion import complete
from mainspring.entry.console.heat import HeatMap, heat_key, heat_map
from mainspring.entry.console.report_data import Policy, Report

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""The content security policy inside the file; the console's server sends a stricter twin as a header."""
_WIDE, _NARROW = 1040.0, 360.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawings:
    """The page's pictures; a pair is (for wide screens, for narrow ones). Empty where nothing was recorded."""

    loss: tuple[Markup, Markup]
    difference: tuple[Markup, Markup]
    losses: Markup
    differences: Markup
    strip: tuple[Markup, Markup]
    heat: HeatMap
    heat_of: str
    stages: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    """A policy's rollouts under its title."""

    title: str
    cards: Sequence[Card]


def render(report: Mapping[str, Any]) -> str:
    """Return the whole page for a report of the shape `report_data.Report`; any part of it may be missing.

    The same report gives the same text: no clock, no randomness. Raises InvalidValue for another schema version.
    """
    whole = complete(report)
    page = environment().get_template("report.html.j2")
    return page.render(
        report=whole,
        page_policy=PAGE_POLICY,
        finding=verdict.find(whole),
        drawings=_drawings(whole),
        heat_key=heat_key(),
        rollouts=_rollouts(whole),
        drill=whole["drill"],
        drill_cards=[card(r) for r in whole["drill"]["rollouts"]] if whole["drill"] else [],
        ours=next((p for p in whole["policies"] if p["name"] == "mainspring"), None),
    )


@cache
def environment() -> Environment:
    """Return the template environment: escaping is on for every template, an unknown name is an error."""
    made = Environment(
        loader=PackageLoader("mainspring.entry.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(fmt=formats, series=plots.series, side=verdict.side, event_rows=timeline.event_rows)
    return made


def _drawings(report: Report) -> Drawings:
    policies = report["policies"]
    heat_of = next((p for p in reversed(policies) if p["drift"]["weeks"] and p["drift"]["columns"]), None)
    period = [at for at in (report["period"]["start"], report["period"]["end"]) if at is not None]
    stages = [(name, value, formats.seconds(value)) for name, value in report["stages"].items()]
    return Drawings(
        loss=_pair(lambda wide: plots.loss_chart(policies, _WIDE if wide else _NARROW, labels=wide)),
        difference=_pair(lambda wide: plots.difference_chart(policies, _WIDE if wide else _NARROW, labels=wide)),
        losses=plots.interval_chart([_loss_mark(p) for p in policies], "Log loss of each policy with interval"),
        differences=plots.interval_chart(
            [mark for p in policies for mark in _difference_mark(p)],
            "Log loss minus that of never retraining, with interval",
            zero=True,
        ),
        strip=_pair(
            lambda wide: timeline.strip_plot(
                policies, _WIDE if wide else _NARROW, left=150.0 if wide else 128.0, period=period
            )
        ),
        heat=heat_map(heat_of["drift"]) if heat_of else HeatMap(Markup(""), Markup(""), 0),
        heat_of=heat_of["title"] if heat_of else "",
        stages=plots.bar_chart(stages, "Seconds by stage"),
    )


def _pair(draw: Callable[[bool], Markup]) -> tuple[Markup, Markup]:
    return draw(True), draw(False)


def _loss_mark(policy: Policy) -> plots.Mark:
    return policy["title"], plots.series(policy["name"]), policy["log_loss"], policy["low"], policy["high"]


def _difference_mark(policy: Policy) -> list[plots.Mark]:
    found = policy["vs_never"]
    if found is None:
        return []
    return [(policy["title"], plots.series(policy["name"]), found["difference"], found["low"], found["high"])]


def _rollouts(report: Report) -> list[Rollouts]:
    """Return the policies that rolled out anything, mainspring's own first."""
    acting = [p for p in reversed(report["policies"]) if p["rollouts"]]
    acting.sort(key=lambda p: p["name"] != "mainspring")
    return [Rollouts(title=p["title"], cards=[card(r) for r in p["rollouts"]]) for p in acting]
