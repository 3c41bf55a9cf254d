"""Whose turn it is at the step process."""

import threading
import time

from mainspring.adapters.process.turns import Turns

WAIT_S = 20.0


def test_whoever_is_in_a_hurry_goes_before_the_patient() -> None:
    turns, order, held = Turns(), list[str](), threading.Event()

    def take(name: str, *, patient: bool) -> None:
        with turns.turn(patient=patient):
            order.append(name)

    def hold() -> None:
        with turns.turn():
            held.set()
            assert release.wait(WAIT_S)

    release = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(WAIT_S)
    waiting = [
        threading.Thread(target=take, args=("patient",), kwargs={"patient": True}),
        *(threading.Thread(target=take, args=(f"hurried {n}",), kwargs={"patient": False}) for n in range(3)),
    ]
    for thread in waiting:
        thread.start()
    until = time.monotonic() + WAIT_S
    while turns.hurried < 3 and time.monotonic() < until:
        time.sleep(0)
    release.set()
    for thread in (holder, *waiting):
        thread.join(WAIT_S)
    assert sorted(order[:3]) == ["hurried 0", "hurried 1", "hurried 2"]
    assert order[3:] == ["patient"]


def test_a_turn_that_fails_is_given_on() -> None:
    turns = Turns()
    for patient in (True, False, True):
        try:
            with turns.turn(patient=patient):
                raise ValueError("broken")
        except ValueError:
            continue
    with turns.turn(patient=True):
        pass
