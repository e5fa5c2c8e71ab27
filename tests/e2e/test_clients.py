"""Mail programs that people have, each over STARTTLS and implicit TLS, against the started services."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.factories import make_api_key
from tests.support.stack import ROOT, Stack

USER, PASSWORD = "printer@example.com", 'Tr0mbone "Sky"! $x'
TO = "ann@example.org"

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def sender(stack: Stack) -> str:
    stack.prepare(USER, PASSWORD)
    return USER


def run(*command: str, stdin: str = "", env: dict[str, str] | None = None) -> str:
    """Run a program; return what it printed. Raise `AssertionError` with that when it fails."""
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | (env or {}),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def message(subject: str) -> str:
    """A message as a program writes it."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = USER, TO, subject
    made.set_content("Grüße.\n.\nThe line above is a dot.\n")
    return made.as_string()


def by_smtplib(stack: Stack, subject: str, implicit: bool, _folder: Path) -> None:
    with stack.smtp(USER, PASSWORD, implicit_tls=implicit) as client:
        client.sendmail(USER, [TO], message(subject))


def by_swaks(stack: Stack, subject: str, implicit: bool, folder: Path) -> None:
    program = needs.program("swaks")
    data = folder / "message"
    data.write_text(message(subject))
    run(
        str(program),
        *("--server", "127.0.0.1", "--port", str(port_of(stack, implicit))),
        *(("--tls-on-connect",) if implicit else ("--tls",)),
        *("--tls-ca-path", certificate(stack), "--tls-verify"),
        *("--auth", "LOGIN", "--auth-user", USER, "--auth-password", PASSWORD),
        *("--from", USER, "--to", TO, "--data", f"@{data}"),
    )


def by_msmtp(stack: Stack, subject: str, implicit: bool, folder: Path) -> None:
    program = needs.program("msmtp")
    secret = folder / "secret"
    secret.write_text(PASSWORD)
    settings = folder / "msmtprc"
    settings.write_text(
        f"account default\nhost localhost\nport {port_of(stack, implicit)}\ntls on\n"
        f"tls_starttls {'off' if implicit else 'on'}\ntls_trust_file {certificate(stack)}\n"
        f"auth on\nuser {USER}\npasswordeval cat {secret}\nfrom {USER}\n"
    )
    settings.chmod(0o600)
    run(str(program), "-C", str(settings), TO, stdin=message(subject))


def by_curl(stack: Stack, subject: str, implicit: bool, folder: Path) -> None:
    program = needs.program("curl")
    data = folder / "message"
    data.write_bytes(message(subject).replace("\n", "\r\n").encode())
    scheme = "smtps" if implicit else "smtp"
    run(
        str(program),
        *("--silent", "--show-error", "--ssl-reqd", "--cacert", certificate(stack)),
        *("--url", f"{scheme}://localhost:{port_of(stack, implicit)}", "--user", f"{USER}:{PASSWORD}"),
        *("--mail-from", USER, "--mail-rcpt", TO, "--upload-file", str(data)),
    )


def by_nodemailer(stack: Stack, subject: str, implicit: bool, _folder: Path) -> None:
    program = needs.program("Node", "node")
    if not (ROOT / "tests/clients/node_modules/nodemailer").is_dir():
        needs.lacks("nodemailer")
    said = {
        "host": "127.0.0.1",
        "port": port_of(stack, implicit),
        "secure": implicit,
        "user": USER,
        "pass": PASSWORD,
        "from": USER,
        "to": TO,
        "subject": subject,
        "ca": Path(certificate(stack)).read_text(),
    }
    run(str(program), str(ROOT / "tests/clients/send.mjs"), json.dumps(said))


def port_of(stack: Stack, implicit: bool) -> int:
    return stack.smtps_port if implicit else stack.smtp_port


def certificate(stack: Stack) -> str:
    return str(stack.data_dir / "tls" / "cert.pem")


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "implicit-tls"])
@pytest.mark.parametrize("send", [by_smtplib, by_swaks, by_msmtp, by_curl, by_nodemailer])
def test_a_message_sent_by(
    stack: Stack,
    sender: str,
    send: Callable[[Stack, str, bool, Path], None],
    implicit: bool,
    tmp_path: Path,
) -> None:
    subject = f"{send.__name__} {'implicit' if implicit else 'starttls'}"
    send(stack, subject, implicit, tmp_path)

    with sqlite3.connect(stack.data_dir / "postlatch.db") as connection:
        rows = connection.execute(
            "SELECT m.envelope_from, m.from_email, d.recipient, s.source FROM messages m"
            " JOIN deliveries d ON d.message_id = m.id JOIN message_sources s ON s.message_id = m.id"
            " WHERE m.subject = ?",
            [subject],
        ).fetchall()
    assert [row[:3] for row in rows] == [(USER, sender, TO)]
    source = rows[0][3]
    assert b"with ESMTPSA" in source.partition(b"\r\n\r\n")[0]
    assert source.count(b"\n") == source.count(b"\r\n")


def test_a_wrong_password_is_told_so_with_a_reference(stack: Stack, sender: str) -> None:
    program = needs.program("curl")
    done = subprocess.run(
        [
            str(program), "--silent", "--show-error", "--verbose", "--ssl-reqd", "--cacert", certificate(stack),
            "--url", f"smtp://localhost:{stack.smtp_port}", "--user", f"{USER}:Wrong-one!",
            "--mail-from", USER, "--mail-rcpt", TO, "--upload-file", "/dev/null",
        ],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode != 0
    assert "535 5.7.8" in done.stderr
    assert "[ref " in done.stderr


def test_the_http_door_takes_what_curl_posts(stack: Stack, sender: str) -> None:
    program = needs.program("curl")
    with stack.services() as gateway:
        _, key = make_api_key(gateway)
    printed = run(
        str(program), "--silent", "--fail-with-body", f"{stack.url}/v1/send",
        "--header", f"Authorization: Bearer {key}", "--form-string", f"from={USER}",
        "--form-string", f"to={TO}", "--form-string", "subject=by curl", "--form-string", "text=Hello",
        "--form", "attachment=@-;filename=note.txt", stdin="A small note.",
    )  # fmt: skip

    accepted = json.loads(printed)
    assert accepted["to"] == [TO]
    assert accepted["domain"] == "example.com"
