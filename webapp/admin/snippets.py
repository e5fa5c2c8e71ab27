"""A first message in a few languages, to copy. None holds a key: each reads it from the environment."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

#: The environment variable that the key is read from.
KEY_VARIABLE = "POSTLATCH_API_KEY"


@dataclass(frozen=True, slots=True)
class Snippet:
    """A small program; *id* is short and fit for an element's id."""

    id: str
    name: str
    text: str


def snippets(base_url: str, *, sender: str, recipient: str) -> list[Snippet]:
    """What sends a first message from *sender* to *recipient* through the server at *base_url*."""
    message = {"from": sender, "to": recipient, "subject": "Hello from Postlatch", "text": "It works."}
    url = f"{base_url}/v1/send"
    return [
        Snippet("curl", "curl", _curl(url, message)),
        Snippet("python", "Python", _python(url, message)),
        Snippet("node", "Node.js", _node(url, message)),
        Snippet("php", "PHP", _php(url, message)),
    ]


def _curl(url: str, message: dict[str, str]) -> str:
    return f"""\
curl {shlex.quote(url)} \\
  -H "Authorization: Bearer ${KEY_VARIABLE}" \\
  -H "Content-Type: application/json" \\
  -d {shlex.quote(json.dumps(message))}"""


def _python(url: str, message: dict[str, str]) -> str:
    return f"""\
import json, os, urllib.request

message = {_lines(message, "    {}: {},")}
request = urllib.request.Request(
    {_quoted(url)},
    data=json.dumps(message).encode(),
    headers={{
        "Authorization": "Bearer " + os.environ["{KEY_VARIABLE}"],
        "Content-Type": "application/json",
    }},
)
with urllib.request.urlopen(request, timeout=30) as answer:
    print(json.load(answer)["id"])"""


def _node(url: str, message: dict[str, str]) -> str:
    return f"""\
const answer = await fetch({_quoted(url)}, {{
  method: "POST",
  headers: {{
    Authorization: `Bearer ${{process.env.{KEY_VARIABLE}}}`,
    "Content-Type": "application/json",
  }},
  body: JSON.stringify({_lines(message, "    {}: {},", end="  ")}),
}});
if (!answer.ok) throw new Error(await answer.text());
console.log((await answer.json()).id);"""


def _php(url: str, message: dict[str, str]) -> str:
    pairs = "\n".join(f"    {_php_quoted(name)} => {_php_quoted(value)}," for name, value in message.items())
    return f"""\
<?php
$curl = curl_init({_php_quoted(url)});
curl_setopt_array($curl, [
  CURLOPT_RETURNTRANSFER => true,
  CURLOPT_TIMEOUT => 30,
  CURLOPT_HTTPHEADER => [
    'Authorization: Bearer ' . getenv('{KEY_VARIABLE}'),
    'Content-Type: application/json',
  ],
  CURLOPT_POSTFIELDS => json_encode([
{pairs}
  ]),
]);
$answer = curl_exec($curl);
if (curl_getinfo($curl, CURLINFO_RESPONSE_CODE) !== 202) exit($answer ?: curl_error($curl));
echo json_decode($answer)->id;"""


def _lines(message: dict[str, str], line: str, end: str = "") -> str:
    """An object literal that Python and JavaScript both read, a field a line."""
    fields = "\n".join(line.format(_quoted(name), _quoted(value)) for name, value in message.items())
    return f"{{\n{fields}\n{end}}}"


def _quoted(text: str) -> str:
    return json.dumps(text)


def _php_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
