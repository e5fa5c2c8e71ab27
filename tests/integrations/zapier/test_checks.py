"""Zapier's published integration checks, D001 to D026, as far as an app can be checked without Zapier's servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from .conftest import APP, Core

_URL = re.compile(r"(?<!\()(?<!`)https?://\S+")
_SMALL = {"a", "an", "and", "at", "but", "by", "for", "in", "of", "on", "or", "the", "to", "with"}


@pytest.fixture(scope="module")
def app(core: Core) -> dict[str, Any]:
    """The app as it stands, without its functions."""
    return {name: core.call(f"?{name}") for name in ("triggers", "creates", "searches", "authentication")}


def steps(app: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("triggers", "creates", "searches"):
        for step in app[kind].values():
            yield kind, step


def fields(step: dict[str, Any]) -> list[dict[str, Any]]:
    return list(step["operation"].get("inputFields", []))


def test_validate_finds_nothing(core: Core) -> None:
    assert core.call("validate") == []


def test_d001_no_secret_is_asked_for_outside_the_connection(app: dict[str, Any]) -> None:
    for _, step in steps(app):
        for field in fields(step):
            assert not re.search(r"api_?key|token|secret|password", field["key"])


def test_d002_and_d003_the_connection_says_where_its_key_is_and_whose_it_is(app: dict[str, Any]) -> None:
    key = next(field for field in app["authentication"]["fields"] if field["key"] == "api_key")
    assert key["type"] == "password"
    assert re.search(r"\[[^\]]+\]\(https://[^)]+\)", key["helpText"])
    assert "{{" in app["authentication"]["connectionLabel"]


def test_d004_d005_d013_d014_ids_are_chosen_from_lists_that_exist(app: dict[str, Any]) -> None:
    for _, step in steps(app):
        for field in fields(step):
            if field["key"].endswith("_id"):
                assert "dynamic" in field
            if "dynamic" in field:
                trigger, *columns = field["dynamic"].split(".")
                sample = app["triggers"][trigger]["operation"]["sample"]
                assert set(columns) <= set(sample)
            assert "search" not in field


def test_d006_and_d017_hooks_subscribe_unsubscribe_and_list(core: Core) -> None:
    for key in ("email_event", "credential_locked"):
        source = (APP / "triggers" / f"{key}.js").read_text() + (APP / "lib" / "hook.js").read_text()
        for function in ("perform:", "performList:", "performSubscribe:", "performUnsubscribe:"):
            assert function in source
        assert core.call(f"?triggers.{key}.operation.type") == "hook"


def test_d007_and_d008_addresses_are_https_and_links_or_code(app: dict[str, Any]) -> None:
    texts = [step["display"]["description"] for _, step in steps(app)]
    texts += [field.get("helpText", "") for _, step in steps(app) for field in fields(step)]
    texts += [field.get("helpText", "") for field in app["authentication"]["fields"]]
    for text in texts:
        assert "http://" not in text
        assert not _URL.search(text), text
        assert text.count("[") == text.count("](") == len(re.findall(r"\[[^\]]+\]\([^)\s]+\)", text))


def test_d009_searches_have_a_field(app: dict[str, Any]) -> None:
    for search in app["searches"].values():
        assert fields(search)


def test_d010_d012_d023_d024_samples_match_what_comes(app: dict[str, Any]) -> None:
    for _, step in steps(app):
        operation = step["operation"]
        sample = operation["sample"]
        assert sample["id"]
        described = {field["key"]: field for field in operation["outputFields"]}
        assert {key.partition("[]")[0] for key in described} == set(sample)
        for key, value in sample.items():
            kind = described.get(key, {}).get("type")
            if kind == "integer":
                assert value is None or isinstance(value, int)
            elif kind == "datetime":
                assert datetime.fromisoformat(value).tzinfo
            elif kind == "string" and not described[key].get("list"):
                assert value is None or isinstance(value, str)


def test_d011_help_says_more_than_the_label(app: dict[str, Any]) -> None:
    for _, step in steps(app):
        for field in fields(step):
            assert field["label"]
            assert field.get("helpText", "").strip(".").lower() != field["label"].lower()


def test_d018_d019_d021_labels_and_descriptions(app: dict[str, Any]) -> None:
    for kind, step in steps(app):
        label, description = step["display"]["label"], step["display"]["description"]
        words = label.split()
        assert all(word[0].isupper() or word in _SMALL for word in words), label
        assert words[0][0].isupper()
        assert description.endswith(".")
        assert 20 <= len(description) <= 140
        if kind == "triggers":
            assert description.startswith("Triggers when ")
        assert step["noun"][0].isupper()


def test_d016_d020_d022_what_there_is_to_choose(app: dict[str, Any]) -> None:
    shown = [step["key"] for _, step in steps(app) if not step["display"].get("hidden")]
    assert shown == ["email_event", "credential_locked", "send_email", "find_message"]
    assert len({step["key"] for _, step in steps(app)}) == len(list(steps(app)))
    assert fields(app["creates"]["send_email"])
