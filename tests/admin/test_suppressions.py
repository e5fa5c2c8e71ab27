"""The page about suppressed addresses."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from flask import Flask

from tests.admin.conftest import Browser
from tests.support.factories import make_domain
from webapp import gateway_of
from webapp.core.models import utcnow
from webapp.core.services import suppressions
from webapp.core.services.gateway import Gateway
from webapp.core.services.suppressions import Key

LIST = "/admin/suppressions/"


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    """The panel's services, with a domain."""
    gateway = gateway_of(panel_app)
    make_domain(gateway)
    return gateway


def bounce(gateway: Gateway, email: str = "gone@example.org") -> None:
    with gateway.database.session() as session:
        suppressions.bounced(session, Key(1, email), "hard", "5.1.1 <b>Unknown</b>", message_id="msg_1", now=utcnow())


def test_a_bounced_address_is_found_and_released(gateway: Gateway, owner: Browser) -> None:
    bounce(gateway)
    page = owner.get(LIST + "?search=gone").text
    assert "gone@example.org" in page
    assert "<b>Unknown" not in page
    assert owner.post(LIST + "delete/", {"id": "1"}).status_code in {302, 303}
    assert "gone@example.org" not in owner.get(LIST).text.partition('role="status"')[2].partition("</div>")[2]
    with gateway.database.session() as session:
        assert suppressions.among(session, [Key(1, "gone@example.org")]) == {}


def test_one_is_added_by_hand_and_several_released(gateway: Gateway, owner: Browser) -> None:
    owner.get(LIST + "new/")
    assert owner.post(LIST + "new/", {"email": "not an address", "reason": ""}).status_code == 422
    for name in ("ann", "bob"):
        assert owner.post(LIST + "new/", {"email": f"{name}@example.org", "reason": "asked"}).status_code == 303
    owner.post(LIST + "action/", {"action": "release", "rowid": ["1", "2"]})
    with gateway.database.session() as session:
        keys = [Key(1, f"{name}@example.org") for name in ("ann", "bob")]
        assert suppressions.among(session, keys) == {}


def test_a_list_goes_in_as_a_file_and_out_again(gateway: Gateway, owner: Browser) -> None:
    owner.get(LIST + "import")
    file = (io.BytesIO(b"email\nann@example.org\nnonsense\n"), "list.csv")
    assert owner.post(LIST + "import", {"file": file}, content_type="multipart/form-data").status_code == 303
    page = owner.get(LIST).text
    assert "1 address was added" in page
    assert "nonsense" in page
    exported = owner.get(LIST + "export.csv")
    assert exported.mimetype == "text/csv"
    assert "ann@example.org,manual" in exported.text
    owner.get(LIST + "import")
    assert owner.post(LIST + "import", {"pasted": ""}).status_code == 422


def test_with_several_domains_the_form_asks_for_one(gateway: Gateway, owner: Browser) -> None:
    make_domain(gateway, "example.net")
    assert 'name="domain"' in owner.get(LIST + "new/").text
    assert 'name="domain"' not in owner.get(LIST + "new/?domain=example.net").text
    form = {"email": "ann@example.org", "domain": "2", "reason": ""}
    assert owner.post(LIST + "new/", form).status_code == 303
    assert "ann@example.org" in owner.get(LIST + "?domain=example.net").text
    assert "ann@example.org" not in owner.get(LIST + "?domain=example.com").text


def test_a_viewer_only_looks(gateway: Gateway, logged_in: Callable[[str], Browser]) -> None:
    bounce(gateway)
    viewer = logged_in("viewer")
    assert "gone@example.org" in viewer.get(LIST).text
    assert viewer.get(LIST + "import").status_code == 403
    assert viewer.post(LIST + "delete/", {"id": "1"}).status_code == 403
