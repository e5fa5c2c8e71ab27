"""Capture: mail is kept and shown, and nothing leaves this server."""

from __future__ import annotations

from smtpd.delivery.transports.base import Parcel, Report
from webapp.core.rules.statuses import Status
from webapp.core.services.outcomes import Outcome


class CaptureTransport:
    """Ends every delivery as captured, without an attempt: none was made."""

    name = "capture"

    async def deliver(self, parcel: Parcel, report: Report) -> None:
        """See `Transport`."""
        await report([Outcome(delivery_id, Status.CAPTURED) for delivery_id in parcel.message.recipients])

    async def close(self) -> None:
        """See `Transport`."""
