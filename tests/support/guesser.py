"""Somebody who guesses, from an address of 127.0.0.0/8, at the doors of a started stack: real sockets, real TLS."""

from __future__ import annotations

import http.client
import json
import re
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from tests.support.stack import Stack

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
_PATIENCE = 60.0


@dataclass
class Guesser:
    """Each call makes one attempt and returns the door's code: an SMTP reply's, or an HTTP status."""

    stack: Stack
    ip: str
    #: What it claims about itself, in every HTTP request.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: The text and the headers of the last answer.
    said: str = ""
    answer: Mapping[str, str] = field(default_factory=dict)

    def smtp(self, username: str, password: str, *, before: tuple[str, ...] = ()) -> int:
        """AUTH over STARTTLS; commands in *before* come first. A lock at the banner is its 421."""
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        try:
            with smtplib.SMTP(
                "127.0.0.1", self.stack.smtp_port, timeout=_PATIENCE, source_address=(self.ip, 0)
            ) as client:
                client.starttls(context=unchecked)
                client.ehlo()
                for command in before:
                    client.docmd(command)
                client.user, client.password = username, password
                client.auth("PLAIN", client.auth_plain)  # `login` would try LOGIN, too: two attempts
                return 235
        except (smtplib.SMTPConnectError, smtplib.SMTPAuthenticationError) as error:
            self.said = str(error.smtp_error)
            return error.smtp_code

    def key(self, key: str) -> int:
        """``GET /v1/me``."""
        return self._ask("GET", "/v1/me", {"Authorization": f"Bearer {key}"})

    def panel(self, email: str, password: str) -> int:
        """Go through the login form; 303 lets in."""
        self._ask("GET", "/login", {})
        token, cookie = _TOKEN.findall(self.said)[0], self.answer["Set-Cookie"].partition(";")[0]
        body = urlencode({"email": email, "password": password, "csrf_token": token})
        form = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", "/login", form, body)

    @property
    def code(self) -> str:
        """The code in the API's last answer."""
        return str(json.loads(self.said)["error"]["code"])

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: str | None = None) -> int:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.stack.http_port, timeout=_PATIENCE, source_address=(self.ip, 0)
        )
        try:
            connection.request(method, path, body, {**self.headers, **headers})
            response = connection.getresponse()
            self.said, self.answer = response.read().decode(), dict(response.getheaders())
            return response.status
        finally:
            connection.close()
