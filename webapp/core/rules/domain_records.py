"""What the DNS should have for a sending domain, and how what it has compares.

Only the ownership record decides anything: mail may leave when it was found. The others colour the light.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal

from webapp.core.rules import spf

#: ``unknown``: never a definite answer yet.
State = Literal["ok", "missing", "differs", "unknown"]
Light = Literal["green", "yellow", "red", "grey"]

DMARC_VALUE = "v=DMARC1; p=none"
_POLICIES = ("none", "quarantine", "reject")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A record to publish. *value* is empty where somebody else names it (the relay's provider).

    *counts*: whether the light waits for it.
    """

    key: str
    title: str
    name: str
    value: str
    counts: bool = True
    type: str = "TXT"


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at one record found. *problems* are sentences; *advice* may improve what is fine already.

    *value* is what to publish where that depends on what is there. *asked_in_vain*: the latest look got no answer,
    and the rest is from an earlier one.
    """

    state: State
    texts: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    advice: str = ""
    value: str = ""
    asked_in_vain: bool = False

    def to_json(self) -> dict[str, Any]:
        """For the database and programs."""
        return asdict(self) | {"texts": list(self.texts), "problems": list(self.problems)}

    @classmethod
    def of_json(cls, data: dict[str, Any] | None) -> Found:
        """Undo `to_json`; None is what was never looked at."""
        if data is None:
            return cls("unknown")
        return cls(**(data | {"texts": tuple(data["texts"]), "problems": tuple(data["problems"])}))


def judge_ownership(value: str, texts: Sequence[str]) -> Found:
    """The proof: *value* among the *texts* at its name."""
    if value in (text.strip() for text in texts):
        return Found("ok", (value,))
    if not texts:
        return Found("missing")
    return Found("differs", tuple(texts), ("The text there is another one.",))


def judge_dkim(value: str, texts: Sequence[str]) -> Found:
    """A key's record (RFC 6376 section 3.6.1): the public key in it must be ours."""
    if not texts:
        return Found("missing")
    if len(texts) > 1:
        return Found("differs", tuple(texts), ("There is more than one record: leave only the one that is wanted.",))
    wanted, found = tags(value), tags(texts[0])
    if found.get("p", "").replace(" ", "") == wanted["p"] and found.get("k", "rsa") == wanted["k"]:
        return Found("ok", tuple(texts))
    if not found.get("p"):
        problem = "It has no public key (p=)."
    elif found["p"].replace(" ", "") == wanted["p"]:
        problem = f"The kind of key must be k={wanted['k']}."
    elif wanted["p"].startswith(found["p"].replace(" ", "")):
        problem = "It was cut off: the whole value must be in it."
    else:
        problem = "The public key in it is another one."
    return Found("differs", tuple(texts), (problem,))


def judge_dmarc(texts: Sequence[str], parent: str = "") -> Found:
    """The policy (RFC 7489 section 6.3), found at the domain itself or inherited from *parent*."""
    records = [text for text in texts if re.match(r"v\s*=\s*DMARC1\s*(;|\Z)", text)]
    if not records:
        if any("dmarc" in text.lower() for text in texts):
            return Found("differs", tuple(texts), ("It must begin with v=DMARC1; in exactly these letters.",))
        return Found("missing")
    if len(records) > 1:
        return Found("differs", tuple(records), ("There is more than one record, so receivers use none: keep one.",))
    found = tags(records[0])
    policy = found.get("p", "").lower()
    if policy not in _POLICIES:
        return Found("differs", tuple(records), ("Its policy must be p=none, p=quarantine or p=reject.",))
    advice = f"It holds for {parent} and all below." if parent else ""
    if not parent and policy == "none":
        advice = "When everything is green for some weeks, p=quarantine keeps forgers out of inboxes, too."
    return Found("ok", tuple(records), advice=advice)


def judge_return_path(server: str, targets: Sequence[str]) -> Found:
    """The alias (CNAME) for returned mail must lead to *server*."""
    if not targets:
        return Found("missing")
    if list(targets) == [server]:
        return Found("ok", tuple(targets))
    return Found("differs", tuple(targets), ("It leads to another server.",))


def judge_spf(
    domain: str,
    texts: Sequence[str],
    *,
    server: str | None,
    addresses: Sequence[IPv4Address | IPv6Address],
    lookup: spf.Lookup,
) -> Found:
    """The record that names the servers which may send for *domain* (RFC 7208).

    *server*, with its *addresses*, is the one that has to be in it; None when mail leaves through a relay, whose
    provider knows what has to be.
    """
    records = [text for text in texts if spf.is_spf(text)]
    mechanism = f"a:{server}" if server else ""
    nameless: list[str] = []
    if server and not addresses:
        nameless = [f"This server's name, {server}, has no address in the DNS: give it one, or set POSTLATCH_HOSTNAME."]
    if not records:
        return Found(
            "missing", problems=tuple(nameless), value=spf.with_mechanism(None, mechanism) if mechanism else ""
        )
    if len(records) > 1:
        problem = "There is more than one SPF record, so receivers use none: put what they say into one."
        return Found("differs", tuple(records), (problem,))
    read = spf.read(records[0], domain, lookup)
    problems = [*read.problems, *nameless]
    value = records[0]
    if server and not read.covers(server, addresses):
        problems.append(f"This server is not in it: {mechanism} is missing.")
        value = spf.with_mechanism(records[0], mechanism)
    return Found("differs" if problems else "ok", tuple(records), tuple(problems), value=value)


def tags(text: str) -> dict[str, str]:
    """The tags of a DKIM or DMARC record, names in lower case."""
    pairs = (part.partition("=") for part in text.split(";") if "=" in part)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def traffic_light(*, may_send: bool, proof_lost: bool, checked: bool, states: Sequence[State]) -> Light:
    """One colour for a domain: *states* are those of the records that count, without the ownership record."""
    if not may_send:
        return "red" if checked else "grey"
    if proof_lost or any(state in {"missing", "differs"} for state in states):
        return "yellow"
    return "green" if checked and "unknown" not in states else "grey"


def in_pieces(value: str) -> str:
    """*value* in quoted strings of at most 255 octets, as zone files and some DNS hosts want it (RFC 1035)."""
    return " ".join(f'"{value[at : at + 255]}"' for at in range(0, len(value), 255))


def in_zone(name: str, zone: str) -> str:
    """*name* as most DNS hosts want it typed: without the zone it is in; ``@`` for the zone itself."""
    if name == zone:
        return "@"
    return name.removesuffix(f".{zone}") if zone else name
