"""The Blocklists page, with a real DNS server behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import select

from tests.admin.conftest import Browser
from tests.admin.mailroom import rows
from tests.support.browser import Visit, on_sqlite
from tests.support.dns_server import DnsServer
from webapp import gateway_of
from webapp.core.models import AuditEntry, BlocklistZone
from webapp.core.rules.blocklists import Finding, Health, Outcome, query_name
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Peer
from webapp.core.services import blocklist_zones
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway

PAGE = "/admin/blocklists/"
IP = "203.0.113.66"


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer() as server:
        server.records[query_name("127.0.0.2", "bl.test"), "A"] = ["127.0.0.2"]
        server.records[query_name(IP, "bl.test"), "A"] = ["127.0.0.4"]
        server.txt[query_name(IP, "bl.test")] = ["<b>Hijacked</b>, see https://bl.test/"]
        yield server


@pytest.fixture
def panel_app(make_panel: Callable[..., Flask], dns: DnsServer) -> Flask:
    """A panel whose resolver is `dns`."""
    return make_panel(dns=dns.address)


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    return gateway_of(panel_app)


def add(gateway: Gateway, zone: str = "bl.test", **kwargs: str) -> int:
    with gateway.database.session() as session:
        return blocklist_zones.add(session, COMMAND_LINE, zone=zone, **kwargs).id


def zones(gateway: Gateway) -> list[BlocklistZone]:
    with gateway.database.session() as session:
        return list(session.scalars(select(BlocklistZone).order_by(BlocklistZone.id)))


def text(browser: Browser, path: str = PAGE, **query: str) -> str:
    answer = browser.get(path, query_string=query)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def test_presets_with_one_click(owner: Browser, gateway: Gateway, dns: DnsServer) -> None:
    page = text(owner)
    assert "Public DNS resolvers are refused by these lists" in page
    assert "zen.spamhaus.org" in page
    dns.records["2.0.0.127.zen.spamhaus.org", "A"] = ["127.255.255.254"]
    assert owner.post(PAGE + "preset", {"zone": "zen.spamhaus.org"}).status_code == 303
    [zone] = zones(gateway)
    assert (zone.zone, zone.state, zone.health) == ("zen.spamhaus.org", "on", "refused")
    assert zone.ignored == ["127.0.0.10", "127.0.0.11"]
    page = text(owner)
    assert "zen.spamhaus.org was added. It refuses to answer" in page
    assert "zen.spamhaus.org refuses to answer this server" in page  # the warning, which stays
    assert "home and mobile lines" in page
    assert owner.post(PAGE + "preset", {"zone": "evil.test"}).status_code == 404


def test_adding_changing_and_deleting(owner: Browser, gateway: Gateway) -> None:
    owner.get(PAGE + "new/")
    answer = owner.post(PAGE + "new/", {"zone": "nonsense", "state": "on", "counted": "10.0.0.1"})
    assert answer.status_code == 422
    owner.post(PAGE + "new/", {"zone": "BL.test", "state": "on", "counted": "127.0.0.2-127.0.0.7", "ignored": ""})
    assert "bl.test was added. It answers as it should." in text(owner)
    [zone] = zones(gateway)
    assert (zone.zone, zone.health, zone.counted) == ("bl.test", "good", ["127.0.0.2/31", "127.0.0.4/30"])
    form = text(owner, f"{PAGE}edit/", id=str(zone.id))
    assert "127.0.0.2/31\n127.0.0.4/30</textarea>" in form
    edit, wanted = f"{PAGE}edit/?id={zone.id}", {"state": "observe", "counted": "", "ignored": "127.0.0.9"}
    assert owner.post(edit, wanted | {"ignored": "x"}).status_code == 422
    owner.post(edit, wanted)
    [zone] = zones(gateway)
    assert (zone.state, zone.counted, zone.ignored) == ("observe", [], ["127.0.0.9"])
    owner.post(PAGE + "delete/", {"id": str(zone.id)})
    assert zones(gateway) == []
    with gateway.database.session() as session:
        audited = session.execute(
            select(AuditEntry.actor, AuditEntry.action).where(AuditEntry.object_type == "blocklist_zone")
        ).all()
    assert [tuple(entry) for entry in audited] == [
        ("owner@example.com", action) for action in ("create", "change", "delete")
    ]


def test_a_test_that_fails_shows(owner: Browser, gateway: Gateway, dns: DnsServer) -> None:
    id_ = add(gateway)
    dns.records.clear()
    owner.get(PAGE)
    owner.post(f"{PAGE}test/?id={id_}")
    page = text(owner)
    assert "answers wrongly, so it only observes" in page
    assert "By itself, since its answers are wrong" in page
    assert "127.0.0.2 is not listed" in page
    dns.records[query_name("127.0.0.2", "bl.test"), "A"] = ["127.0.0.2"]
    owner.post(f"{PAGE}test/?id={id_}")
    page = text(owner)
    assert "answers wrongly" not in page
    assert "Good" in page


@pytest.mark.parametrize(
    ("ip", "said"),
    [
        (IP, "is refused</strong> for bl.test"),
        ("203.0.113.67", "is let in."),
        ("10.0.0.5", "not an address of the public internet"),
        ("192.0.2.10/x", "This is not an IP address"),
        ("<script>", "This is not an IP address"),
    ],
)
def test_looking_an_address_up(logged_in: Callable[[str], Browser], gateway: Gateway, ip: str, said: str) -> None:
    add(gateway)
    page = text(logged_in("manager"), PAGE + "look-up", ip=ip)
    assert said in page
    if ip == IP:
        assert "127.0.0.4" in page
        assert "&lt;b&gt;Hijacked&lt;/b&gt;, see https://bl.test/" in page


def test_an_exempt_address_is_let_in(owner: Browser, gateway: Gateway) -> None:
    add(gateway)
    owner.get(PAGE)
    assert owner.post(PAGE + "exempt", {"blocklist_exempt": "nonsense"}).status_code == 422
    assert owner.post(PAGE + "exempt", {"blocklist_exempt": "203.0.113.64/28 # office"}).status_code == 303
    assert "203.0.113.64/28</textarea>" in text(owner)
    assert "on the list of exempt addresses" in text(owner, PAGE + "look-up", ip=IP)


def found(gateway: Gateway, ip: str = IP) -> str:
    """Refuse *ip* as the SMTP door does; the reference."""
    with gateway.database.session() as session:
        zone = gateway.blocklists.read(session).zones[0]
    finding = Finding(zone, Outcome.LISTED, ("127.0.0.4",), "Hijacked")
    trace = {"zone": zone.label, "answer": "127.0.0.4", "txt": "Hijacked"}
    refused = Refused(Reason.BLOCKLISTED, address=ip, zone=zone.label, listing=": Hijacked", trace=trace)
    gateway.refuse(refused, Peer("smtp", ip))
    gateway.blocklists.note(ip, [finding], finding, refused.reference)
    gateway.ledger.submit(lambda session: None).result(10)
    return refused.reference


def test_a_refusal_is_explained_and_mended(owner: Browser, gateway: Gateway) -> None:
    add(gateway)
    reference = found(gateway)
    page = text(owner, "/admin/why/", q=reference)
    assert "on a public blocklist" in page
    for told in ("bl.test", "127.0.0.4", "Hijacked", f"Exempt {IP}"):
        assert told in page
    back = f"/admin/why/?q={reference}"
    answer = owner.post(PAGE + "exempt-one", {"ip": IP, "url": back})
    assert (answer.status_code, answer.location) == (303, back)
    with gateway.database.session() as session:
        assert gateway.blocklists.read(session).exempts(IP)
    assert any("Refused" in row and IP in row for row in rows(text(owner)))
    owner.post(PAGE + "exempt-one", {"ip": "nonsense"})
    assert "not an IP address" in text(owner)


def test_who_may_do_what(logged_in: Callable[[str], Browser], gateway: Gateway) -> None:
    id_ = add(gateway)
    reference = found(gateway)
    manager = logged_in("manager")
    assert "bl.test" in text(manager)
    assert "exempt-one" not in text(manager, "/admin/why/", q=reference)
    for path, data in (
        ("preset", {"zone": "zen.spamhaus.org"}),
        (f"test/?id={id_}", {}),
        ("exempt", {"blocklist_exempt": IP}),
        ("exempt-one", {"ip": IP}),
        (f"edit/?id={id_}", {"state": "off"}),
        ("delete/", {"id": str(id_)}),
        ("new/", {"zone": "other.test", "state": "on"}),
    ):
        assert manager.post(PAGE + path, data).status_code == 403, path
    assert logged_in("viewer").get(PAGE).status_code == 403
    assert [zone.state for zone in zones(gateway)] == ["on"]


@pytest.mark.browser
@on_sqlite
def test_setting_a_blocklist_to_observe(panel_app: Flask, gateway: Gateway, open_page: Callable[..., Visit]) -> None:
    visit = open_page(panel_app, "owner")
    page = visit.goto(PAGE)
    page.get_by_text("No blocklist yet").wait_for()
    visit.shot("blocklists-empty")
    id_ = add(gateway)
    with gateway.database.session() as session:
        blocklist_zones.record_test(session, id_, Health.REFUSED, "127.0.0.2 was answered with a refusal.")
    found(gateway)
    visit.goto(PAGE)
    visit.shot("blocklists")
    page.get_by_role("row", name="bl.test").first.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Observe only").check()
    visit.shot("blocklists-edit")
    dialog.get_by_role("button", name="Save").click()
    page.get_by_text("bl.test was changed.").wait_for()
    assert page.get_by_text("Nobody is refused for it.").is_visible()
    assert zones(gateway)[0].state == "observe"
    page.get_by_label("Look an address up now").fill(IP)
    page.get_by_role("button", name="Look up").click()
    page.get_by_text("listed, but only by lists that observe").wait_for()
    visit.shot("blocklists-look-up")
    for path in (PAGE, PAGE + "look-up", PAGE + "new/"):
        page.set_viewport_size({"width": 390, "height": 900})
        visit.goto(path)
        assert visit.fits()
