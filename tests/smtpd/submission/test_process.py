"""``python -m smtpd`` as a process: how it starts, beats and ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from tests.smtpd.submission.test_service import MESSAGE, PASSWORD, USER, furnish
from tests.smtpd.submission.wire import PATIENCE, Wire, plain, until
from tests.support.stack import ROOT
from webapp import gateway_of
from webapp.core.models import Heartbeat
from webapp.core.services.gateway import Gateway


@pytest.fixture
def process(make_app: Callable[..., Flask]) -> Iterator[tuple[subprocess.Popen[str], Gateway, list[str]]]:
    """``python -m smtpd`` as an operator starts it, and what it printed until it was ready."""
    gateway = gateway_of(make_app())
    furnish(gateway)
    environment = os.environ | {
        "POSTLATCH_DATA_DIR": str(gateway.settings.data_dir),
        "POSTLATCH_DATABASE_URL": gateway.settings.sqlalchemy_url,
        "POSTLATCH_SMTP_BIND": "127.0.0.1:0",
        "POSTLATCH_SMTPS_BIND": "127.0.0.1:0",
        "POSTLATCH_BOUNCE_BIND": "127.0.0.1:0",
        "POSTLATCH_HOSTNAME": "mail.postlatch.test",
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "smtpd"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: list[str] = []
    assert process.stdout
    for line in process.stdout:
        said.append(line)
        if "bounces_ready" in line:
            break
    try:
        yield process, gateway, said
    finally:
        process.kill()
        process.wait(PATIENCE)
        process.stdout.close()


def test_the_process_serves_beats_and_ends_in_order(process: tuple[subprocess.Popen[str], Gateway, list[str]]) -> None:
    running, gateway, said = process
    ports = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", "".join(said))]
    assert len(ports) == 3, said
    with Wire(ports[2]) as wire:
        assert wire.reply().startswith("220 ")
        assert "AUTH PLAIN LOGIN" not in wire.ehlo()
        assert wire.command("MAIL FROM:<>").startswith("250 2.1.0")
        assert wire.command("RCPT TO:<postmaster@mail.postlatch.test>").startswith("550 5.1.1")
    with Wire(ports[1], tls=True) as wire:
        assert wire.reply() == "220 mail.postlatch.test ESMTP Postlatch"
        wire.ehlo()
        assert wire.command("AUTH PLAIN " + plain(USER, PASSWORD)).startswith("235")
        wire.begin()
        wire.send(MESSAGE + b".\r\n")
        assert wire.reply().startswith("250 2.0.0")

        def beat() -> bool:
            with gateway.database.session() as session:
                return session.scalar(select(Heartbeat).where(Heartbeat.process == "submission")) is not None

        until(beat)
        running.send_signal(signal.SIGHUP)
        assert wire.command("NOOP").startswith("250")
        running.send_signal(signal.SIGTERM)
        assert wire.reply().startswith("421 4.3.2")
        assert wire.closed()
    assert running.wait(PATIENCE) == 0
    assert running.stdout
    rest = running.stdout.read()
    assert "certificate_loaded" in rest
    assert "Traceback" not in rest


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"POSTLATCH_SMTP_BIND": "nonsense"}, "POSTLATCH_SMTP_BIND"),
        ({"POSTLATCH_TLS_CERT": "/nowhere/cert.pem", "POSTLATCH_TLS_KEY": "/nowhere/key.pem"}, "/nowhere/cert.pem"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "smtpd"],
        cwd=ROOT,
        env=os.environ | {"POSTLATCH_DATA_DIR": str(tmp_path), "POSTLATCH_HOSTNAME": "mail.test"} | variables,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
