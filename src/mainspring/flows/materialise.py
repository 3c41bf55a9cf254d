"""Bring the online store up to date: what each view showed since its watermark, and nothing twice.

A view is stored under its name and the digest of all that decides its values, so two model versions with different
definitions live side by side and a changed definition starts anew. Start at `materialise`.
"""

from mainspring.data.ports import ASK_VIEW, NEVER, OnlineStore, TrainingSets
from mainspring.data.views import Definitions, RowView, row_columns, to_json
from mainspring.kernel.digests import digest_of, hex_of
from mainspring.stats.columns import length

_DIGEST_LENGTH = 12


def materialise(
    definitions: Definitions, training_sets: TrainingSets, online: OnlineStore, until: int, *, ahead: int = 0
) -> int:
    """Write what every view shows from its watermark up to `until`; return the number of rows written.

    until: UTC microseconds, included. ahead: how much further the ask's own rows are written, for asks whose early
    columns are known before their time comes; a read never sees them before it. Readers see all of it at once, at the
    end. A crash repeats work, never loses it.
    """
    written, ends = 0, {}
    for view in online_views(definitions):
        end = until + ahead if view == ASK_VIEW else until
        rows = _bring(definitions, view, training_sets, online, end)
        if rows is not None:
            written, ends[stored_name(definitions, view)] = written + rows, end
    if ends:
        online.publish(ends)
    return written


def online_views(definitions: Definitions) -> tuple[str, ...]:
    """Return the views that are stored: the ask's own rows and every view found by key."""
    return (ASK_VIEW, *(view.name for view in definitions.views if view.by))


def stored_name(definitions: Definitions, view: str) -> str:
    """Return the name under which a view is stored: its own and a digest of what decides its values."""
    document = to_json(definitions)
    sources = {raw["name"]: {**raw, "uri": "", "name": ""} for raw in document["sources"]}
    if view == ASK_VIEW:
        source, decides = definitions.ask.source, {"ask": document["ask"], "columns": definitions.ask_columns()}
    else:
        found = definitions.view(view)
        source, decides = found.source, next(raw for raw in document["views"] if raw["name"] == view)
        decides = {**decides, "target": document["target"], "strict": found.source == definitions.ask.source}
        if isinstance(found, RowView):
            decides = {"by": found.by, "columns": row_columns(found), "strict": decides["strict"]}
    digest = digest_of({"source": sources[source], "view": decides})
    return f"{view}@{hex_of(digest)[:_DIGEST_LENGTH]}"


def _bring(definitions: Definitions, view: str, sets: TrainingSets, online: OnlineStore, until: int) -> int | None:
    """Write what a view shows and return the number of rows; None where it is complete already."""
    name = stored_name(definitions, view)
    source = definitions.ask.source if view == ASK_VIEW else definitions.view(view).source
    timeless = not definitions.source(source).event_time
    start = NEVER if timeless else online.watermark(name)
    if start >= until:
        return None
    rows = sets.stream(definitions, view, start, until)
    online.write(name, rows, whole=timeless)
    return length(rows)
