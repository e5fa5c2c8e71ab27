"""What a worker has in hand: claimed deliveries that have no outcome yet, and until when each is surely its own."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from dataclasses import replace
from time import monotonic

from webapp.core.services.deliveries import LEASE, Claimed

#: A lease counts as lost this long before it ends: clocks and threads are never quite exact.
_MARGIN_SECONDS = 5.0


class Hand:
    """Deliveries in hand by id. A parcel is what was claimed of one message at one time."""

    def __init__(self) -> None:
        self._surely_until: dict[int, float] = {}  # monotonic, in seconds
        self._parcels: dict[int, Hashable] = {}  # the first delivery's id -> the lane that took it
        self._closed = False

    def take(self, message: Claimed, *, lane: Hashable, asked_at: float) -> Claimed | None:
        """Add a message claimed by a request made at *asked_at*. Return what of it wasn't in hand already.

        A lease of ours that ran out while the database was gone can be claimed again by ourselves: that mail is
        being sent.
        """
        new = {key: address for key, address in message.recipients.items() if key not in self._surely_until}
        self.renewed(message.recipients, message.recipients, asked_at=asked_at)
        if not new:
            return None
        self._surely_until |= dict.fromkeys(new, _surely_until(asked_at))
        self._parcels[min(new)] = lane
        return replace(message, recipients=new)

    def drop(self, parcel: Claimed) -> None:
        """Forget what was dealt with."""
        del self._parcels[min(parcel.recipients)]
        for key in parcel.recipients:
            del self._surely_until[key]

    def renewed(self, asked: Collection[int], held: Collection[int], *, asked_at: float) -> None:
        """Note which leases were prolonged at *asked_at*; what of *asked* isn't *held* is another worker's now."""
        for key in asked:
            if key in self._surely_until:
                self._surely_until[key] = _surely_until(asked_at) if key in held else 0.0

    def holds(self, ids: Iterable[int]) -> bool:
        """Whether all of *ids* are surely ours, and may be sent. Nothing may any more once closed."""
        now = monotonic()
        return not self._closed and all(self._surely_until.get(key, 0.0) > now for key in ids)

    def ids(self) -> list[int]:
        """All that is in hand."""
        return list(self._surely_until)

    def parcels(self, lane: Hashable) -> int:
        """How many parcels are in hand that *lane* took."""
        return sum(took == lane for took in self._parcels.values())

    def close(self) -> None:
        """Let nothing more begin."""
        self._closed = True


def _surely_until(asked_at: float) -> float:
    return asked_at + LEASE.total_seconds() - _MARGIN_SECONDS
