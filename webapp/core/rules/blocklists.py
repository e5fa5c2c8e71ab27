"""Blocklists in the DNS (RFC 5782): what to ask, which answers mean something, and what a self-test says.

A zone lists an address by an answer in 127.0.0.0/8. Those in 127.255.255.0/24 only say that the zone doesn't serve
whoever asks; those outside come from resolvers and parked domains that answer everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, ip_address

from webapp.core.rules.networks import Network, NetworkError, normalise_ip, parse_networks
from webapp.core.rules.refusals import printable

STATES = ("on", "observe", "off")
#: What a zone's own words may take of an answer, in characters.
REASON_LENGTH = 200
#: A zone's name below the 32 nibbles of an IPv6 address must still be a name (RFC 1035 section 2.3.4).
LONGEST_ZONE = 253 - 64

_LISTINGS = IPv4Network("127.0.0.0/8")
_REFUSALS = IPv4Network("127.255.255.0/24")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ZONE = re.compile(rf"(?=.{{1,{LONGEST_ZONE}}}\Z){_LABEL}(?:\.{_LABEL})+\Z")
_SPACES = re.compile(r"\s+")
#: Spamhaus's paying users have a key as the first label, which is nobody else's business.
_KEYED = re.compile(r"[a-z0-9]{16,}\.(?=[a-z]+\.dq\.spamhaus\.net\Z)")
_HOME_LINES = re.compile(r"(?:.*\.)?zen(?:\.dq)?\.spamhaus\.(?:org|net)\Z")


@dataclass(frozen=True, slots=True)
class Preset:
    """A well-known list: what it is for, and where to look an address up and ask for its removal."""

    zone: str
    title: str
    text: str
    site: str


# fmt: off
PRESETS = (
    Preset("xbl.spamhaus.org", "Spamhaus XBL", "Hijacked machines and infected computers. The best first choice for a server that only your own programs log in to.", "https://check.spamhaus.org/"),  # noqa: E501
    Preset("zen.spamhaus.org", "Spamhaus ZEN", "All of Spamhaus's lists in one. Home and mobile lines don't count, unless you say so.", "https://check.spamhaus.org/"),  # noqa: E501
    Preset("dnsbl.dronebl.org", "DroneBL", "Open proxies and machines that belong to botnets.", "https://dronebl.org/lookup"),
    Preset("bl.spamcop.net", "SpamCop", "Machines that people reported for spam within the last days. Good to observe first.", "https://www.spamcop.net/bl.shtml"),  # noqa: E501
)
# fmt: on


#: Resolvers that anybody may use, and that blocklists therefore don't serve.
PUBLIC_RESOLVERS = frozenset(
    {
        *("8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844"),  # Google
        *("1.1.1.1", "1.0.0.1", "2606:4700:4700::1111", "2606:4700:4700::1001"),  # Cloudflare
        *("9.9.9.9", "149.112.112.112", "2620:fe::fe", "2620:fe::9"),  # Quad9
        *("208.67.222.222", "208.67.220.220", "4.2.2.1", "4.2.2.2"),  # OpenDNS, Level 3
    }
)


class Outcome(Enum):
    """What a look-up of one address in one zone came to. Only `LISTED` refuses."""

    LISTED = "listed"
    IGNORED = "ignored"  # listed, by answers that don't count here
    NOT_LISTED = "not_listed"
    REFUSED = "refused"  # 127.255.255.0/24: the zone doesn't serve our resolver
    OUTSIDE = "outside"  # an answer that no blocklist gives
    FAILED = "failed"  # SERVFAIL or the like
    SILENT = "silent"
    NOT_WAITED = "not_waited"  # it was silent so often that nobody waits for it now


#: The zone said nothing about the address: it is let in.
UNANSWERED = frozenset({Outcome.REFUSED, Outcome.FAILED, Outcome.SILENT, Outcome.NOT_WAITED})


@dataclass(frozen=True, slots=True)
class Zone:
    """A blocklist as it applies now. `state` is one of `STATES`; `counted` empty means every answer but `ignored`."""

    id: int
    name: str
    state: str
    counted: tuple[Network, ...] = ()
    ignored: tuple[Network, ...] = ()

    @property
    def label(self) -> str:
        """The name as anybody may see it."""
        return zone_label(self.name)

    def counts(self, answer: IPv4Address) -> bool:
        """Whether *answer* means here that the address is listed."""
        if answer not in _LISTINGS or answer in _REFUSALS or _in(answer, self.ignored):
            return False
        return not self.counted or _in(answer, self.counted)

    def outcome(self, answers: Iterable[str]) -> Outcome:
        """What *answers*, the A records found, mean."""
        found = [IPv4Address(answer) for answer in answers]
        if any(map(self.counts, found)):
            return Outcome.LISTED
        if any(answer in _REFUSALS for answer in found):
            return Outcome.REFUSED
        if any(answer in _LISTINGS for answer in found):
            return Outcome.IGNORED
        return Outcome.OUTSIDE if found else Outcome.NOT_LISTED


@dataclass(frozen=True, slots=True)
class Finding:
    """What one zone says of an address: its A records, and its TXT record made fit to be shown."""

    zone: Zone
    outcome: Outcome
    answers: tuple[str, ...] = ()
    reason: str = ""

    @property
    def listed(self) -> bool:
        """Whether it is on the list, by an answer that counts."""
        return self.outcome is Outcome.LISTED

    @property
    def refuses(self) -> bool:
        """Whether the address must be refused for it."""
        return self.listed and self.zone.state == "on"

    @property
    def counted_answers(self) -> tuple[str, ...]:
        """The answers for which it is listed."""
        return tuple(answer for answer in self.answers if self.zone.counts(IPv4Address(answer)))


@dataclass(frozen=True, slots=True)
class Rules:
    """The zones to ask, and who is never refused for them."""

    zones: tuple[Zone, ...] = ()
    exempt: tuple[Network, ...] = ()

    def exempts(self, ip: str) -> bool:
        """Whether *ip* is on the list of those that are never refused."""
        return _in(normalise_ip(ip), self.exempt)


def query_name(ip: str, zone: str) -> str:
    """The name to ask for: reversed octets, or reversed nibbles for IPv6 (RFC 5782 sections 2.1 and 2.4)."""
    return f"{ip_address(ip).reverse_pointer.rsplit('.', 2)[0]}.{zone}"


def zone_name(text: str) -> str:
    """Read a zone's name: lower case, without the final dot. Raise `ValueError`."""
    name = text.strip().lower().removesuffix(".")
    if not _ZONE.match(name):
        raise ValueError("must be a blocklist's domain name such as xbl.spamhaus.org")
    return name


