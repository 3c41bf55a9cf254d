"""Dump plain documents as YAML that every reader takes for the same values.

A text that YAML 1.1 (most Kubernetes tools) or YAML 1.2 would read as a number, a truth, a null, a time or a merge is
quoted; lines that hold several lines become literal blocks. No anchors, no tags; keys stay in the order given.
"""

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from mainspring.deliver.render.content import Objects
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.scalars import retyped

_WIDTH = 4096


class _Quoting(SafeRepresenter):
    """ruamel's safe representer, with texts quoted wherever some YAML version would not read them as text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401 - any value
        """Write every value out: an anchor would be another way to say the same."""
        return True

    def text(self, value: str) -> ScalarNode:
        """Return a text's node in the plainest style that stays this text."""
        style: str | None = None
        if "\n" in value:
            printable = all(line.isprintable() and line == line.rstrip() for line in value.split("\n"))
            style = "|" if printable and value.strip() and not value[0].isspace() else '"'
        elif retyped(value):
            style = '"'
        found: ScalarNode = self.represent_scalar("tag:yaml.org,2002:str", value, style=style)
        return found

    def refuse(self, value: object) -> ScalarNode:
        """Refuse a value that is neither text, number, truth, null, list nor mapping."""
        raise InvalidValue(f"{type(value).__name__} has no place in a document", fix="use plain values")


_PLAIN = (type(None), bool, int, float, list, tuple, dict)
_Quoting.yaml_representers = {kind: SafeRepresenter.yaml_representers[kind] for kind in _PLAIN}
_Quoting.add_representer(str, _Quoting.text)
_Quoting.add_representer(None, _Quoting.refuse)


def dump(objects: Objects, /) -> str:
    """Return the documents as YAML, separated by `---`; the same text on every system."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Quoting
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # keys stay as given
    yaml.width = _WIDTH
    yaml.line_break = "\n"  # type: ignore[assignment]  # on every system
    yaml.explicit_start = len(objects.documents) > 1
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump_all([dict(document) for document in objects.documents], out)
    return out.getvalue()
