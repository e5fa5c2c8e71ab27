"""Steps of the walk: Zapier is connected, and the page says live that it works."""

from __future__ import annotations

import json
import urllib.request
import zipfile

from playwright.sync_api import expect

from tests.e2e.walk import Walk, post


def make_key(walk: Walk, domain: str) -> str:
    """Make a key for Zapier; what is to be copied into the header is returned."""
    page = walk.open("/admin/integrations/", "integrations")
    expect(page.get_by_text("Make and Zapier can't reach this server yet")).to_be_visible()
    page.get_by_role("link", name="Connect Zapier").click()
    page.get_by_role("button", name="Make a key for Zapier").click()
    expect(page.locator(".field-error")).to_contain_text("Choose the domain")
    page.get_by_label("Sending domain").select_option(domain)
    expect(page.get_by_label("Note")).to_have_value("Zapier")
    expect(page.get_by_label("At most, messages an hour")).to_have_value("100")
    walk.look("integrations-zapier")
    page.get_by_role("button", name="Make a key for Zapier").click()
    expect(page.locator("#first-call")).to_contain_text("Waiting for the first call")
    walk.look("integrations-key")
    bearer = walk.copied("Copy: Header value")
    assert bearer == "Bearer " + page.locator("#api-key").input_value()
    return bearer


def see_it_work(walk: Walk, bearer: str) -> None:
    """The page that is open hears of the first call, of a mistake, and of the first message."""
    page = walk.page
    first_call = page.locator("#first-call")
    request = urllib.request.Request(f"{walk.stack.url}/v1/me", headers={"Authorization": bearer})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["base_url"] == page.locator("#base-url").input_value()
    expect(first_call).to_contain_text("It worked: first call from 127.0.0.1", timeout=30_000)
    fields = {name: page.locator(f"#field-{name}").input_value() for name in ("from", "to", "subject", "text")}
    key = bearer.removeprefix("Bearer ")
    assert post(walk, key, **fields | {"from": "hello@elsewhere.example"})[0] == 422
    expect(first_call).to_contain_text("was refused just now: sender outside the domain", timeout=30_000)
    walk.look("integrations-refused")
    assert post(walk, key, **fields)[0] == 202
    expect(first_call.get_by_role("link", name="See the first message")).to_be_visible(timeout=30_000)
    walk.look("integrations-worked")
    page.get_by_role("link", name="I have copied it").click()
    expect(page.locator("#send-bearer")).to_have_value("Bearer YOUR_KEY")
    assert key not in page.content()
    walk.look("integrations-made")


def download_the_apps(walk: Walk) -> None:
    """Both platforms' apps know this server."""
    for name in ("zapier", "make"):
        page = walk.open(f"/admin/integrations/{name}/", f"integrations-{name}-app")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the app").click()
        with zipfile.ZipFile(download.value.path()) as archive:
            assert any(walk.stack.url.encode() in archive.read(one) for one in archive.namelist())


def go_on(walk: Walk) -> None:
    """From the page to a webhook whose name is filled in, and to the guide."""
    page = walk.open("/admin/integrations/n8n/", "integrations-n8n")
    page.get_by_role("link", name="Add webhook").click()
    expect(page.get_by_label("Name")).to_have_value("n8n")
    page = walk.open("/admin/integrations/http/", "integrations-http")
    walk.open("/admin/integrations/")
    page.get_by_role("tab", name="Python").click()
    expect(page.locator("#snippet-python")).to_contain_text(walk.stack.url)
    page.get_by_role("link", name="How to go public").click()
    expect(page.locator("#guide")).to_contain_text("reverse_proxy")
    walk.look("integrations-going-public")
