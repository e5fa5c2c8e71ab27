"""The plain text of an HTML body, for readers that show no HTML."""

from __future__ import annotations

import re

from webapp.core.rules.html_tokens import Token, decoded, tokens

#: Characters of HTML that are read; newsletters have a tenth. The rest is announced, not shown.
LONGEST_HTML = 1_000_000
_SKIPPED = frozenset({"template", "noscript", "svg"})
_PARAGRAPHS = frozenset(
    {"p", "div", "table", "ul", "ol", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "section"}
    | {"article", "header", "footer", "center", "address", "form"}
)
_LINES = {"br": "\n", "tr": "\n", "li": "\n- ", "dt": "\n", "dd": "\n", "hr": "\n---\n", "td": " ", "th": " "}
_SPACE = re.compile(r"[ \t\r\n\f]+")
_REST = "\n\n[The rest of this message is in its HTML part only.]\n"


class _Lines:
    """Text as it grows. White space is one space, as browsers show it; U+00A0 stays."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._skipping = ""
        self._link: tuple[str, int] | None = None  # its address, and where its text starts in the parts

    def add(self, token: Token) -> None:
        if self._skipping:
            if token.kind == "end" and token.name == self._skipping:
                self._skipping = ""
        elif token.kind == "text":
            self.parts.append(_SPACE.sub(" ", decoded(token.text)))
        elif token.kind == "start":
            self._start(token)
        elif token.kind == "end":
            if token.name == "a":
                self.end_link()
            elif token.name in _PARAGRAPHS:
                self.parts.append("\n\n")

    def end_link(self) -> None:
        """Put a link's address behind what it shows, unless it shows just that."""
        if self._link is None:
            return
        target, start = self._link
        self._link = None
        shown = "".join(self.parts[start:]).strip()
        if target.removeprefix("mailto:").removeprefix("tel:") != shown:
            self.parts.append(f" ({target})" if shown else f" {target} ")

    def _start(self, token: Token) -> None:
        name = token.name
        if name in _SKIPPED:
            self._skipping = name
        elif name in _PARAGRAPHS:
            self.parts.append("\n\n")
        elif name == "a":
            self.end_link()  # links don't nest
            target = _SPACE.sub("", token.attributes.get("href", ""))
            if target.lower().startswith(("http://", "https://", "mailto:", "tel:")):
                self._link = target, len(self.parts)
        elif name == "img":
            self.parts.append(_SPACE.sub(" ", token.attributes.get("alt", "")))
        else:
            self.parts.append(_LINES.get(name, ""))


def html_to_text(html: str) -> str:
    """Read *html* into lines: paragraphs apart, list items with a dash, links with their address behind.

    Of more than `LONGEST_HTML` characters, the first are read, and a line says so.
    """
    text = _Lines()
    for token in tokens(html[:LONGEST_HTML]):
        text.add(token)
    text.end_link()
    lines = [re.sub(r" {2,}", " ", line).strip(" ") for line in "".join(text.parts).split("\n")]
    shown = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"
    return shown if len(html) <= LONGEST_HTML else shown + _REST
