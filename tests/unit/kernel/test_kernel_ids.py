"""Request ids: unique, of their hour, and cheap."""

import os

from mainspring.kernel.ids import RequestIds, hour_of, split_prediction_id
from mainspring.kernel.times import HOUR


def test_ids_drawn_in_one_go_are_of_the_hour_and_differ() -> None:
    asked: list[int] = []

    def random(count: int) -> bytes:
        asked.append(count)
        return os.urandom(count)

    ids = RequestIds(random)
    found = [ids.next(at) for at in (0, HOUR - 1, HOUR, 0) for _ in range(200)]
    assert len(set(found)) == 800
    assert [hour_of(found[at]) for at in (0, 200, 400, 600)] == [0, 0, HOUR, 0]
    assert all(split_prediction_id(name) == (name, 0) for name in found)
    assert len(asked) == 13
