"""serving.yaml: read strictly, every mistake at once, secrets by reference."""

import pytest

from mainspring.project.mistakes import InvalidProject
from mainspring.project.serving_file import ServingFile, SinkEntry, read_serving_file

GOOD = b"""
log:
  sample: 0.1
  redact: [schedule.tailnum, "@key"]
  key_secret: secret://env/LOG_KEY
  sinks:
    - s3://bucket/predictions
    - {to: "https://collector/events", authorization: "secret://env/TOKEN"}
"""


def test_it_says_how_the_environment_logs() -> None:
    assert read_serving_file(GOOD) == ServingFile(
        sample=0.1, redact=("schedule.tailnum", "@key"), key_secret="secret://env/LOG_KEY",
        sinks=(
            SinkEntry(to="s3://bucket/predictions"),
            SinkEntry(to="https://collector/events", authorization="secret://env/TOKEN"),
        ),
    )  # fmt: skip
    assert read_serving_file(b"log:\n") == read_serving_file(b"{}") == ServingFile()


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (b"lag: {}", "project.unknown", 1),
        (b"log:\n  sampel: 1", "project.unknown", 2),
        (b"log:\n  sample: 0", "project.value", 2),
        (b"log:\n  sample: true", "project.value", 2),
        (b"log:\n  redact: tailnum", "project.type", 2),
        (b"log:\n  redact: [1]", "project.type", 2),
        (b"log:\n  key_secret: hunter2", "project.secret", 2),
        (b"log:\n  sinks:\n    - ftp://x/y", "project.value", 3),
        (b"log:\n  sinks:\n    - https://user:word@host/y", "project.value", 3),
        (b"log:\n  sinks:\n    - {authorization: secret://env/A}", "project.value", 3),
        (b"log:\n  sinks:\n    - {to: 's3://a', authorization: 'secret://env/A'}", "project.value", 3),
        (b"log: [1]", "project.type", 1),
        (b"[1, 2]", "project.type", 1),
        (b"log: {sample: 1, sample: 2}", "project.duplicate", 1),
        (b"log: &a {sample: 1}", "project.yaml", 1),
        (b"log:\n  sinks: [" + b", ".join([b"s3://a/b"] * 9) + b"]", "project.value", 2),
    ],
)
def test_a_mistake_has_its_line(text: bytes, code: str, line: int) -> None:
    with pytest.raises(InvalidProject) as caught:
        read_serving_file(text)
    assert (code, line) in [(mistake.code, mistake.line) for mistake in caught.value.mistakes]


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InvalidProject) as caught:
        read_serving_file(b"log:\n  sample: 2\n  key_secret: x\n  sinks: {}\n")
    assert len(caught.value.mistakes) == 3
