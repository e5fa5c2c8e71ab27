"""The apps as they are downloaded: whole, and filled in with this server's address."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from integrations.downloads import PLACEHOLDER, make_app, zapier_app
from tests.integrations.zapier.conftest import APP, Core

URL = "https://post.shop.example/gateway"


@pytest.mark.parametrize(("name", "build"), [("zapier", zapier_app), ("make", make_app)])
def test_an_archive(name: str, build: Callable[[str], bytes]) -> None:
    data = build(URL)
    assert data == build(URL)
    with zipfile.ZipFile(BytesIO(data)) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        assert all(one.startswith(f"postlatch-{name}/") and "node_modules" not in one for one in names)
        texts = {one: archive.read(one).decode() for one in names}
    assert not any(PLACEHOLDER in text for text in texts.values())
    assert any(URL in text for text in texts.values())
    for one, text in texts.items():
        if one.endswith(".json"):
            json.loads(text)


def test_the_downloaded_zapier_app_runs(tmp_path: Path) -> None:
    with zipfile.ZipFile(BytesIO(zapier_app(URL))) as archive:
        archive.extractall(tmp_path)
    app = tmp_path / "postlatch-zapier"
    (app / "node_modules").symlink_to(APP / "node_modules")
    core = Core(app)
    try:
        assert core.call("validate") == []
        assert core.call("?authentication.fields")[0]["default"] == URL
    finally:
        core.close()
