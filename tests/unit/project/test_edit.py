"""Values set in a project file: everything else of the text stays, and only what may be written is."""

import pytest

from mainspring.kernel.errors import InvalidValue, NotFound
from mainspring.project.edit import set_values
from mainspring.project.reader import read_document

IMAGE = "registry.example:5000/ops/ml-api@sha256:" + "a" * 64
BLOCK = """\
# who serves
environments:
  local: {}
  dev: {platform: deployment, replicas: 1}   # small
  staging:
    # two of them
    platform: deployment
    image: old@sha256:0
    stores: {models: 's3://m'}
  production:
    platform: kserve
last: 1
"""


def lines_changed(before: str, after: str) -> list[str]:
    old = before.splitlines()
    return [line for line in after.splitlines() if line not in old]


@pytest.mark.parametrize("key", ["image", "steps_image"])
@pytest.mark.parametrize("name", ["local", "dev", "staging", "production"])
def test_one_line_changes_and_says_what_was_meant(name: str, key: str) -> None:
    after = set_values(BLOCK, ("environments", name), {key: IMAGE})
    assert len(lines_changed(BLOCK, after)) == 1
    found, before = read_document(after.encode()).value, read_document(BLOCK.encode()).value
    assert found["environments"][name] == {**before["environments"][name], key: IMAGE}
    assert {k: v for k, v in found["environments"].items() if k != name} == {
        k: v for k, v in before["environments"].items() if k != name
    }
    assert set_values(after, ("environments", name), {key: IMAGE}) == after


@pytest.mark.parametrize("value", ["a: b", "x # y", "", "'", "{", "1", "a\nb", "@x", "null", "a, b", "x}"])
@pytest.mark.parametrize("name", ["dev", "staging"])
def test_what_would_say_something_else_is_refused(name: str, value: str) -> None:
    try:
        after = set_values(BLOCK, ("environments", name), {"image": value})
    except InvalidValue:
        return
    assert read_document(after.encode()).value["environments"][name]["image"] == value


def test_a_place_that_is_not_there_is_told() -> None:
    with pytest.raises(NotFound, match=r"environments\.prod"):
        set_values(BLOCK, ("environments", "prod"), {"image": IMAGE})
    with pytest.raises(NotFound):
        set_values(BLOCK, ("last",), {"image": IMAGE})
