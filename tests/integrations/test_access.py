"""Who is let in: every form of the key, from every address."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.integrations.conftest import Api, check_error
from tests.support.factories import make_api_key
from webapp.core.models import ApiKeyRow, utcnow
from webapp.core.rules.api_keys import new_api_key
from webapp.core.services import credentials
from webapp.core.services.audit import COMMAND_LINE


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def status(api: Api, headers: dict[str, str], path: str = "/v1/me") -> int:
    return api.client.get(path, headers=headers).status_code


def test_every_form_of_the_key_lets_in(api: Api) -> None:
    assert status(api, {"Authorization": f"Bearer {api.key}"}) == 200
    assert status(api, {"Authorization": f"bearer  {api.key} "}) == 200
    assert status(api, {"X-API-Key": api.key}) == 200
    assert status(api, basic("api", api.key)) == 200
    assert status(api, basic("API", api.key)) == 200


@pytest.mark.parametrize(
    "path", ["/v1/me", "/v1/domains", "/v1/messages", "/v1/messages/x", "/v1/messages/x/source"]
)
def test_nothing_answers_without_a_key(api: Api, path: str) -> None:
    answer = api.client.get(path)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert api.refusal(answer).cause == "key_missing"


def test_what_is_no_key_is_refused(api: Api) -> None:
    cases = {
        "empty bearer": {"Authorization": "Bearer "},
        "no scheme": {"Authorization": api.key},
        "garbage": {"Authorization": "Bearer \x00\xff"},
        "digest": {"Authorization": 'Digest username="api"'},
        "broken basic": {"Authorization": "Basic !!!"},
        "basic without password": basic("api", ""),
        "basic as another user": basic("admin", api.key),
        "not a key": {"X-API-Key": "secret"},
        "one character less": {"X-API-Key": api.key[:-1]},
        "one character more": {"X-API-Key": api.key + "x"},
        "unknown": {"X-API-Key": new_api_key().text},
        "wrong secret": {"X-API-Key": api.key[:-1] + ("a" if api.key[-1] != "a" else "b")},
        "other letters": {"X-API-Key": api.key.upper()},
    }
    for name, headers in cases.items():
        answer = api.client.get("/v1/me", headers=headers)
        assert answer.status_code == 401, name
        assert answer.headers["WWW-Authenticate"] == "Bearer", name
        check_error(answer)
        assert api.key[:20] not in answer.get_data(as_text=True), name


def test_a_key_in_the_url_is_ignored(api: Api) -> None:
    for name in ("key", "api_key", "apikey", "access_token", "token", "X-API-Key"):
        assert api.client.get("/v1/me", query_string={name: api.key}).status_code == 401
    assert api.client.post("/v1/send", data={"api_key": api.key}).status_code == 401


def test_a_key_works_while_it_is_active(api: Api) -> None:
    _, expired = make_api_key(api.gateway, expires_at=utcnow() - timedelta(seconds=1))
    disabled_id, disabled = make_api_key(api.gateway)
    deleted_id, deleted = make_api_key(api.gateway)
    with api.gateway.database.session() as session:
        credentials.set_disabled(
            session, COMMAND_LINE, session.get_one(ApiKeyRow, disabled_id), disabled=True
        )
        credentials.delete(session, COMMAND_LINE, session.get_one(ApiKeyRow, deleted_id))

    answers = [api.client.get("/v1/me", headers={"X-API-Key": key}) for key in (expired, disabled, deleted)]

    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert [answer.json["error"]["code"] for answer in answers] == [
        "key_expired",
        "key_revoked",
        "key_invalid",
    ]
    assert all(answer.headers["WWW-Authenticate"] == "Bearer" for answer in answers)


def test_an_address_that_is_not_allowed_is_named(api: Api) -> None:
    _, key = make_api_key(api.gateway, allowed="192.0.2.0/24\n2001:db8::/48")

    def ask(ip: str):
        return api.client.get("/v1/me", headers={"X-API-Key": key}, environ_base={"REMOTE_ADDR": ip})

    assert ask("192.0.2.77").status_code == 200
    assert ask("::ffff:192.0.2.77").status_code == 200
    assert ask("2001:db8::1").status_code == 200
    answer = ask("198.51.100.9")
    assert answer.status_code == 403
    assert "198.51.100.9" in answer.json["error"]["message"]
    assert api.refusal(answer).cause == "address_not_allowed"


def test_a_locked_address_is_told_when_to_come_back_whatever_its_key(make_api: Callable[..., Api]) -> None:
    api = make_api(lockout_failures=3)
    wrong = [new_api_key().text for _ in range(4)]
    assert [status(api, {"X-API-Key": key}) for key in wrong] == [401, 401, 401, 429]

    answers = [api.client.get("/v1/me", headers={"X-API-Key": key}) for key in (wrong[0], api.key)]

    for answer in answers:
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["Retry-After"]) <= 300
        assert "127.0.0.1" in answer.json["error"]["message"]
        check_error(answer)
    elsewhere = {"REMOTE_ADDR": "192.0.2.1"}
    assert api.get("/v1/me", environ_base=elsewhere).status_code == 200


def test_a_missing_or_malformed_key_locks_nobody(make_api: Callable[..., Api]) -> None:
    api = make_api(lockout_failures=2)
    for _ in range(4):
        assert status(api, {}) == 401
        assert status(api, {"X-API-Key": "not a key"}) == 401

    assert api.get("/v1/me").status_code == 200


def test_only_a_trusted_proxy_is_believed(make_api: Callable[..., Api]) -> None:
    api = make_api(trusted_proxies="10.0.0.0/8")
    _, key = make_api_key(api.gateway, allowed="192.0.2.10")

    def ask(peer: str, *forwarded: str) -> int:
        headers = [("X-API-Key", key), *(("X-Forwarded-For", value) for value in forwarded)]
        return api.client.get("/v1/me", headers=headers, environ_base={"REMOTE_ADDR": peer}).status_code

    assert ask("203.0.113.5", "192.0.2.10") == 403
    assert ask("10.1.1.1", "192.0.2.10") == 200
    assert ask("10.1.1.1", "192.0.2.10, 203.0.113.5") == 403
    assert ask("10.1.1.1", "203.0.113.5, 192.0.2.10, 10.2.2.2") == 200
    assert ask("10.1.1.1", "192.0.2.10", "203.0.113.5") == 403
    assert ask("10.1.1.1", "nonsense") == 403
    assert ask("10.1.1.1") == 403


def test_two_keys_do_not_mix(api: Api) -> None:
    """The Authorization header decides; a wrong one is not saved by a right X-API-Key."""
    headers = {"Authorization": f"Bearer {new_api_key().text}", "X-API-Key": api.key}
    assert status(api, headers) == 401
