"""Who is let in: keys in their three places, addresses, locks."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta

import pytest

from tests.support.factories import make_api_key, make_domain
from webapp.core.models import ApiKeyRow, utcnow
from webapp.core.rules.api_keys import new_api_key

from .conftest import Caller, refused, without_database


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def test_a_key_is_taken_from_each_place_that_clients_know(caller: Caller) -> None:
    key = caller.key
    places = [
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"bearer  {key} "},
        {"X-API-Key": f" {key}"},
        {"Authorization": basic("api", str(key))},
        {"Authorization": "Basic cHJveHk6cHJveHk=", "X-API-Key": str(key)},  # a reverse proxy's own log-in
    ]
    caller.key = None
    for headers in places:
        answer = caller.get("/me", headers=headers)
        assert answer.status_code == 200, headers
        assert answer.json["domain"] == "example.com"
        assert answer.json["name"] == "Shop"
        assert answer.json["base_url"].startswith("http://127.0.0.1")
        assert set(answer.json) == {"id", "name", "domain", "base_url"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic !!!"},
        {"Authorization": basic("someone", "pl_abcdefghjk_x")},
        {"Authorization": 'Digest username="api"'},
        {"X-API-Key": "  "},
    ],
)
def test_no_key_is_401_and_says_where_to_put_it(caller: Caller, headers: dict[str, str]) -> None:
    caller.key = None
    assert "Authorization: Bearer KEY" in refused(caller.get("/me", headers=headers), 401, "key_missing")


def test_a_key_in_the_url_is_never_taken(caller: Caller) -> None:
    key, caller.key = caller.key, None
    for name in ("key", "api_key", "access_token", "token"):
        refused(caller.get(f"/me?{name}={key}"), 401, "key_missing")
    refused(caller.post({"api_key": key, **{"from": "a@example.com"}}), 401, "key_missing")


def test_wrong_keys_look_alike_and_the_log_tells_them_apart(caller: Caller) -> None:
    good = str(caller.key)
    wrong_secret = good[:-1] + ("A" if good[-1] != "A" else "B")
    causes = {wrong_secret: "wrong_secret", new_api_key().text: "unknown_key", "hello": "malformed_key"}
    sentences = set()
    for key, cause in causes.items():
        caller.key = key
        answer = caller.get("/me")
        sentences.add(refused(answer, 401, "key_invalid").partition(" [ref")[0])
        noted = caller.refusal(answer)
        assert (noted.cause, noted.ip, noted.door) == (cause, "192.0.2.10", "http")
        assert noted.name == ("" if key == "hello" else key.split("_")[1])
        assert key[14:] not in f"{noted.text}{noted.name}{noted.trace}" or key == "hello"
    assert len(sentences) == 1


def test_the_state_of_a_key_is_read_at_every_call(caller: Caller) -> None:
    def change(**values: object) -> None:
        with caller.gateway.database.session() as session:
            row = session.query(ApiKeyRow).one()
            for name, value in values.items():
                setattr(row, name, value)

    assert caller.get("/me").status_code == 200
    change(expires_at=utcnow() - timedelta(seconds=1))
    refused(caller.get("/me"), 401, "key_expired")
    change(expires_at=None, disabled_at=utcnow())
    refused(caller.get("/me"), 401, "key_revoked")
    change(disabled_at=None, allowed_networks=["198.51.100.0/24"])
    assert "192.0.2.10" in refused(caller.get("/me"), 403, "address_not_allowed")
    change(allowed_networks=["192.0.2.0/24"])
    assert caller.get("/me").status_code == 200
    change(deleted_at=utcnow())
    refused(caller.get("/me"), 401, "key_invalid")


def test_a_locked_address_gets_429_for_right_and_wrong_keys_alike(caller: Caller) -> None:
    good = caller.key
    for _ in range(9):
        caller.key = new_api_key().text
        refused(caller.get("/me"), 401, "key_invalid")
    caller.key = good
    assert caller.get("/me").status_code == 200
    caller.key = new_api_key().text
    refused(caller.get("/me"), 401, "key_invalid")

    waits = []
    for key in (good, new_api_key().text, "malformed"):
        caller.key = key
        answer = caller.get("/me")
        refused(answer, 429, "address_locked")
        waits.append(int(answer.headers["Retry-After"]))
    assert all(290 <= wait <= 300 for wait in waits)
    caller.key, caller.ip = good, "192.0.2.11"
    assert caller.get("/me").status_code == 200


def test_malformed_and_missing_keys_never_lock(caller: Caller) -> None:
    good = caller.key
    for number in range(12):
        caller.key = f"malformed-{number}"
        refused(caller.get("/me"), 401, "key_invalid")
        caller.key = None
        refused(caller.get("/me"), 401, "key_missing")
    caller.key = good
    assert caller.get("/me").status_code == 200


def test_forwarded_addresses_count_only_from_trusted_proxies(make_caller) -> None:
    caller = make_caller(trusted_proxies="10.0.0.0/8")
    caller.key = new_api_key().text

    def seen(peer: str, forwarded: str) -> str:
        caller.ip = peer
        return caller.refusal(caller.get("/me", headers={"X-Forwarded-For": forwarded})).ip

    assert seen("203.0.113.9", "198.51.100.1") == "203.0.113.9"
    assert seen("10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert seen("10.0.0.1", "198.51.100.66, 198.51.100.2, 10.0.0.2") == "198.51.100.2"
    assert seen("::ffff:10.0.0.1", "::ffff:198.51.100.3") == "198.51.100.3"


def test_a_key_sees_its_own_domain_only(caller: Caller) -> None:
    make_domain(caller.gateway, "example.net")
    other = Caller(caller.app, make_api_key(caller.gateway, domain="example.net")[1])
    assert [one["name"] for one in caller.get("/domains").json["data"]] == ["example.com"]
    assert [one["name"] for one in other.get("/domains").json["data"]] == ["example.net"]


def test_without_the_database_every_call_is_503_and_works_again(caller: Caller) -> None:
    assert caller.get("/me").status_code == 200
    with without_database(caller.gateway):
        for answer in (caller.get("/me"), caller.get("/messages"), caller.send()):
            refused(answer, 503, "storage")
    assert caller.send().status_code == 202
