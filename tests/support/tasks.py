"""The worker's tasks, done in the background of a test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from webapp.core.services.gateway import Gateway
from webapp.core.services.tasks import Handler
from webapp.task_job import tasks_job


@contextmanager
def at_work(gateway: Gateway, handlers: Mapping[str, Handler], **options: Any) -> Iterator[None]:
    """Do tasks in the background while the block runs."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    job = tasks_job(gateway, handlers, **options)
    thread = threading.Thread(target=loop.run_until_complete, args=(job.run(stop),))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        assert not thread.is_alive()
        loop.close()
