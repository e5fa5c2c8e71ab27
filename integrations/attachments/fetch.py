"""Fetching one file from the web: from public addresses only, over few redirects, never more than was allowed."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import unquote

import httpx
from werkzeug.http import parse_options_header

from webapp.core.rules.compose import AttachedFile
from webapp.core.rules.linked_files import LinkedFile
from webapp.net.targets import TargetRefused

MOST_REDIRECTS = 5
#: The longest wait for a connection, or for the next octets, in seconds.
PATIENCE = 15.0
LONGEST_FILENAME = 255
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: What may well be otherwise a minute later; every other refusal stands.
_PASSING = frozenset({408, 425, 429})
_HEADERS = {"User-Agent": "Postlatch", "Accept": "*/*", "Accept-Encoding": "identity"}


class FetchFailed(Exception):  # noqa: N818 - a finding
    """The file can't be had. The text is a sentence for whoever sent the message; *final*: trying again won't help."""

    def __init__(self, text: str, *, final: bool = False) -> None:
        self.final = final
        super().__init__(text)


async def fetch(client: httpx.AsyncClient, link: LinkedFile, *, most: int) -> AttachedFile:
    """The file at *link*, of at most *most* octets. Raise `FetchFailed`.

    What the file is called and what it is, the link says, else its server. No address is repeated whole in what is
    said of a failure: it may hold a secret.
    """
    host = "its server"
    try:
        url = httpx.URL(link.url)
        for _ in range(MOST_REDIRECTS + 1):
            host = url.host
            async with client.stream("GET", url, headers=_HEADERS) as answer:
                if answer.status_code in _REDIRECTS and "location" in answer.headers:
                    url = url.join(answer.headers["location"])
                    continue
                _check_status(answer.status_code, host)
                return _named(link, url, answer, await _body(answer, host, most))
    except TargetRefused as refusal:
        raise FetchFailed(f"An attachment can't be fetched: {refusal}", final=True) from None
    except httpx.TimeoutException:
        raise FetchFailed(f"An attachment could not be fetched in time from {host}.") from None
    except httpx.InvalidURL:
        raise FetchFailed(
            f"An attachment can't be fetched: {host} points to an address that is none.", final=True
        ) from None
    except httpx.HTTPError as error:
        raise FetchFailed(f"An attachment could not be fetched from {host}: {_problem(error)}.") from None
    raise FetchFailed(f"An attachment can't be fetched: {host} sends from one address to the next.", final=True)


def _check_status(status: int, host: str) -> None:
    if 200 <= status < 300 and status != 206:
        return
    refused = 400 <= status < 500 and status not in _PASSING
    raise FetchFailed(f"An attachment could not be fetched: {host} answered {status}.", final=refused)


async def _body(answer: httpx.Response, host: str, most: int) -> bytes:
    too_large = FetchFailed(
        f"The message is too large with its attachments: {host} sent a file beyond the limit.", final=True
    )
    announced = answer.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:18]) > most:
        raise too_large
    pieces, size = [], 0
    async for piece in answer.aiter_bytes(64 * 1024):
        size += len(piece)
        if size > most:
            raise too_large
        pieces.append(piece)
        await asyncio.sleep(0)
    return b"".join(pieces)


def _problem(error: httpx.HTTPError) -> str:
    """In a few words, none of them from the other side."""
    if "certificate" in str(error).lower():
        return "its certificate is not valid"
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    return "the connection broke off"


def _named(link: LinkedFile, url: httpx.URL, answer: httpx.Response, content: bytes) -> AttachedFile:
    last = unquote(url.path.rpartition("/")[2])
    filename = link.filename or _fit(_disposition(answer.headers.get("content-disposition", ""))) or _fit(last)
    content_type = link.content_type or answer.headers.get("content-type", "")
    if not link.content_type and content_type.partition(";")[0].strip().lower() in _SAYS_NOTHING:
        content_type = ""  # the name's ending tells more
    return AttachedFile(filename or "attachment", content, content_type)


_SAYS_NOTHING = frozenset({"application/octet-stream", "binary/octet-stream", "application/force-download"})


def _disposition(header: str) -> str:
    """The file name in a Content-Disposition header (RFC 6266), also when it is encoded (RFC 8187)."""
    return parse_options_header(_UNFIT.sub("", header))[1].get("filename", "")


def _fit(name: str) -> str:
    """A file's name without path and control characters, short enough, with its ending."""
    name = _UNFIT.sub("", name).replace("\\", "/").rpartition("/")[2].strip()
    if len(name) <= LONGEST_FILENAME:
        return name
    stem, dot, ending = name.rpartition(".")
    return name[:LONGEST_FILENAME] if not dot or len(ending) > 20 else f"{stem[: 250 - len(ending)]}.{ending}"
