"""The worker's loop: jobs that run, fail, and are told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.support.queue import until
from webapp import worker
from webapp.core.models import OneTimeLink, utcnow
from webapp.core.services.gateway import Gateway
from webapp.core.services.heartbeats import alive
from webapp.worker import Job, Worker, every, housekeeping_job


def nothing() -> None:
    """A heartbeat that nobody hears."""


def run(*jobs: Job, heartbeat: Callable[[], None] = nothing) -> None:
    """Run a worker until one of *jobs* stops it."""

    async def main() -> None:
        await asyncio.wait_for(Worker(jobs, heartbeat=heartbeat).run(), 30)

    asyncio.run(main())


def quit_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_tells_every_job_to_stop_and_lets_it_finish() -> None:
    finished = []

    async def one(stop: asyncio.Event) -> None:
        quit_process()
        await stop.wait()
        await asyncio.sleep(0.05)
        finished.append("one")

    async def two(stop: asyncio.Event) -> None:
        await stop.wait()
        finished.append("two")

    run(Job("one", one), Job("two", two))

    assert sorted(finished) == ["one", "two"]


def test_a_job_that_takes_too_long_to_stop_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "STOP_SECONDS", 0.2)
    cut = []

    async def deaf(_stop: asyncio.Event) -> None:
        quit_process()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.append(True)
            raise

    run(Job("deaf", deaf))

    assert cut == [True]


@pytest.mark.parametrize("error", [OperationalError("x", {}, Exception()), RuntimeError("bug")])
def test_a_job_that_fails_runs_again_and_is_logged_once(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(worker, "RESTART_SECONDS", (0.01, 0.02))
    runs = 0

    async def failing(_stop: asyncio.Event) -> None:
        nonlocal runs
        runs += 1
        if runs == 5:
            quit_process()
        raise error

    with capture_logs() as logs:
        run(Job("failing", failing))

    assert runs >= 5
    assert len([line for line in logs if line["event"] == "job_waits"]) == 1


def test_one_failing_job_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RESTART_SECONDS", (0.01, 0.02))
    ticks = []

    async def failing(_stop: asyncio.Event) -> None:
        raise RuntimeError

    def tick() -> None:
        ticks.append(True)
        if len(ticks) == 10:
            quit_process()

    run(Job("failing", failing), every("ticking", 0.01, tick))

    assert len(ticks) >= 10


def test_it_says_that_it_is_alive(gateway: Gateway) -> None:
    def beat() -> None:
        gateway.heartbeat("worker")
        quit_process()

    run(heartbeat=beat)

    with gateway.database.session() as session:
        assert alive(session, utcnow()) == {"worker": True}


def test_it_says_so_also_while_every_shared_thread_waits_for_a_resolver() -> None:
    answered = threading.Event()

    async def resolving(stop: asyncio.Event) -> None:
        lookups = [asyncio.to_thread(answered.wait, 20) for _ in range(64)]
        await asyncio.gather(*lookups)
        await stop.wait()

    beats = []

    def beat() -> None:
        beats.append(True)
        if len(beats) == 2:
            answered.set()
            quit_process()

    run(Job("resolving", resolving), heartbeat=beat)

    assert len(beats) >= 2


def test_housekeeping_deletes_all_that_is_past_its_time(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.core.services.housekeeping.BATCH", 2)
    with gateway.database.session() as session:
        for number in range(7):
            session.add(OneTimeLink(token_digest=bytes([number]) * 32, expires_at=utcnow()))

    def left() -> int:
        with gateway.database.session() as session:
            return session.query(OneTimeLink).count()

    async def watch(stop: asyncio.Event) -> None:
        await asyncio.to_thread(until, lambda: left() == 0)
        quit_process()
        await stop.wait()

    run(housekeeping_job(gateway), Job("watch", watch))

    assert left() == 0
