"""Threads of one process, few at a time and in the order in which they came."""

import threading
import time

import pytest

from apps.network.turns import Turns


def waits(turns: Turns, number: int) -> None:
    """Until so many stand in line."""
    deadline = time.monotonic() + 20
    while len(turns._waiting) < number:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_no_more_than_that_many_are_in_at_once() -> None:
    turns, inside, most = Turns(3), [0], [0]
    lock = threading.Lock()

    def work() -> None:
        for _ in range(200):
            with turns.turn():
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most[0] <= 3
    assert (inside[0], turns._free, len(turns._waiting)) == (0, 3, 0)


def test_first_come_first_served() -> None:
    turns = Turns(1)
    served: list[int] = []

    def work(number: int) -> None:
        with turns.turn():
            served.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    with turns.turn():
        for number, thread in enumerate(threads):
            thread.start()
            waits(turns, number + 1)
    for thread in threads:
        thread.join()
    assert served == list(range(8))


def test_an_error_gives_the_turn_back() -> None:
    turns = Turns(1)
    with pytest.raises(ValueError, match="no"), turns.turn():
        raise ValueError("no")
    with turns.turn():
        pass
