"""Whether a connection is let in for all that blocklists say of its address (RFC 5782)."""

from __future__ import annotations

import structlog

from smtpd.submission.environment import Environment
from webapp.core.rules.blocklists import UNANSWERED, Finding, Outcome, Rules
from webapp.core.rules.refusals import Reason, Refused

log = structlog.get_logger(__name__)

#: What is worth a line in the log even though it lets the address in.
_ODD = UNANSWERED | {Outcome.OUTSIDE}


async def check_blocklists(environment: Environment, ip: str, rules: Rules) -> None:
    """Look *ip* up. Raise ``Refused(BLOCKLISTED)`` when a zone that is on lists it, and it is not exempt."""
    gateway = environment.gateway
    if not rules.zones or rules.exempts(ip):
        return
    findings = await environment.lookups.look_up(ip, rules.zones)
    for finding in findings:
        if finding.outcome in _ODD:
            log.warning("blocklist_unanswered", zone=finding.zone.label, ip=ip, outcome=finding.outcome.value)
        elif finding.listed and not finding.refuses:
            log.info("blocklist_observed", zone=finding.zone.label, ip=ip, answers=finding.counted_answers)
    guilty = next((finding for finding in findings if finding.refuses), None)
    refused = _refusal(ip, guilty) if guilty else None
    gateway.note_listed(ip, findings, guilty, refused.reference if refused else None)
    if refused:
        raise refused


def _refusal(ip: str, finding: Finding) -> Refused:
    answers = ", ".join(finding.counted_answers)
    return Refused(
        Reason.BLOCKLISTED,
        address=ip,
        zone=finding.zone.label,
        listing=f": {finding.reason}" if finding.reason else ".",
        trace={"zone": finding.zone.label, "answer": answers} | ({"txt": finding.reason} if finding.reason else {}),
    )
