"""What is shown of a stranger's HTML, and what never is."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.html_tokens import MOST_ATTRIBUTES, tokens
from webapp.core.rules.html_view import LONGEST_HTML, MOST_PICTURES, view_html

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACw="


def shown(source: str, **pictures: str) -> str:
    """The body's part of the document."""
    return view_html(source, pictures).document.partition("</head>")[2]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<p>Hello <b>you</b></p>", "<p>Hello <b>you</b></p>"),
        ("<P ALIGN=center onclick='steal()'>x</P>", '<p align="center">x</p>'),
        ("1 < 2 && 3 > 2 &amp; &copy;", "1 &lt; 2 && 3 &gt; 2 &amp; &copy;"),
        ("a<script>alert('</p>')</script>b", "ab"),
        ("a<SCRIPT src=//e.test/x.js></SCRIPT >b", "ab"),
        ("a<script>never ends <p>b", "a"),
        ("a<iframe src=//e.test></iframe><object data=x><embed src=x>b", "ab"),
        ("<svg onload=x()><style><img src=x onerror=y()></style></svg>", "<style><img src=x onerror=y()></style>"),
        ("<base href=//e.test><meta http-equiv=refresh content='0;//e.test'>x", "x"),
        ("<link rel=dns-prefetch href=//e.test><link rel=stylesheet href=//e.test>x", "x"),
        ("<form action=//e.test><input name=a><button>Go</button></form>", "Go"),
        ("<!-- <p> --><!doctype html><?php echo ?>x<![endif]>y</>z", "xyz"),
        ("a<!-- never ends", "a"),
        ("<p title='<script>'>x", '<p title="&lt;script&gt;">x'),
        (
            '<p title="&quot;><script>alert(1)</script>">x',
            '<p title="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;">x',
        ),
        ('<p title="never ends><script>alert(1)</script>', ""),
        ("<p/onclick=x() /class=a>x", '<p class="a">x'),
        ("<style>p{color:red}</style >x", "<style>p{color:red}</style>x"),
        ("<title>T</title><textarea></p></textarea>x", "&lt;/p&gt;x"),
    ],
)
def test_tags_and_attributes(source: str, expected: str) -> None:
    assert shown(source) == expected


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "java\tscript:alert(1)",
        "&#106;avascript:alert(1)",
        "data:text/html,x",
        "/admin/",
        "//e.test",
    ],
)
def test_a_link_that_runs_or_is_relative_is_no_link(link: str) -> None:
    assert shown(f'<a href="{link}">x</a>') == "<a>x</a>"


def test_a_link_shows_where_it_leads_and_opens_nothing_of_ours() -> None:
    assert shown('<a href="https://e.test/?a=1&amp;b=2" target=_top>x</a>') == (
        '<a href="https://e.test/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer">x</a>'
    )


def test_pictures_come_from_inside_the_message_only() -> None:
    view = view_html(
        '<img src="cid:logo@x" alt=Logo><img src="https://e.test/p.gif" srcset="//e.test/q.gif 2x" width=1>'
        '<img src="//e.test/p.gif"><table background="http://e.test/b.png"><img src="data:image/svg+xml,<svg>">'
        f'<img src="{PIXEL}"><img src="cid:gone">',
        {"logo@x": PIXEL},
    )
    assert view.document.partition("</head>")[2] == (
        f'<img alt="Logo" src="{PIXEL}"><img width="1"><img><table><img><img src="{PIXEL}"><img>'
    )
    assert view.left_out == 3


def test_one_picture_used_a_thousand_times_does_not_fill_the_memory() -> None:
    picture = "data:image/png;base64," + "A" * 1_000_000
    view = view_html('<img src="cid:a">' * 1000, {"a": picture})
    assert view.cut
    assert len(view.document) < MOST_PICTURES + 100_000


def test_a_long_document_is_cut() -> None:
    view = view_html("x" * (LONGEST_HTML + 1), {})
    assert view.cut
    assert not view_html("x", {}).cut


def test_attributes_without_end_are_counted() -> None:
    (token,) = tokens("<p " + " ".join(f"a{n}=1" for n in range(1000)) + ">")
    assert len(token.attributes) == MOST_ATTRIBUTES


@pytest.mark.parametrize(
    "unit",
    [
        "<!",
        "<a ",
        '<a href="',
        "</",
        "<style>",
        "<!--",
        "<![",
        "<?",
        "&",
        "&#",
        "<a b='",
        "<x/",
        "<![CDATA[",
        "<   ",
        "</style",
    ],
)
def test_time_grows_with_the_length_alone(unit: str) -> None:
    def seconds(length: int) -> float:
        started = time.process_time()
        view_html(unit * (length // len(unit)), {})
        return time.process_time() - started

    # Eight times as long takes eight times as long; what is quadratic takes 64 times.
    assert seconds(800_000) < 25 * max(seconds(100_000), 0.02)


@given(st.text(alphabet=st.sampled_from("<>/!-='\"& \nabp#;:"), max_size=60) | st.text(max_size=60))
def test_any_text_gives_only_what_is_listed(source: str) -> None:
    out = shown(source)
    for token in tokens(out):
        if token.kind == "start":
            assert not [name for name in token.attributes if name.startswith("on")]
            assert token.name not in {"script", "iframe", "base", "meta", "link", "form", "svg"}
    assert not re.search(r"<(script|base|meta|link|iframe)", out, re.IGNORECASE)
