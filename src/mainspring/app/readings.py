"""Wiring of readings: after each look, what the ledger says goes to a file and to a Pushgateway where one is named."""

from collections.abc import Callable, Sequence

from mainspring.app.observing import watch_plan
from mainspring.app.online import online_file, online_of
from mainspring.app.paths import readings_file
from mainspring.app.workspace import Workspace
from mainspring.data.ports import ASK_VIEW, NEVER
from mainspring.data.views import Definitions, WindowView
from mainspring.flows.materialise import online_views, stored_name
from mainspring.flows.readings import Freshness, readings
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.times import HOUR
from mainspring.observe.readings import Reading


def publish(workspace: Workspace, *, progress: Callable[[str], None]) -> list[Reading]:
    """Put what is known now where monitoring finds it. A Pushgateway that fails is told to `progress`: looks go on,
    and the age of the last look in Prometheus shows it.
    """
    now = workspace.clock.now()
    try:
        fresh = _freshness(workspace)
    except MainspringError as error:
        progress(f"the age of features is not known: {error}")
        fresh = []
    found = readings(watch_plan(workspace), workspace.ledger.read(), fresh, now=now)
    for put in _places(workspace):
        try:
            put(found)
        except MainspringError as error:
            progress(f"readings were not told: {error}")
    return found


def _places(workspace: Workspace) -> list[Callable[[Sequence[Reading]], None]]:
    from mainspring.adapters.prometheus.exposition import ReadingsFile
    from mainspring.adapters.prometheus.gateway import Pushgateway

    chosen = workspace.settings.environments.get(workspace.environment)
    gateway = chosen.stores.get("metrics", "") if chosen else ""
    file = ReadingsFile(readings_file(workspace.paths.state, workspace.environment))
    if not gateway:
        return [file.put]
    return [file.put, Pushgateway(gateway, model=workspace.settings.name, environment=workspace.environment).put]


def _freshness(workspace: Workspace) -> list[Freshness]:
    """Return how far the views with a clock are materialised; nothing where nothing ever was."""
    if not workspace.named_store("online") and not online_file(workspace.paths.state).exists():
        return []
    definitions = workspace.settings.definitions
    with online_of(workspace) as online:
        found = [
            Freshness(
                view=view, until=online.watermark(stored_name(definitions, view)), limit=_limit(definitions, view)
            )
            for view in online_views(definitions)
            if view != ASK_VIEW and definitions.source(definitions.view(view).source).event_time
        ]
    return [view for view in found if view.until != NEVER]


def _limit(definitions: Definitions, name: str) -> int:
    """Return the age from which a view misleads: two refreshes of a window, the largest age of a row, else a day."""
    view = definitions.view(name)
    return 2 * view.refresh if isinstance(view, WindowView) else view.max_age or 24 * HOUR
