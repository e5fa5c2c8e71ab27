"""The text that is made from HTML, and that no HTML takes long or fails to be read."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.html_text import LONGEST_HTML, html_to_text


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo\n"),
        ("a<br>b\n  c", "a\nb c\n"),
        ("<ul><li>one<li>two</ul>", "- one\n- two\n"),
        ("<table><tr><td>a<td>b<tr><td>c</table>", "a b\nc\n"),
        ("<a href='https://x.example/?a=1&amp;b=2'>here</a>", "here (https://x.example/?a=1&b=2)\n"),
        ("<a href='mailto:j@x.example'>j@x.example</a>", "j@x.example\n"),
        ("<a href='javascript:x()'>j</a> <a href='#t'>t</a>", "j t\n"),
        ("<a href='https://a.example'>a<a href='https://b.example'>b", "a (https://a.example)b (https://b.example)\n"),
        ("x<a href='https://a.example'><img src=y></a>z", "x https://a.example z\n"),
        ("<img alt='Our logo'>", "Our logo\n"),
        ("<style>p{}</style><script>x('<p>')</script><title>t</title>Hi<!-- c -->", "Hi\n"),
        ("<html><head><title>t</title><body>no end of the head", "no end of the head\n"),
        ("<template>a</template>b<noscript>c</noscript>d", "bd\n"),
        ("1 &lt; 2 &amp; 3 < 4", "1 < 2 & 3 < 4\n"),
        ("", "\n"),
        ("<![x[", "\n"),
    ],
)
def test_what_is_read(html: str, expected: str) -> None:
    assert html_to_text(html) == expected


@pytest.mark.parametrize(
    "unit",
    ["<!--", "<a ", "<a b='", "<", "</", "<a>x", "<a href='http://x'>x", "<?", "&#1", "<script>", "<svg>", "<![", " "],
)
def test_no_html_takes_long(unit: str) -> None:
    started = time.process_time()
    html_to_text(unit * (100_000 // len(unit)) + "</a>" * 20_000)

    assert time.process_time() - started < 3  # the quadratic kind took a minute


def test_of_very_long_html_the_rest_is_announced() -> None:
    text = html_to_text("<p>word</p>" * (LONGEST_HTML // 11 + 100))
    assert text.startswith("word\n\nword\n")
    assert text.endswith("[The rest of this message is in its HTML part only.]\n")


@given(
    st.lists(
        st.sampled_from(["<", ">", "/", "!", "-", "a", " href=", "'", '"', "p", "&", "#", ";", "[", "]", "\0", "\n"])
    )
)
def test_any_text_is_read(parts: list[str]) -> None:
    text = html_to_text("".join(parts))
    assert text.endswith("\n")
    assert "\n\n\n" not in text
