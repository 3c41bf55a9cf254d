"""Which texts some YAML reader takes for something else: `on`, `1e3`, `0o7`, `12:30`, a date."""

import re

# the implicit types of YAML 1.1 (yaml.org/type) and the 1.2 core schema, together
_RETYPED = re.compile(
    r"""(?xi)
    ~ | null | y | n | yes | no | true | false | on | off | << | = | (?:nan|inf)
    | [-+]? 0b [01_]+ | [-+]? 0o? [0-7_]+ | [-+]? 0x [0-9a-f_]+
    | [-+]? (?: [0-9][0-9_]* )? \.? [0-9_]* (?: e [-+]? [0-9]+ )? | [-+]? \. (?:inf|nan)
    | [-+]? [0-9][0-9_]* (?: : [0-5]?[0-9] )+ (?: \.[0-9_]* )?
    | [0-9]{4} - [0-9]{1,2} - [0-9]{1,2} (?: (?:t|[ \t]+) .* )?
    """
)


def retyped(text: str) -> bool:
    """Tell whether YAML 1.1 (most Kubernetes tools) or 1.2 takes a text for a number, truth, null, time or merge."""
    return _RETYPED.fullmatch(text) is not None
