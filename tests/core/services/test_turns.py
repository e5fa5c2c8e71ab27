"""Turns at the hash: known addresses first, then every address in its turn, and few that wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services.turns import Turns

PATIENCE = 20.0


class Crowd:
    """Threads that want a turn; they note who had one, in order."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._threads: list[threading.Thread] = []
        self.served: list[str] = []
        self.refused: list[str] = []

    def wants(self, address: str, *, familiar: bool = False, waits: bool = True) -> None:
        """Another thread wants one; return once it waits, or was sent away."""
        before = self._turns.waiting
        thread = threading.Thread(target=self._want, args=(address, familiar))
        thread.start()
        self._threads.append(thread)
        until(lambda: self._turns.waiting == before + 1 if waits else len(self.refused) > 0)

    def end(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _want(self, address: str, familiar: bool) -> None:
        try:
            with self._turns.turn(address, lambda: familiar) as waited:
                assert waited
                self.served.append(address)
        except Refused as refused:
            self.refused.append(address if refused.reason is Reason.AUTH_UNAVAILABLE else "otherwise")


def until(met: Callable[[], bool]) -> None:
    """Wait until *met*."""
    ticks = threading.Event()
    for _ in range(int(PATIENCE / 0.002)):
        if met():
            return
        ticks.wait(0.002)
    pytest.fail("it never came to that")


@contextmanager
def busy(turns: Turns) -> Iterator[None]:
    """Somebody has the only turn."""
    with turns.turn("busy", lambda: False) as waited:
        assert not waited
        yield


def test_addresses_take_turns_and_known_ones_go_first() -> None:
    turns = Turns(10, at_once=1)
    crowd = Crowd(turns)
    with busy(turns):
        for address in ("guesser", "guesser", "guesser", "stranger"):
            crowd.wants(address)
        crowd.wants("owner", familiar=True)
    crowd.end()

    assert crowd.served == ["owner", "guesser", "stranger", "guesser", "guesser"]


def test_who_has_many_waiting_makes_room_for_who_has_none() -> None:
    turns = Turns(3, at_once=1)
    crowd = Crowd(turns)
    with busy(turns):
        for _ in range(3):
            crowd.wants("guesser")
        crowd.wants("stranger", waits=False)
        assert crowd.refused == ["guesser"]
        crowd.wants("owner", familiar=True)
    crowd.end()

    assert crowd.served == ["owner", "guesser", "stranger", "guesser"]


def test_for_more_strangers_there_is_no_room() -> None:
    turns = Turns(2, at_once=1)
    crowd = Crowd(turns)
    with busy(turns):
        crowd.wants("one")
        crowd.wants("two")
        crowd.wants("three", waits=False)
    crowd.end()

    assert crowd.refused == ["three"]
    assert crowd.served == ["one", "two"]


def test_a_turn_ends_also_with_an_error() -> None:
    turns = Turns(2, at_once=1)
    with pytest.raises(RuntimeError), turns.turn("one", lambda: False):
        raise RuntimeError
    with turns.turn("two", lambda: False) as waited:
        assert not waited


def test_strangers_leave_a_turn_for_known_ones() -> None:
    turns = Turns(10, at_once=2)
    crowd = Crowd(turns)
    with busy(turns):
        crowd.wants("guesser")
        with turns.turn("owner", lambda: True) as waited:
            assert not waited
        assert turns.waiting == 1
    crowd.end()

    assert crowd.served == ["guesser"]


def test_who_could_not_even_wait_can_be_told_at_once() -> None:
    turns = Turns(2, at_once=1)
    crowd = Crowd(turns)
    with busy(turns):
        crowd.wants("guesser")
        turns.check_room("stranger")
        crowd.wants("guesser")
        turns.check_room("stranger")  # the guesser would make room
        with pytest.raises(Refused) as caught:
            turns.check_room("guesser")
    crowd.end()

    assert caught.value.reason is Reason.AUTH_UNAVAILABLE
