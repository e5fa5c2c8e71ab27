"""The worker's looks at domains: each once an hour, and whichever a page asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webapp.core.services import domain_checks
from webapp.core.services.audit import Actor
from webapp.core.services.gateway import Gateway
from webapp.core.services.tasks import Handler, Run, TaskError
from webapp.net.resolver import LookupFailed
from webapp.worker import Job, every

#: One domain is looked at this often, if one is due, in seconds.
LOOK_SECONDS = 3.0


def domain_checks_job(gateway: Gateway) -> Job:
    """Looks at every domain once an hour, at a new one at once."""
    return every("domain_checks", LOOK_SECONDS, lambda: domain_checks.check_due(gateway))


def domain_check_handler(gateway: Gateway) -> Handler:
    """Does the task ``domain_check`` with ``{"domain_id": …, "by": …}``."""

    def check(run: Run) -> Mapping[str, Any]:
        try:
            domain_checks.check(gateway, run.args["domain_id"], Actor(run.args["by"]))
        except LookupFailed:
            raise TaskError("The DNS did not answer, so nothing is known. What was found before stands.") from None
        return {}

    return check
