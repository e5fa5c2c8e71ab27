"""A sink, and services that relay to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from tests.support.smtp_sink import SmtpSink
from webapp import gateway_of
from webapp.core.services.gateway import Gateway


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as sink:
        yield sink


@pytest.fixture
def relaying(make_app: Callable[..., Flask], sink: SmtpSink) -> Callable[..., Gateway]:
    """Services that relay to the sink; keyword arguments are settings."""

    def make(**settings: Any) -> Gateway:
        values = {"delivery": "relay", "relay_url": f"smtp://127.0.0.1:{sink.port}", "retry_first": "1s"}
        return gateway_of(make_app(**(values | settings)))

    return make
