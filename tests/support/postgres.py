"""A PostgreSQL server for one test run: a cluster in a temporary folder, gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.stack import free_ports


class Cluster:
    """Started by `start`; `url` is where its databases are."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="postlatch-pg-"))
        self._port = free_ports(1)[0]
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Make the cluster and start the server. Raise `subprocess.CalledProcessError`."""
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self._folder, "postgres", "postgres")
        data = str(self._folder / "data")
        self._run("initdb", "--pgdata", data, "--username", "postgres", "--auth", "trust", "--no-sync", "-E", "UTF8")
        options = (
            f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
            " -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c autovacuum=off -c max_connections=300"
        )
        self._run("pg_ctl", "--pgdata", data, "--log", str(self._folder / "log"), "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop the server and delete everything."""
        self._run("pg_ctl", "--pgdata", str(self._folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        # Into a file, not a pipe: the server would inherit the pipe and hold it open.
        with tempfile.TemporaryFile() as output:
            subprocess.run(command, check=True, stdout=output, stderr=output, cwd="/")


def find() -> Cluster | None:
    """A cluster to start, if this machine has the server's programs."""
    places = [Path(found).parent for name in ("initdb",) if (found := shutil.which(name))]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((Cluster(place) for place in places if (place / "pg_ctl").exists()), None)
