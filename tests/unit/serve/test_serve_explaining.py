"""Explanations wait for one thread of their own, and no client can make more of them wait than are let in."""

import asyncio
import json
import threading

import numpy as np
import pytest
from tests.unit.serve.serving_kit import MODEL, Parts

from mainspring.serve.errors import DeadlinePassed, Overloaded, TooLarge
from mainspring.serve.explaining import Explaining
from mainspring.serve.inference import Asked
from mainspring.serve.questions import Explanation
from mainspring.stats.columns import Columns

ROW = {"weather.wind": 1.0, "schedule.carrier": "AA"}
BODY = json.dumps({"instances": [ROW]}).encode()


class Held:
    """Explains when it is let go."""

    def __init__(self) -> None:
        self.let_go, self.asked = threading.Event(), 0

    def explain(self, digest: str, columns: Columns) -> Explanation:
        self.asked += 1
        self.let_go.wait(20)
        rows = len(columns["weather.wind"])
        return Explanation(
            method="held", unit="probability", inputs=tuple(columns), base=np.full(rows, 0.5),
            values=np.zeros((rows, len(columns))),
        )  # fmt: skip

    def close(self) -> None:
        self.let_go.set()


def _explaining() -> tuple[Explaining, Held]:
    parts, held = Parts(), Held()
    parts.serve()
    return Explaining(parts.plane, held), held


def test_clients_that_give_up_do_not_make_more_work_wait() -> None:
    explaining, held = _explaining()

    async def all_of_them() -> None:
        for _ in range(8):
            with pytest.raises(DeadlinePassed):
                await explaining.explained(BODY, Asked(model=MODEL, deadline_s=0.01))
        held.let_go.set()
        assert json.loads((await explaining.explained(BODY, Asked(model=MODEL))).encoded.body)["method"] == "held"

    asyncio.run(all_of_them())
    assert held.asked == 2  # the one that ran when its client left, and the last one
    explaining.close()


def test_more_than_may_wait_are_told_to_come_later() -> None:
    explaining, held = _explaining()

    async def all_of_them() -> None:
        waiting = [asyncio.create_task(explaining.explained(BODY, Asked(model=MODEL))) for _ in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await explaining.explained(BODY, Asked(model=MODEL))
        held.let_go.set()
        assert [found.rows for found in await asyncio.gather(*waiting)] == [1] * 8

    asyncio.run(all_of_them())
    explaining.close()


def test_few_rows_are_explained_at_once() -> None:
    explaining, _ = _explaining()
    with pytest.raises(TooLarge):
        asyncio.run(explaining.explained(json.dumps({"instances": [ROW] * 65}).encode(), Asked(model=MODEL)))
    explaining.close()
