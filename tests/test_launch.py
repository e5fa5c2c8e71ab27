"""`make run`: what it prints, what it keeps running, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.stack import ROOT, Stack
from webapp.certificate import ensure_certificate
from webapp.settings import Settings


def test_the_banner_says_where_everything_is_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    stack.start()
    try:
        _until(lambda: any("Ctrl-C" in line for line in stack.printed))
        printed = "".join(stack.printed)
        for part in (stack.url, f":{stack.smtp_port} (STARTTLS)", f":{stack.smtps_port} (SSL/TLS)", "capture"):
            assert part in printed
        assert stack.get(stack.setup_link)[0] == 200
        assert printed.count("Postlatch is running") == 1
    finally:
        stack.stop()
    assert stack.pids() == []
    for port in (stack.http_port, stack.smtp_port, stack.smtps_port):
        with socket.socket() as sock:
            assert sock.connect_ex(("127.0.0.1", port)) != 0


def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        submission = next(pid for pid in stack.pids() if b"smtpd" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(submission, signal.SIGKILL)
        _until(lambda: any("submission ended" in line for line in stack.printed))

        def answers() -> bool:
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", stack.smtp_port)) == 0

        _until(answers)


def test_children_end_with_a_killed_launcher(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    stack.start()
    try:
        launcher = next(pid for pid in stack.pids() if b"webapp.launch" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(launcher, signal.SIGKILL)
        if sys.platform.startswith("linux"):
            _until(lambda: stack.pids() == [])
    finally:
        stack.kill()


def test_a_port_in_use_is_one_line_with_its_variable(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", stack.smtp_port))
        sock.listen()
        done = _launch(stack)

    assert done.returncode != 0
    assert "POSTLATCH_SMTP_BIND" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_wrong_setting_is_one_line_with_its_variable(tmp_path: Path) -> None:
    done = _launch(Stack(tmp_path, delivery="pigeon"))

    assert done.returncode != 0
    assert "POSTLATCH_DELIVERY" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({"tls_cert": "/nowhere/cert.pem", "tls_key": "/nowhere/key.pem"}, "POSTLATCH_TLS_CERT"),
        ({"database_url": "postgresql+psycopg://postlatch:Geheim-1@127.0.0.1:1/postlatch"}, "POSTLATCH_DATABASE_URL"),
        ({"database_url": "sqlite:////dev/null/postlatch.db"}, "POSTLATCH_DATABASE_URL"),
        ({"smtps_bind": "127.0.0.1:{smtp_port}"}, "POSTLATCH_SMTPS_BIND"),
    ],
)
def test_what_cannot_be_used_stops_the_start_with_one_line(
    tmp_path: Path, settings: dict[str, str], variable: str
) -> None:
    stack = Stack(tmp_path)
    for name, value in settings.items():
        stack.settings[name] = value.format(smtp_port=stack.smtp_port)
    done = _launch(stack)

    assert done.returncode == 1
    assert variable in done.stderr
    assert "Geheim" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_certificate_is_made_once_and_again_for_another_name(tmp_path: Path) -> None:
    def settings(hostname: str) -> Settings:
        return Settings(_env_file=None, data_dir=tmp_path, hostname=hostname)

    cert, key = settings("a.example.com").tls_files
    ensure_certificate(settings("a.example.com"))
    first = cert.read_bytes()
    ensure_certificate(settings("a.example.com"))
    assert cert.read_bytes() == first
    assert key.stat().st_mode & 0o077 == 0
    ensure_certificate(settings("b.example.com"))
    assert cert.read_bytes() != first


def _launch(stack: Stack) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "webapp.launch"],
        cwd=ROOT, env=stack.environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def _until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # ends as soon as it holds
