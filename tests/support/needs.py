"""What a suite needs from the machine. What is missing is skipped and named at the end, or fails when CI demands it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

#: Set by CI: a suite that can't run is a failure there.
REQUIRED = os.environ.get("POSTLATCH_TEST_REQUIRE_ALL") == "1"

#: Program or service -> how to install it.
HOW = {
    "PostgreSQL": "apt-get install postgresql (or set POSTLATCH_TEST_POSTGRES_URL)",
    "Chromium": "apt-get install chromium",
    "Node": "apt-get install nodejs npm",
    "nodemailer": "npm ci --prefix tests/clients",
    "zapier-platform-core": "npm ci --prefix integrations/zapier",
    "swaks": "apt-get install swaks libnet-ssleay-perl",
    "msmtp": "apt-get install msmtp",
    "Redis": "apt-get install redis-server",
    "curl": "apt-get install curl",
}


def lacks(what: str) -> None:
    """Skip the test because *what* is not here, or fail it when everything is required."""
    message = f"{what} is missing: {HOW[what]}"
    if REQUIRED:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def program(what: str, *names: str) -> Path:
    """The path of the first of *names* (or of *what* itself) that is installed."""
    for name in names or (what,):
        if found := shutil.which(name):
            return Path(found)
    lacks(what)
    raise AssertionError("unreachable")


def postgresql(url: str | None) -> str:
    """The URL of a PostgreSQL server for tests."""
    if not url:
        lacks("PostgreSQL")
    return str(url)
