"""The worker's self-tests of blocklists: is what a zone says still to be believed?"""

from __future__ import annotations

import asyncio

import structlog

from webapp.core.models import BlocklistZone, utcnow
from webapp.core.rules.blocklists import Health, zone_label
from webapp.core.services import blocklist_zones
from webapp.core.services.gateway import Gateway
from webapp.net.async_resolver import AsyncResolver
from webapp.net.blocklists import Checkup, check_zone
from webapp.settings import Bind
from webapp.worker import Job, every

log = structlog.get_logger(__name__)

#: How often it is seen whether a test is due, in seconds: a new zone's is at once.
LOOK_SECONDS = 5.0


def blocklists_job(gateway: Gateway) -> Job:
    """Tests each zone as it is added and every half-hour, and stores what comes of it."""

    def work() -> None:
        gateway.blocklists.rules()  # fills the list the first time
        with gateway.database.session() as session:
            due = [(row.id, row.zone) for row in blocklist_zones.due(session, utcnow())]
        if due:
            examine_zones(gateway, due)

    return every("blocklists", LOOK_SECONDS, work)


def check_zones(names: list[str], server: Bind | None) -> list[Checkup]:
    """Test the zones called *names*, all at once, through the resolver at *server*."""

    async def run() -> list[Checkup]:
        resolver = AsyncResolver(server)
        return await asyncio.gather(*(check_zone(resolver, name) for name in names))

    return asyncio.run(run())


def examine_zones(gateway: Gateway, zones: list[tuple[int, str]]) -> None:
    """Test *zones*, ids and names, and write down what they said."""
    checkups = check_zones([name for _, name in zones], gateway.settings.dns)
    with gateway.database.session() as session:
        for (zone_id, name), checkup in zip(zones, checkups, strict=True):
            before = session.get(BlocklistZone, zone_id)
            was = before.health if before else ""
            blocklist_zones.record_test(session, zone_id, checkup.health, checkup.said)
            if checkup.health.value != was:
                level = log.info if checkup.health is Health.GOOD else log.warning
                level("blocklist_tested", zone=zone_label(name), health=checkup.health.value, said=checkup.said)
