"""The command line, as an operator and a script use it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from tests.support.dns_server import DnsServer
from tests.support.factories import make_domain
from tests.support.stack import ROOT, Stack
from webapp import cli
from webapp.core.services.gateway import Gateway


class Console:
    """Runs commands of an app in the test's own process: to start ``flask`` takes seconds."""

    def __init__(self, app: Flask) -> None:
        cli.register(app, jobs=[])
        self._runner = app.test_cli_runner()

    def __call__(self, *arguments: str, stdin: str = "") -> Result:
        return self._runner.invoke(args=arguments, input=stdin)

    def json(self, *arguments: str, stdin: str = "") -> Any:
        done = self(*arguments, "--json", stdin=stdin)
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def console(app: Flask) -> Console:
    return Console(app)


def flask(data_dir: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run ``flask`` as an operator does, from the project's root."""
    return subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=ROOT, env=Stack(data_dir, **settings).environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_domain_an_smtp_user_and_a_key(console: Console) -> None:
    assert console.json("domain", "add", "Example.COM", "--trusted")["name"] == "example.com"
    user = console.json("smtp-user", "add", "p@example.com", "--domain", "example.com", "--allow", "10.0.0.0/8")
    assert set(user) == {"id", "username", "password"}
    assert len(user["password"]) == 20
    typed = console.json(
        "smtp-user", "add", "q@example.com", "--domain", "example.com", "--password-stdin", stdin=" Tr0mbone Sky! \n"
    )
    assert typed["password"] == " Tr0mbone Sky! "
    key = console.json("api-key", "add", "--domain", "example.com", "--note", "Shop", "--expires", "90d")
    assert key["key"].startswith("pl_")
    assert [domain["name"] for domain in console.json("domain", "list")["data"]] == ["example.com"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        (("domain", "add", "not a domain"), "", "not a domain name"),
        (("domain", "check", "example.net"), "", "add it first"),
        (("smtp-user", "add", "p@example.com", "--domain", "example.net"), "", "no domain example.net"),
        (("smtp-user", "add", "p@example.com", "--domain", "example.com", "--password-stdin"), "weak\n", "at least 8"),
        (("smtp-user", "add", "p@example.com", "--domain", "example.com", "--password-stdin"), "", "one line"),
        (("api-key", "add", "--domain", "example.com", "--allow", "office"), "", "Line 1: office"),
        (("api-key", "add", "--domain", "example.com", "--expires", "soon"), "", "duration"),
        (("admin", "reset", "nobody@example.com"), "", "nobody called"),
        (("lockout", "clear"), "", "Say what to clear"),
        (("lockout", "clear", "--ip", "here"), "", "not an IP address"),
        (("why", "ABCDEFGHJK"), "", "Nothing is known"),
        (("why", "what?"), "", "Give the reference"),
    ],
)
def test_errors_go_to_stderr_with_a_non_zero_exit(
    console: Console, gateway: Gateway, arguments: tuple[str, ...], stdin: str, says: str
) -> None:
    make_domain(gateway)
    done = console(*arguments, "--json", stdin=stdin)

    assert done.exit_code != 0
    assert done.stdout == ""
    assert says in done.stderr


def test_a_script_sees_an_error(tmp_path: Path, migrated_sqlite: Path) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "postlatch.db")
    done = flask(tmp_path, "lockout", "clear", "--json")

    assert done.returncode == 1
    assert done.stdout == ""
    assert "Say what to clear" in done.stderr
    assert "Traceback" not in done.stderr


def test_people_and_their_links(console: Console) -> None:
    made = console.json("admin", "create", "Ann@example.com")
    assert made["email"] == "ann@example.com"
    assert "/setup/" in made["link"]
    console.json("admin", "create", "bob@example.com", "--role", "viewer", "--password-stdin", stdin="Tr0mbone-Sky!\n")
    assert console.json("admin", "reset", "bob@example.com")["link"] != made["link"]


def test_a_domain_is_verified_by_its_record(make_app: Callable[..., Flask]) -> None:
    with DnsServer() as dns:
        dns.records["mail.postlatch.test", "A"] = ["192.0.2.25"]
        console = Console(make_app(dns=f"127.0.0.1:{dns.port}"))
        console.json("domain", "add", "example.com")
        done = console("domain", "check", "example.com", "--json")
        assert done.exit_code == 1, "its mail may not leave"
        missing = json.loads(done.stdout)
        assert not missing["verified"]
        states = {record["title"]: record["state"] for record in missing["records"]}
        assert states == dict.fromkeys(("Ownership", "SPF", "DKIM", "DMARC"), "missing")
        dns.txt[missing["record"]["name"]] = ["something else", missing["record"]["value"]]
        checked = console.json("domain", "check", "example.com")
        assert (checked["verified"], checked["light"]) == (True, "yellow")
        for record in checked["records"][1:]:
            dns.txt[record["name"]] = [record["value"]]
        assert console.json("domain", "check", "example.com")["light"] == "green"
        dns.failing.add(missing["record"]["name"])
        assert "did not answer" in console("domain", "check", "example.com").stderr
        (listed,) = console.json("domain", "list")["data"]
        assert (listed["verified"], listed["light"]) == (True, "green"), "no answer is not a lost record"


def test_wrong_settings_are_one_line_that_hides_the_value(tmp_path: Path) -> None:
    done = flask(tmp_path, "domain", "list", relay_url="smtp://user:Hidden-Secret@:99999999")

    assert done.returncode != 0
    assert "POSTLATCH_RELAY_URL" in done.stderr
    assert "Hidden-Secret" not in done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) == 1


def test_without_a_database_commands_say_so(tmp_path: Path) -> None:
    done = flask(tmp_path, "domain", "list")

    assert done.returncode != 0
    assert "database can't be used" in done.stderr
    assert not (tmp_path / "postlatch.db").exists()


def test_the_doctor_finds_what_is_not_running(console: Console) -> None:
    done = console("doctor", "--json")

    found = {finding["part"]: finding["state"] for finding in json.loads(done.stdout)["data"]}
    assert done.exit_code == 1
    assert found["database"] == "ok"
    assert found["submission"] == found["worker"] == "error"
