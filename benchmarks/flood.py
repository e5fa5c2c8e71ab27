"""``python -m benchmarks.flood [SECONDS]``: what a good client feels of 200 failed AUTHs a second.

Each guesser comes from an address of its own and tries six names, so that no lock stops it before its connection
is cut: the most expensive sort of flood, since each try is hashed. Once a second a client that has sent before, and one
that comes from an address never seen, send a message each: connect, STARTTLS, AUTH, message, QUIT.
"""

from __future__ import annotations

import asyncio
import base64
import os
import smtplib
import sqlite3
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from functools import lru_cache
from itertools import count
from pathlib import Path

from tests.support.stack import Stack

USER, PASSWORD = "good@example.com", "Tr0mbone-Sky!"
RATE, TRIES = 200, 6
MOST_GUESSERS = 400
MESSAGE = f"From: {USER}\r\nTo: ann@example.org\r\nSubject: Order\r\n\r\nHello.\r\n"
_numbers = count()


def main() -> None:
    """Measure and print; exit with 1 when a good client waited longer than a second."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        with Stack(data_dir) as stack:
            stack.prepare(USER, PASSWORD)
            quiet = [_timed(stack) for _ in range(6)][1:]
            good = _Good(stack)
            good.start()
            pid = _submission(stack)
            before, own = _cpu(pid), time.process_time()
            answers, memory = asyncio.run(_flood(stack, seconds))
            after, own = _cpu(pid), time.process_time() - own
            good.stop()
            print(f"load average {os.getloadavg()[0]:.1f}; CPU: server {after - before:.0f} s, guessers {own:.0f} s")
            print(f"known address, before the flood: median {statistics.median(quiet):.2f} s")
            _report(seconds, answers, memory, good, data_dir)
            sys.exit(max(good.known) >= 1.0)


def _report(seconds: float, answers: Counter[str], memory: list[float], good: _Good, data_dir: Path) -> None:
    tries = sum(n for reply, n in answers.items() if reply != "cut")
    print(f"{os.cpu_count()} cores, {seconds:.0f} s, {RATE} AUTHs a second offered, {tries / seconds:.0f} answered")
    print("answers:", ", ".join(f"{reply} {n}" for reply, n in answers.most_common()))
    for name, times in (("known address", good.known), ("new address", good.new)):
        if times:
            print(
                f"{name:14} {len(times):3} sessions, median {statistics.median(times):.2f} s, most {max(times):.2f} s"
            )
    print("refused good sessions:", dict(good.refused) or "none")
    size = max(1, len(memory) // 6)
    sixths = ", ".join(f"{statistics.mean(memory[at : at + size]):.0f}" for at in range(0, size * 6, size))
    print(f"memory of the submission process, in MB, each sixth of the time: {sixths}")
    with sqlite3.connect(data_dir / "postlatch.db") as database:
        for table in ("refusals", "failed_attempts", "locks"):
            print(f"{table}: {database.execute(f'SELECT count(*) FROM {table}').fetchone()[0]} rows")


class _Good(threading.Thread):
    """The good clients."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self._stack, self._ended = stack, threading.Event()
        self.known: list[float] = []
        self.new: list[float] = []
        self.refused: Counter[str] = Counter()

    def run(self) -> None:
        for number in count():
            for name, times, ip in (
                ("known", self.known, "127.0.9.1"),
                ("new", self.new, f"127.0.8.{number % 250 + 1}"),
            ):
                started = time.perf_counter()
                try:
                    _send(self._stack, ip)
                except (smtplib.SMTPException, OSError) as error:
                    self.refused[f"{name}: {str(error)[:60]}"] += 1
                times.append(time.perf_counter() - started)
            if self._ended.wait(1.0):
                return

    def stop(self) -> None:
        self._ended.set()
        self.join()


def _timed(stack: Stack) -> float:
    started = time.perf_counter()
    _send(stack, "127.0.9.1")
    return time.perf_counter() - started


def _cpu(pid: int) -> float:
    """Seconds that all cores together spent on the process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _send(stack: Stack, ip: str) -> None:
    with smtplib.SMTP("127.0.0.1", stack.smtp_port, timeout=60, source_address=(ip, 0)) as client:
        client.starttls(context=_unchecked())
        client.login(USER, PASSWORD)
        client.sendmail(USER, ["ann@example.org"], MESSAGE)


async def _flood(stack: Stack, seconds: float) -> tuple[Counter[str], list[float]]:
    answers: Counter[str] = Counter()
    memory: list[float] = []
    guessers: set[asyncio.Task[None]] = set()
    pid = _submission(stack)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for number in count():
        due = begun + number * TRIES / RATE
        if due > begun + seconds:
            break
        await asyncio.sleep(max(0.0, due - loop.time()))
        if len(guessers) < MOST_GUESSERS:
            task = asyncio.create_task(_guesser(stack.smtps_port, number, answers))
            guessers.add(task)
            task.add_done_callback(guessers.discard)
        memory.append(_megabytes(pid))
    for task in guessers:
        task.cancel()
    return answers, memory


def _submission(stack: Stack) -> int:
    return next(pid for pid in stack.pids() if b"smtpd" in Path(f"/proc/{pid}/cmdline").read_bytes())


async def _guesser(port: int, number: int, answers: Counter[str]) -> None:
    address = f"127.{64 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=_unchecked(), local_addr=(address, 0))
        await reader.readline()
        writer.write(b"EHLO guesser.example\r\n")
        while not (await reader.readline()).startswith(b"250 "):
            pass
        for _ in range(TRIES):
            login = f"\0user{next(_numbers)}@example.com\0Wrong-{next(_numbers)}"
            writer.write(b"AUTH PLAIN " + base64.b64encode(login.encode()) + b"\r\n")
            answers[(await reader.readline())[:3].decode() or "cut"] += 1
        writer.close()
    except (OSError, ssl.SSLError):
        answers["cut"] += 1


@lru_cache
def _unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _megabytes(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
