"""A message's HTML made fit to be looked at: nothing runs, nothing is loaded, nothing is sent.

The frame that shows it is sandboxed and has a policy of its own; this is what holds where they don't reach (a
``<link rel=dns-prefetch>`` tells a stranger of the reader, whatever the policy says). The document is written anew
from the tags and attributes listed here, so that no browser can read it differently.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

from webapp.core.rules.html_tokens import Token, tokens

#: Characters of HTML that are shown; more is cut.
LONGEST_HTML = 2_000_000
#: Characters of pictures in one document, each counted as often as it is used.
MOST_PICTURES = 16_000_000
#: What pictures inside the message may be. No SVG: it is a document.
PICTURE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"})

_TAG_NAMES = """
    a abbr address article aside b bdi bdo big blockquote body br caption center cite code col colgroup
    dd del dfn dir div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img
    ins kbd li main mark menu nav nobr ol p pre q rp rt ruby s samp section small span strike
    strong sub summary details sup table tbody td tfoot th thead time tr tt u ul var wbr
"""
_ATTRIBUTE_NAMES = """
    abbr align alt bgcolor border cellpadding cellspacing char charoff class clear color cols colspan
    compact dir face frame headers height hspace id lang noshade nowrap open reversed role rows
    rowspan rules scope size span start style summary text title type valign value vspace width
"""
_TAGS, _ATTRIBUTES = frozenset(_TAG_NAMES.split()), frozenset(_ATTRIBUTE_NAMES.split())
_LINK = re.compile(r"(https?://|mailto:|tel:)", re.IGNORECASE)
_DATA_PICTURE = re.compile(r"data:(image/[a-z]+);base64,[A-Za-z0-9+/=\s]*\Z")
_REMOTE = re.compile(r"(https?:)?//", re.IGNORECASE)
_HEAD = (
    '<!doctype html><html><head><meta charset="utf-8">'
    '<meta http-equiv="x-dns-prefetch-control" content="off">'
    "<style>:root{color-scheme:light;background:#fff;color:#111}"
    "body{margin:16px;font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}img{max-width:100%}</style></head>"
)


@dataclass(frozen=True, slots=True)
class HtmlView:
    """The whole document, how many remote pictures were left out of it, and whether anything else had to be."""

    document: str
    left_out: int
    cut: bool


def view_html(source: str, pictures: Mapping[str, str]) -> HtmlView:
    """Write *source* anew; *pictures* maps a Content-ID to the ``data:`` URL that stands in for ``cid:`` (RFC 2392)."""
    parts, left_out, room, cut = [_HEAD], 0, MOST_PICTURES, len(source) > LONGEST_HTML
    for token in tokens(source[:LONGEST_HTML]):
        match token:
            case Token(kind="text"):
                parts.append(token.text.replace("<", "&lt;").replace(">", "&gt;"))
            case Token(kind="raw", name="style"):
                parts.append(f"<style>{token.text}</style>")
            case Token(kind="raw", name="textarea" | "xmp"):
                parts.append(html.escape(token.text))
            case Token(kind="end") if token.name in _TAGS:
                parts.append(f"</{token.name}>")
            case Token(kind="start") if token.name in _TAGS:
                attributes = _kept(token)
                wanted = token.attributes.get("src" if token.name == "img" else "background", "").strip()
                left_out += bool(_REMOTE.match(wanted))
                if token.name == "img" and (picture := _picture(wanted, pictures)):
                    room -= len(picture)
                    cut = cut or room < 0
                    if room >= 0:
                        attributes["src"] = picture
                parts.append(_tag(token.name, attributes))
    return HtmlView("".join(parts), left_out, cut)


def _kept(token: Token) -> dict[str, str]:
    kept = {name: value for name, value in token.attributes.items() if name in _ATTRIBUTES}
    link = token.attributes.get("href", "").strip()
    if token.name == "a" and _LINK.match(link):
        # It shows where it leads and leads nowhere: the frame may open no window.
        kept |= {"href": link, "target": "_blank", "rel": "noopener noreferrer"}
    return kept


def _picture(url: str, pictures: Mapping[str, str]) -> str | None:
    if url[:4].lower() == "cid:":
        return pictures.get(url[4:].strip("<> "))
    inside = _DATA_PICTURE.match(url)
    return url if inside and inside[1] in PICTURE_TYPES else None


def _tag(name: str, attributes: Mapping[str, str]) -> str:
    return f"<{name}" + "".join(f' {key}="{html.escape(value)}"' for key, value in attributes.items()) + ">"
