"""Candidates that are fitted before a replay asks for them."""

import threading

from mainspring.app.ahead import Ahead
from mainspring.app.training import Params
from mainspring.kernel.errors import RunFailed

WAIT_S = 20.0


def test_candidates_are_fitted_in_order_and_one_that_fails_is_left_to_its_asker() -> None:
    fitted, done = list[tuple[int, Params]](), threading.Event()

    def fit(at: int, params: Params) -> None:
        if at == 2:
            raise RunFailed("too few rows", fix="wait")
        fitted.append((at, params))
        if at == 3:
            done.set()

    with Ahead(fit) as ahead:
        ahead.ask([(1, {}), (2, {})])
        ahead.ask([(3, {"max_iter": 5})])
        assert done.wait(WAIT_S)
    assert fitted == [(1, {}), (3, {"max_iter": 5})]


def test_what_waits_at_the_end_is_left() -> None:
    fitted, begun, go_on = list[int](), threading.Event(), threading.Event()

    def fit(at: int, _: Params) -> None:
        fitted.append(at)
        begun.set()
        assert go_on.wait(WAIT_S)

    with Ahead(fit) as ahead:
        ahead.ask([(1, {}), (2, {}), (3, {})])
        assert begun.wait(WAIT_S)
        ahead.stop()
        go_on.set()
    assert fitted == [1]
