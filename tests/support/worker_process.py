"""A worker in a process of its own, for tests that kill it. Settings come from the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from smtpd.delivery import delivery_job
from webapp import create_app, gateway_of
from webapp.settings import Settings
from webapp.worker import Job, run_worker


def start(settings: Settings) -> subprocess.Popen[bytes]:
    """Start one with *settings*."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTLATCH_")}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is not None:
            text = f"{round(value.total_seconds())}s" if isinstance(value, timedelta) else str(value)
            environment[f"POSTLATCH_{name.upper()}"] = text
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.worker_process"],
        cwd=Path(__file__).parents[2],
        env=environment,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    gateway = gateway_of(create_app())
    run_worker(gateway, [Job("delivery", delivery_job(gateway))])
