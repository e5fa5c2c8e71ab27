"""The worker asks the DNS what addresses are called, once somebody has looked at them in the panel."""

from __future__ import annotations

from contextlib import suppress

from webapp.core.models import utcnow
from webapp.core.services import reverse_names
from webapp.core.services.gateway import Gateway
from webapp.net.resolver import LookupFailed, reverse_name
from webapp.worker import Job, every

SECONDS = 2.0


def reverse_names_job(gateway: Gateway) -> Job:
    """Looks for addresses that wait for their name. One that doesn't answer has none, until somebody looks again."""

    def look() -> None:
        with gateway.database.session() as session:
            wanted = reverse_names.wanted(session)
        for ip in wanted:
            name = None
            with suppress(LookupFailed):
                name = reverse_name(ip, gateway.settings.dns)
            with gateway.database.session() as session:
                reverse_names.learn(session, ip, name, utcnow())

    return every("reverse-names", SECONDS, look)
