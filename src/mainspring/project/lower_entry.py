"""Freeze windows from text to instants; what is wrong with one is said beside the others."""

from mainspring.deliver.freezes import Freeze, parse_freeze
from mainspring.kernel.errors import InvalidValue
from mainspring.project.entry_models import EntrySection
from mainspring.project.lower_data import Findings
from mainspring.project.mistakes import Path


def lower_freezes(section: EntrySection, here: Path, found: Findings) -> tuple[Freeze, ...]:
    """Return the windows of an environment; mistakes go to `found`."""
    freezes: list[Freeze] = []
    for index, given in enumerate(section.freeze):
        try:
            freezes.append(parse_freeze(given.from_, given.to, given.zone, given.reason))
        except InvalidValue as error:
            found.add((*here, "freeze", index), error.what, error.fix)
    return tuple(freezes)
