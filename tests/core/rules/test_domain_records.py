"""How what stands in the DNS compares with what is wanted."""

from __future__ import annotations

import pytest

from webapp.core.rules.domain_records import (
    State,
    in_pieces,
    in_zone,
    judge_dkim,
    judge_dmarc,
    judge_ownership,
    traffic_light,
)

KEY = "v=DKIM1; k=rsa; p=" + "A" * 392


@pytest.mark.parametrize(
    ("texts", "state"),
    [([], "missing"), (["proof=1"], "ok"), (["x", " proof=1 "], "ok"), (["proof=2"], "differs")],
)
def test_ownership(texts: list[str], state: State) -> None:
    assert judge_ownership("proof=1", texts).state == state


@pytest.mark.parametrize(
    ("texts", "state", "problem"),
    [
        ([], "missing", ""),
        ([KEY], "ok", ""),
        (["p=" + "A" * 200 + " " + "A" * 192], "ok", ""),
        (["v=DKIM1;t=s;p=" + "A" * 392 + ";"], "ok", ""),
        ([KEY[:255]], "differs", "cut off"),
        ([KEY.replace("A", "B")], "differs", "another one"),
        (["v=DKIM1; p="], "differs", "no public key"),
        ([KEY.replace("rsa", "ed25519")], "differs", "must be k=rsa"),
        ([KEY, KEY], "differs", "more than one"),
    ],
)
def test_a_key(texts: list[str], state: State, problem: str) -> None:
    found = judge_dkim(KEY, texts)
    assert found.state == state
    assert problem in " ".join(found.problems)


@pytest.mark.parametrize(
    ("texts", "state"),
    [
        ([], "missing"),
        (["v=DMARC1; p=none"], "ok"),
        (["v=DMARC1;p=Reject;rua=mailto:x@y.z", "unrelated"], "ok"),
        (["v=DMARC1; p=quarantine", "v=DMARC1; p=none"], "differs"),
        (["v=DMARC1; p=block"], "differs"),
        (["v=DMARC1"], "differs"),
        (["v=dmarc1; p=none"], "differs"),
        (["unrelated"], "missing"),
    ],
)
def test_a_policy(texts: list[str], state: State) -> None:
    assert judge_dmarc(texts).state == state


def test_a_policy_of_the_parent_is_named() -> None:
    assert judge_dmarc(["v=DMARC1; p=reject"], "example.org").advice == "It holds for example.org and all below."


@pytest.mark.parametrize(
    ("may_send", "lost", "checked", "states", "light"),
    [
        (False, False, False, [], "grey"),
        (False, False, True, ["ok", "ok", "ok"], "red"),
        (True, False, True, ["ok", "ok", "ok"], "green"),
        (True, False, True, ["ok", "missing", "ok"], "yellow"),
        (True, False, True, ["differs", "ok", "ok"], "yellow"),
        (True, True, True, ["ok", "ok", "ok"], "yellow"),
        (True, False, True, ["ok", "unknown", "ok"], "grey"),
        (True, False, False, ["unknown"] * 3, "grey"),
    ],
)
def test_the_light(may_send: bool, lost: bool, checked: bool, states: list[State], light: str) -> None:
    assert traffic_light(may_send=may_send, proof_lost=lost, checked=checked, states=states) == light


def test_names_as_dns_hosts_want_them() -> None:
    assert in_zone("example.org", "example.org") == "@"
    assert in_zone("_dmarc.shop.example.org", "example.org") == "_dmarc.shop"
    assert in_zone("_dmarc.example.org", "") == "_dmarc.example.org"


def test_a_long_value_in_pieces() -> None:
    pieces = in_pieces(KEY).removeprefix('"').removesuffix('"').split('" "')
    assert "".join(pieces) == KEY
    assert all(len(piece) <= 255 for piece in pieces)
