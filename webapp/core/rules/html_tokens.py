"""A tokenizer for HTML as strangers write it, in time that grows with the length alone.

The standard library's parser takes quadratic time on some malformed input, and raises on other. This one reads any
text: what is no markup is text (the rules are those of the HTML standard, section 13.2.5, without its error reports).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

#: Their content is no markup up to their own end tag.
RAW_TEXT = frozenset({"script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"})
#: Attributes of one tag that are read; real ones have a dozen.
MOST_ATTRIBUTES = 64
_NAME = re.compile(r"[a-zA-Z][^\s/>]*")
_ATTRIBUTE = re.compile(r"[\s/]*([^\s/>=][^\s/>=]*)?(\s*=\s*)?")
_UNQUOTED = re.compile(r"[^\s>]*")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the source: `name` is a tag's in lower case, `text` is as it stands there, references undecoded.

    ``raw`` is the content of one of `RAW_TEXT`, whose name it has. Comments and declarations are left out.
    """

    kind: Literal["text", "start", "end", "raw"]
    text: str = ""
    name: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


def tokens(source: str) -> Iterator[Token]:
    """Read *source*. Attribute values come decoded; of two attributes with one name, the first counts."""
    at, length = 0, len(source)
    while at < length:
        opening = source.find("<", at)
        if opening < 0:
            yield Token("text", source[at:])
            return
        if opening > at:
            yield Token("text", source[at:opening])
        at = opening
        following = source[at + 1 : at + 2]
        if following in {"!", "?"}:
            at = _after_comment(source, at)
        elif match := _NAME.match(source, at + 2 if following == "/" else at + 1):
            attributes, at = _read_attributes(source, match.end())
            if at > length:
                return  # a tag that never ends is not shown
            name = match[0].lower()
            if following == "/":
                yield Token("end", name=name)
                continue
            yield Token("start", name=name, attributes=attributes)
            if name in RAW_TEXT:
                end = _end_of_raw_text(source, name, at)
                yield Token("raw", source[at:end], name)
                at = end
        elif following == "/":  # "</" before anything but a name is a comment
            at = _after(source, ">", at + 2)
        else:
            yield Token("text", "<")
            at += 1


def decoded(value: str) -> str:
    """*value* with its character references decoded; one that is absurdly long is left."""
    try:
        return html.unescape(value)
    except ValueError:  # a number of thousands of digits
        return value


def _after(source: str, what: str, at: int) -> int:
    found = source.find(what, at)
    return len(source) if found < 0 else found + len(what)


def _after_comment(source: str, at: int) -> int:
    if source.startswith(("<!-->", "<!--->"), at):
        return _after(source, ">", at)
    return _after(source, "-->", at + 4) if source.startswith("<!--", at) else _after(source, ">", at + 2)


def _end_of_raw_text(source: str, name: str, at: int) -> int:
    found = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(source, at)
    return found.start() if found else len(source)


def _read_attributes(source: str, at: int) -> tuple[dict[str, str], int]:
    """The attributes from *at* on, and the place after the tag: beyond the source's end if it never ends."""
    found: dict[str, str] = {}
    while at < len(source):
        match = _ATTRIBUTE.match(source, at)
        assert match  # it matches an empty string, too
        at = match.end()
        value = ""
        if match[2]:
            quote = source[at : at + 1]
            if quote in {'"', "'"}:
                end = source.find(quote, at + 1)
                if end < 0:
                    break
                value, at = source[at + 1 : end], end + 1
            else:
                unquoted = _UNQUOTED.match(source, at)
                value, at = (unquoted[0], unquoted.end()) if unquoted else ("", at)
        elif not match[1] and source[at : at + 1] == ">":
            return found, at + 1
        if match[1] and len(found) < MOST_ATTRIBUTES:
            found.setdefault(match[1].lower(), decoded(value))
    return found, len(source) + 1