def zone_label(name: str) -> str:
    """A zone's *name* as anybody may see it: without the key that a paying user has in it."""
    return _KEYED.sub("", name)


def ignored_by_default(zone: str) -> tuple[str, ...]:
    """Answers of *zone* that say nothing about a submitter: people send from home and mobile lines."""
    return ("127.0.0.10", "127.0.0.11") if _HOME_LINES.match(zone) else ()


def parse_answers(text: str) -> tuple[Network, ...]:
    """Read answers and ranges of them as `parse_networks` does. Raise `NetworkError` for one that no zone gives."""
    networks = parse_networks(text)
    for line, network in enumerate(networks, start=1):
        if not isinstance(network, IPv4Network) or not network.subnet_of(_LISTINGS):
            raise NetworkError(line, short(network), "is not a blocklist's answer: they are in 127.0.0.0/8")
    return networks


def short(network: Network) -> str:
    """*network*, or the address if it is a single one."""
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def clean_reason(text: str) -> str:
    """A zone's own words on one line, at most `REASON_LENGTH` characters, and never mistaken for a reference."""
    plain = _SPACES.sub(" ", text).strip().replace("[", "(").replace("]", ")")
    return printable(plain, REASON_LENGTH)


def site_of(zone: str) -> str | None:
    """Where people look an address up in *zone* and ask for its removal, if that is known."""
    owner = ".".join(zone.rsplit(".", 2)[-2:]).replace("spamhaus.net", "spamhaus.org")
    return next((preset.site for preset in PRESETS if preset.zone.endswith(f".{owner}")), None)


#: RFC 5782 section 5: every zone lists the second and never the first; the others are the same for IPv6.
NEVER_LISTED, ALWAYS_LISTED = "127.0.0.1", "127.0.0.2"
NEVER_LISTED_V6, ALWAYS_LISTED_V6 = "::ffff:7f00:1", "::ffff:7f00:2"
TEST_ADDRESSES = (NEVER_LISTED, ALWAYS_LISTED, NEVER_LISTED_V6, ALWAYS_LISTED_V6)


class Health(Enum):
    """What a self-test says of a zone. Only `WRONG` makes it observe, and only `GOOD` ends that."""

    GOOD = "good"
    WRONG = "wrong"
    REFUSED = "refused"
    FAILED = "failed"
    SILENT = "silent"


#: What a self-test's result means, and what to do about it.
HEALTH_WORDS = {
    Health.GOOD: "It answers as it should.",
    Health.WRONG: "It answers wrongly, so nobody is refused for it until it answers right again. If that lasts, the "
    "list has ended or its name is misspelt: delete it.",
    Health.REFUSED: "It refuses to answer this server's DNS resolver. Public resolvers such as 8.8.8.8 are refused by "
    "most lists: use a resolver of your own (POSTLATCH_DNS).",
    Health.FAILED: "The DNS answers with an error, so its listings are not seen.",
    Health.SILENT: "It does not answer, so its listings are not seen.",
}


def self_test(found: dict[str, Outcome]) -> Health:
    """Judge what a zone that counts all its answers said of each of `TEST_ADDRESSES`.

    Zones of IPv4 addresses know nothing of the mapped ones, and those of IPv6 addresses may know nothing else.
    """
    listed = {address for address, outcome in found.items() if outcome is Outcome.LISTED}
    if listed & {NEVER_LISTED, NEVER_LISTED_V6}:
        return Health.WRONG
    must, must_not = found[ALWAYS_LISTED], found[NEVER_LISTED]
    if must in {Outcome.NOT_LISTED, Outcome.OUTSIDE} and ALWAYS_LISTED_V6 not in listed:
        return Health.WRONG
    for outcome, result in (
        (Outcome.REFUSED, Health.REFUSED),
        (Outcome.FAILED, Health.FAILED),
        (Outcome.SILENT, Health.SILENT),
    ):
        if outcome in {must, must_not}:
            return result
    return Health.GOOD


def _in(address: object, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
