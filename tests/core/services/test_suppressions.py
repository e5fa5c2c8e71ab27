"""The suppression list: how addresses get there, what it stops, and its way into spreadsheets and back."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest

from tests.support.factories import make_domain
from webapp.core.models import utcnow
from webapp.core.rules.bounces import SOFT_BOUNCES
from webapp.core.services import domains, suppressions
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.errors import ServiceError
from webapp.core.services.gateway import Gateway
from webapp.core.services.suppressions import Key

NOW = utcnow()


@pytest.fixture
def domain_id(gateway: Gateway) -> int:
    return make_domain(gateway)


def bounce(gateway: Gateway, key: Key, kind: str, *, times: int = 1) -> None:
    for _ in range(times):
        with gateway.database.session() as session:
            suppressions.bounced(session, key, kind, "the server's words", message_id="msg_1", now=NOW)  # type: ignore[arg-type]


def suppressed(gateway: Gateway, *keys: Key) -> set[str]:
    with gateway.database.session() as session:
        return {key.email for key in suppressions.among(session, keys)}


def test_a_hard_bounce_suppresses_at_once_and_a_block_never(gateway: Gateway, domain_id: int) -> None:
    gone, unwanted = Key.of(domain_id, "Gone@example.org"), Key.of(domain_id, "fine@example.org")
    bounce(gateway, gone, "hard")
    bounce(gateway, unwanted, "block", times=5)
    assert suppressed(gateway, gone, unwanted) == {"gone@example.org"}


def test_soft_bounces_suppress_after_some_in_a_row(gateway: Gateway, domain_id: int) -> None:
    key = Key.of(domain_id, "full@example.org")
    bounce(gateway, key, "soft", times=SOFT_BOUNCES - 1)
    assert suppressed(gateway, key) == set()
    with gateway.database.session() as session:
        suppressions.forgive(session, [key])  # mail went through in between
    bounce(gateway, key, "soft", times=SOFT_BOUNCES - 1)
    assert suppressed(gateway, key) == set()
    bounce(gateway, key, "soft")
    assert suppressed(gateway, key) == {"full@example.org"}
    with gateway.database.session() as session:
        suppressions.forgive(session, [key])
    assert suppressed(gateway, key) == {"full@example.org"}, "only a release lets mail through again"


def test_a_list_is_one_domain_s(gateway: Gateway, domain_id: int) -> None:
    other = make_domain(gateway, "example.net")
    bounce(gateway, Key.of(domain_id, "gone@example.org"), "hard")
    assert suppressed(gateway, Key.of(other, "gone@example.org")) == set()


def test_a_released_address_starts_anew(gateway: Gateway, domain_id: int) -> None:
    key = Key.of(domain_id, "gone@example.org")
    with gateway.database.session() as session:
        row = suppressions.add(session, COMMAND_LINE, domains.find(session, "example.com"), " Gone@example.org ")
        session.flush()
        with pytest.raises(ServiceError, match="already"):
            suppressions.add(session, COMMAND_LINE, domains.find(session, "example.com"), "gone@example.org")
        suppressions.release(session, COMMAND_LINE, row)
    assert suppressed(gateway, key) == set()


def test_an_address_that_is_only_watched_can_be_added(gateway: Gateway, domain_id: int) -> None:
    key = Key.of(domain_id, "full@example.org")
    bounce(gateway, key, "soft")
    with gateway.database.session() as session:
        suppressions.add(session, COMMAND_LINE, domains.find(session, "example.com"), "full@example.org")
    assert suppressed(gateway, key) == {"full@example.org"}


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.org\nbob@example.org\n",
        "\ufeffEmail,Reason\r\nann@example.org,left\r\nBOB@example.org,\r\n",
        'name,E-mail\n"Doe, Ann",ann@example.org\nBob,bob@example.org\n\n',
    ],
)
def test_lists_are_read_as_programs_write_them(gateway: Gateway, domain_id: int, text: str) -> None:
    with gateway.database.session() as session:
        done = suppressions.import_csv(session, COMMAND_LINE, domains.find(session, "example.com"), text)
    assert (done.added, done.known, done.wrong) == (2, 0, [])
    keys = [Key.of(domain_id, f"{name}@example.org") for name in ("ann", "bob")]
    assert suppressed(gateway, *keys) == {"ann@example.org", "bob@example.org"}


def test_what_is_wrong_is_named_and_the_rest_is_taken(gateway: Gateway, domain_id: int) -> None:
    with gateway.database.session() as session:
        domain = domains.find(session, "example.com")
        suppressions.add(session, COMMAND_LINE, domain, "ann@example.org")
        session.flush()
        done = suppressions.import_csv(session, COMMAND_LINE, domain, "ann@example.org\nnonsense\nbob@example.org")
    assert (done.added, done.known) == (1, 1)
    assert len(done.wrong) == 1
    assert done.wrong[0].startswith("Line 2: nonsense")
    with gateway.database.session() as session, pytest.raises(ServiceError, match="no address"):
        suppressions.import_csv(session, COMMAND_LINE, domains.find(session, "example.com"), "\n\n")


def test_no_spreadsheet_sees_a_formula_and_the_way_back_loses_nothing(gateway: Gateway, domain_id: int) -> None:
    hostile = "=cmd|' /C calc'!A0@example.org"
    plus = "+ann@example.org"
    with gateway.database.session() as session:
        domain = domains.find(session, "example.com")
        suppressions.add(session, COMMAND_LINE, domain, plus, '=HYPERLINK("http://127.0.0.1")')
        suppressions.add(session, COMMAND_LINE, domain, "ann@example.org", "@SUM(1)")
        session.flush()
        text = "".join(suppressions.export_csv(session, [domain_id]))
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert hostile not in text
    make_domain(gateway, "example.net")
    with gateway.database.session() as session:
        again = suppressions.import_csv(session, COMMAND_LINE, domains.find(session, "example.net"), text)
        other = domains.find(session, "example.net").id
    assert (again.added, again.wrong) == (2, [])
    assert suppressed(gateway, Key.of(other, plus)) == {plus}


def test_what_came_first_stays_the_reason(gateway: Gateway, domain_id: int) -> None:
    key = Key.of(domain_id, "gone@example.org")
    bounce(gateway, key, "hard")
    with gateway.database.session() as session:
        later = NOW + timedelta(days=1)
        suppressions.bounced(session, key, "soft", "something else", message_id="msg_2", now=later)
    with gateway.database.session() as session:
        assert "the server's words" in suppressions.among(session, [key])[key]
