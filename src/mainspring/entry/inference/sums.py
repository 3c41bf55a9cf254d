"""Several accounts as one: numbers add up, lists and maps join, of texts the first that says something stands."""

from typing import Any


def joined(one: Any, other: Any) -> Any:  # noqa: ANN401 - JSON values
    """Return two JSON values of one shape as one."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {
            key: joined(one[key], other[key]) if key in one and key in other else one.get(key, other.get(key))
            for key in {**one, **other}
        }
    if isinstance(one, bool) and isinstance(other, bool):
        return one and other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one + other
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *(item for item in other if item not in one)]
    return one or other
