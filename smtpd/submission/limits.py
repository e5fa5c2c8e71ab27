"""How much one connection and one process may ask for. Durations are in seconds, sizes in octets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from webapp.core.rules.networks import lock_subject
from webapp.core.services.heartbeats import BEAT_SECONDS

#: Octets of a command line without its CRLF (RFC 5321 section 4.5.3.1.4), and where an extension asks for more.
COMMAND_LENGTH = 510
LONGER_COMMANDS = {
    "AUTH": 12_288,  # RFC 4954 section 4
    "MAIL": COMMAND_LENGTH + 26 + 17 + 500 + 10,  # SIZE, BODY, AUTH, SMTPUTF8
    "RCPT": COMMAND_LENGTH + 500,  # room to name the parameter that is refused
}
LONGEST_LINE = max(LONGER_COMMANDS.values())


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines and counts; those that admins set are in the settings."""

    idle: float = 300.0  # nothing comes (RFC 5321 section 4.5.3.2.7)
    line: float = 60.0  # a line that has begun must end
    data: float = 600.0  # a message must end; longer only for those that send `data_rate` on average
    data_rate: int = 8 * 1024  # octets a second
    handshake: float = 30.0
    proxy: float = 5.0
    parting: float = 10.0  # for QUIT, after a refusal instead of the banner
    unread: float = 60.0  # the client doesn't read our replies
    grace: float = 4.0  # at shutdown, for messages that are still coming in
    heartbeat: float = BEAT_SECONDS  # how often the process says it is at work and looks at its certificate
    failed_auths: int = 5
    errors: int = 20
    junk_commands: int = 100
    turned_away: int = 50  # connections at once that may still say QUIT; others are closed with the refusal
    parting_errors: int = 5  # of those
    overshoot: int = 1_000  # recipients beyond the limit that are refused without counting as errors
    discarded_line: int = 1024 * 1024
    buffered: int = 512 * 1024 * 1024  # of all messages that are coming in


class ConnectionCounter:
    """Counts the connections of this process, in all and a network: an IPv4 address, or the /64 of an IPv6 one."""

    def __init__(self, most: int, most_per_network: int) -> None:
        self._most = most
        self._most_per_network = most_per_network
        self._open = 0
        self._per_network: Counter[str] = Counter()

    def enter(self, ip: str) -> bool:
        """Count a connection in; return whether it is within the limits. Each needs its `leave`."""
        network = lock_subject(ip)
        self._open += 1
        self._per_network[network] += 1
        return self._open <= self._most and self._per_network[network] <= self._most_per_network

    def leave(self, ip: str) -> None:
        """Count a connection out."""
        network = lock_subject(ip)
        self._open -= 1
        self._per_network[network] -= 1
        if self._per_network[network] <= 0:
            del self._per_network[network]


class MemoryBudget:
    """Octets of messages that may be in memory at once, over all connections."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0

    @property
    def used(self) -> int:
        """Octets taken."""
        return self._used

    def take(self, octets: int) -> bool:
        """Take *octets* if they are there; return whether they were."""
        if self._used + octets > self._size:
            return False
        self._used += octets
        return True

    def give_back(self, octets: int) -> None:
        """Return what was taken."""
        self._used -= octets


class Share:
    """What one message takes of a `MemoryBudget`, given back at the end, or as soon as there is not enough."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._taken = 0
        self.exhausted = False

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    def take(self, octets: int) -> bool:
        """Take *octets* more; return whether they were there. After a refusal nothing is taken any more."""
        self.exhausted = self.exhausted or not self._budget.take(octets)
        if self.exhausted:
            self._give_back()
        else:
            self._taken += octets
        return not self.exhausted

    def _give_back(self) -> None:
        self._budget.give_back(self._taken)
        self._taken = 0
