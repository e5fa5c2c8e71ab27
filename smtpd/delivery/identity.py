"""The name under which a worker holds leases, and which of them a dead predecessor left behind.

The name stays in the data directory, under a lock that the system drops when its process dies, however it dies.
Whoever gets the lock therefore knows that nobody works under the name any more.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

FILE = "worker.lock"


@dataclass(frozen=True, slots=True)
class Identity:
    """`lease` names this worker. `inherited`: a dead worker held leases under it, which can be released at once."""

    lease: str
    inherited: bool
    _lock: int | None

    @classmethod
    def take(cls, data_dir: Path) -> Identity:
        """The data directory's name, or a name for this time only while another worker is alive there."""
        descriptor = os.open(data_dir / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return cls(_new_name(), inherited=False, _lock=None)
        name = os.pread(descriptor, 100, 0).decode("ascii", "replace")
        # A copied data directory on another machine is another worker.
        if re.fullmatch(re.escape(_host()) + r"-[0-9a-f]{16}", name):
            return cls(name, inherited=True, _lock=descriptor)
        name = _new_name()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, name.encode(), 0)
        return cls(name, inherited=False, _lock=descriptor)

    def close(self) -> None:
        """Leave the name to a successor."""
        if self._lock is not None:
            os.close(self._lock)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:20]


def _new_name() -> str:
    return f"{_host()}-{secrets.token_hex(8)}"
