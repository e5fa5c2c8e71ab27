"""Writes that share a transaction: who waits is answered, and closing forgets nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from webapp.core.services.gateway import Gateway
from webapp.core.services.group_commit import GroupCommit, Together


@pytest.fixture
def writer(gateway: Gateway) -> Iterator[GroupCommit]:
    made = GroupCommit(gateway.database, name="test")
    yield made
    made.close()


def test_one_that_fails_takes_no_other_along(writer: GroupCommit) -> None:
    gathered = threading.Event()
    first = writer.submit(lambda session: gathered.wait(10))

    def fails(session: Session) -> None:
        session.execute(text("DELETE FROM domains"))
        raise ValueError

    good, bad = writer.submit(lambda session: "written"), writer.submit(fails)
    gathered.set()

    assert first.result(10)
    assert good.result(10) == "written"
    assert isinstance(bad.exception(10), ValueError)


def test_who_no_longer_waits_takes_no_other_along(writer: GroupCommit) -> None:
    together = Together(writer, lambda session, items: len(items))
    gathered = threading.Event()
    writer.submit(lambda session: gathered.wait(10))
    leaves, stays = writer.submit(lambda session: 1), writer.submit(lambda session: 2)
    left, stayed = together.submit("a"), together.submit("b")
    leaves.cancel()
    left.cancel()
    gathered.set()

    assert stays.result(10) == 2
    assert stayed.result(10) == 2, "both were written"


def test_what_an_answer_adds_while_it_closes_is_written_too(writer: GroupCommit) -> None:
    begun, go_on, added = threading.Event(), threading.Event(), threading.Event()

    def wait(session: Session) -> None:
        begun.set()
        go_on.wait(10)

    def add(_: Future[None]) -> None:
        writer.submit(lambda session: "late").add_done_callback(lambda _: added.set())

    writer.submit(wait).add_done_callback(add)
    assert begun.wait(10)
    closing = threading.Thread(target=writer.close, daemon=True)
    closing.start()
    with suppress(TimeoutError):
        writer.submit(lambda session: None).result(0.2)  # by then it is closing
    go_on.set()

    closing.join(10)
    assert not closing.is_alive()
    assert added.is_set()


def test_it_works_again_after_it_was_closed(writer: GroupCommit) -> None:
    assert writer.submit(lambda session: 1).result(10) == 1
    writer.close()
    assert writer.submit(lambda session: 2).result(10) == 2
