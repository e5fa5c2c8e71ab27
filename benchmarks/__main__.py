"""``make bench``: how many messages a second are taken and safe on disk.

The peer is a stock aiosmtpd controller that makes the same promise in the simplest way: it writes each message to a
file of its own and syncs it before it answers. Both take the same messages over TLS, after AUTH, one after the other
in rounds, so that a machine whose speed drifts treats them alike.
"""

from __future__ import annotations

import os
import smtplib
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.support.stack import ROOT, Stack, free_ports

USER, PASSWORD = "bench@example.com", "Tr0mbone-Sky!"
CLIENTS, MESSAGES, ROUNDS = 8, 60, 5
MESSAGE = (f"From: {USER}\r\nTo: ann@example.org\r\nSubject: Bench\r\n\r\n" + "x" * 70 + "\r\n") + (
    "y" * 70 + "\r\n"
) * 140


def main() -> None:
    """Measure and print medians."""
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder) / "ours")
        stack.data_dir.mkdir()
        with stack:
            stack.prepare(USER, PASSWORD)
            port = free_ports(1)[0]
            peer = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.peer", str(port), folder, *map(str, _tls_files(stack))],
                cwd=ROOT,
                stderr=subprocess.DEVNULL,
            )
            try:
                _wait(port)
                _report(stack.smtp_port, port)
            finally:
                peer.terminate()
                peer.wait()


def _report(ours: int, peer: int) -> None:
    print(f"{len(MESSAGE)} octets a message, {CLIENTS} connections, {os.cpu_count()} cores, median of {ROUNDS} rounds")
    rates: dict[str, list[float]] = {"postlatch": [], "aiosmtpd, a synced file a message": []}
    for _ in range(ROUNDS):
        for name, port in zip(rates, (ours, peer), strict=True):
            rates[name].append(_round(port))
    for name, found in rates.items():
        print(f"{name:36} {statistics.median(found):8.0f} messages/s  ({min(found):.0f} to {max(found):.0f})")


def _round(port: int) -> float:
    ready, go = threading.Barrier(CLIENTS + 1), threading.Event()
    threads = [threading.Thread(target=_client, args=(port, ready, go)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    go.set()
    for thread in threads:
        thread.join()
    return CLIENTS * MESSAGES / (time.perf_counter() - started)


def _client(port: int, ready: threading.Barrier, go: threading.Event) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.starttls(context=context)
        client.login(USER, PASSWORD)
        ready.wait()
        go.wait()
        for _ in range(MESSAGES):
            client.sendmail(USER, ["ann@example.org"], MESSAGE)


def _tls_files(stack: Stack) -> tuple[Path, Path]:
    return stack.data_dir / "tls" / "cert.pem", stack.data_dir / "tls" / "key.pem"


def _wait(port: int) -> None:
    for _ in range(200):
        try:
            smtplib.SMTP("127.0.0.1", port, timeout=5).quit()
        except OSError:
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    main()
