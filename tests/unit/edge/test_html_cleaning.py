"""Markup on its way to the browser: what calls out is gone, what shows something stays."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.edge.displayed import NOT_SHOWN, clean_contents, clean_tree
from enclave.edge.html_cleaning import LONGEST, MOST_TAGS, TOO_LONG, clean_html, clean_markdown, clean_svg

OUT = "outside.example"
PAYLOADS = [
    f'<link rel="dns-prefetch" href="//{OUT}">',
    f'<LINK REL=preconnect HREF="http://{OUT}">',
    f"<link\nrel=prefetch\nhref=http://{OUT}>",
    f"<link/rel=stylesheet/href=//{OUT}>",
    f'<meta http-equiv="refresh" content="0;url=http://{OUT}">',
    '<meta http-equiv="x-dns-prefetch-control" content="on">',
    f'<base href="http://{OUT}/">',
    f'<a href="/lab" ping="http://{OUT}">x</a>',
    f'<a href="http://{OUT}" rel="preconnect">x</a>',
    f'<a href="//{OUT}">x</a>',
    f'<a href="/\\{OUT}">x</a>',
    f'<a href="\\/{OUT}">x</a>',
    f'<a href="\t//{OUT}">x</a>',
    f'<a href="ht\ntp://{OUT}">x</a>',
    '<a href="javascript:alert(1)">x</a>',
    '<a href="java&#115;cript:alert(1)">x</a>',
    f'<img src="http://{OUT}/a.png">',
    f'<img srcset="http://{OUT}/a.png 2x">',
    f'<img src=x onerror="fetch(`//{OUT}`)">',
    f'<body background="http://{OUT}/">',
    f'<table background="http://{OUT}/"><tr><td>1',
    f'<video src="http://{OUT}/v" poster="http://{OUT}/p"></video>',
    f'<audio src="http://{OUT}/a"></audio>',
    f'<object data="http://{OUT}/"></object>',
    f'<embed src="http://{OUT}/">',
    f'<iframe src="http://{OUT}/"></iframe>',
    f"<iframe srcdoc='<link rel=prefetch href=//{OUT}>'></iframe>",
    f'<form action="http://{OUT}/"><button>go</button></form>',
    f'<button formaction="http://{OUT}/">go</button>',
    f'<input type="image" src="http://{OUT}/">',
    f"<script>fetch('//{OUT}')</script>",
    f'<script src="//{OUT}/a.js"></script>',
    f'<script type="speculationrules">{{"prefetch":[{{"urls":["//{OUT}"]}}]}}</script>',
    f'<p style="background:url(http://{OUT}/)">x</p>',
    f'<p style="background:u\\72l(http://{OUT}/)">x</p>',
    f"<p style=\"background:image-set('http://{OUT}/' 1x)\">x</p>",
    f'<svg><image href="http://{OUT}/a.png"/></svg>',
    f'<svg><image xlink:href="http://{OUT}/a.png"/></svg>',
    f'<svg><use href="http://{OUT}/a.svg#x"/></svg>',
    f'<svg><a href="http://{OUT}"><text>x</text></a></svg>',
    f'<svg><set attributeName="href" to="http://{OUT}"/></svg>',
    f'<svg><foreignObject><link rel=prefetch href="//{OUT}"></foreignObject></svg>',
    f'<svg><rect fill="url(http://{OUT}/f.svg#a)"/></svg>',
    f'<svg><style><link rel=prefetch href="//{OUT}"></style></svg>',
    f'<svg><title><style><a id="</style><link rel=prefetch href=//{OUT}>"></style></title></svg>',
    f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;link href=//{OUT}&gt;">',
    f'<form><math><mtext></form><form><mglyph><style></math><link rel=prefetch href="//{OUT}">',
    f'<noscript><p title="</noscript><link rel=prefetch href=//{OUT}>">',
    f"<template><link rel=prefetch href=//{OUT}></template>",
    f'<!--[if IE]><link href="//{OUT}"><![endif]-->',
    f'<textarea><p title="</textarea><link rel=prefetch href=//{OUT}>">',
    f"<xmp><p title='</xmp><link rel=prefetch href=//{OUT}>'></xmp>",
    f'<p title="`" x="` onload=//{OUT} ">',
    f'<portal src="http://{OUT}"></portal>',
    f'<fencedframe src="http://{OUT}"></fencedframe>',
    f"<l\x00ink rel=prefetch href=//{OUT}>",
]
FRAGMENTS = ["<svg>", "</svg>", "<style>", "</style>", '"', "<table>", "-->", "<p>"]
FORBIDDEN_TAGS = set(
    "link meta base script iframe object embed form button input video audio source track portal fencedframe template "
    "noscript frame frameset applet foreignobject set animate math".split()
)
FORBIDDEN_NAMES = {"ping", "rel", "srcset", "action", "formaction", "background", "poster", "data", "srcdoc", "target"}
CALLS = re.compile(r"(^|[^a-z])(https?:|ftp:|wss?:|javascript:)|^\s*[/\\]\s*[/\\]|url\((?!['\"]?(#|data:image))", re.I)


class Reader(HTMLParser):
    """Notes everything in a fragment that could call out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in FORBIDDEN_TAGS:
            self.found.append(tag)
        for name, value in attrs:
            if name in FORBIDDEN_NAMES or name.startswith("on"):
                self.found.append(f"{tag} {name}")
            if name in ("href", "src", "xlink:href", "style", "fill") and CALLS.search(value or ""):
                self.found.append(f"{tag} {name}={value}")


def what_calls_out(markup: str) -> list[str]:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader.found


@pytest.mark.parametrize("payload", PAYLOADS)
def test_html_calls_nobody(payload: str) -> None:
    cleaned = clean_html(f"<div>before {payload} after</div>")
    assert what_calls_out(cleaned) == []
    assert clean_html(cleaned) == cleaned
    assert "before" in cleaned


@pytest.mark.parametrize("payload", PAYLOADS)
def test_markdown_calls_nobody(payload: str) -> None:
    cleaned = clean_markdown(f"*before*\n\n{payload}\n\nafter")
    assert what_calls_out(cleaned) == []
    assert cleaned.startswith("*before*") and cleaned.endswith("after")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_svg_calls_nobody(payload: str) -> None:
    cleaned = clean_svg(f'<svg xmlns="http://www.w3.org/2000/svg">{payload}<path d="M0 0"/></svg>')
    assert what_calls_out(cleaned) == []
    if cleaned:
        ET.fromstring(cleaned)


def test_the_probe_can_fail() -> None:
    """Positive control: the reader finds nearly all payloads uncleaned; those it misses are tricks on HTML parsers."""
    missed = [payload for payload in PAYLOADS if not what_calls_out(payload)]
    assert len(missed) <= 12, missed


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*PAYLOADS, *FRAGMENTS]), max_size=6))
def test_no_mixture_calls_out(parts: list[str]) -> None:
    mixture = "".join(parts)
    for clean in (clean_html, clean_markdown):
        assert what_calls_out(clean(mixture)) == []


KEPT = [
    '<table border="1" class="dataframe"><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>',
    '<img src="data:image/png;base64,iVBORw0KGgo=" width="3">',
    '<p style="color: red; text-align: right">x</p>',
    '<svg viewBox="0 0 1 1"><clipPath id="a"><path d="M0"></path></clipPath><g clip-path="url(#a)"></g></svg>',
    '<a href="#part">x</a>',
    '<a href="other.ipynb">x</a>',
    "<style>.x > a { y: z }</style>",
    "<details><summary>more</summary>less</details>",
]


@pytest.mark.parametrize("markup", KEPT)
def test_what_shows_something_stays(markup: str) -> None:
    assert clean_html(markup) == markup


def test_a_matplotlib_svg_stays_a_picture() -> None:
    head = (
        '<?xml version="1.0" encoding="utf-8" standalone="no"?>\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x">\n'
    )
    svg = (
        '<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="1pt" xmlns="http://www.w3.org/2000/svg" version="1.1">'
        "<metadata><rdf><x>words</x></rdf></metadata><defs>"
        '<style type="text/css">*{stroke-linejoin: round} a>b{x:y}</style></defs>'
        '<g id="f"><path d="M 0 1" style="fill: #ffffff"/><use xlink:href="#m" x="1"/>'
        "<text>a&#160;b &amp; c</text></g></svg>"
    )
    root = ET.fromstring(clean_svg(head + svg))
    names = [element.tag.split("}")[1] for element in root.iter()]
    assert names == ["svg", "defs", "style", "g", "path", "use", "text"]
    assert root.find(".//{*}use").attrib["href"] == "#m"  # type: ignore[union-attr]


def test_markdown_keeps_what_it_is() -> None:
    text = "# a\n\n1 < 2, `x <- y` and $a< b$ <b>bold</b><br>\n\n> quoted [link](other.ipynb) ![p](attachment:p.png)\n"
    assert clean_markdown(text) == text


def test_too_much_markup_is_a_sentence() -> None:
    assert "too large" in clean_html("<p>" * (MOST_TAGS + 1))
    assert "too large" in clean_html("x" * (LONGEST + 1))
    assert clean_markdown("x" * (LONGEST + 1)) == TOO_LONG
    assert clean_svg("<svg>" + "<g>" * MOST_TAGS) == ""


def test_bundles_are_found_wherever_they_are() -> None:
    bundle = {"text/html": ["<link rel=x>", "<b>a</b>"], "text/plain": "a", "application/javascript": "fetch('/')"}
    cleaned = {"text/html": "<b>a</b>", "text/plain": "a"}
    assert clean_tree({"data": bundle, "metadata": {}}) == {"data": cleaned, "metadata": {}}
    assert clean_tree({"payload": [{"source": "page", "data": bundle}]})["payload"][0]["data"] == cleaned
    assert clean_tree({"data": {"state": [{"x": bundle}]}})["data"]["state"][0]["x"] == cleaned


def test_unknown_types_are_not_shown() -> None:
    for name in (
        "Text/HTML",
        "text/html;x=1",
        " text/html",
        "application/xhtml+xml",
        "text/javascript",
        "application/pdf",
    ):
        assert clean_tree({"data": {name: "<link>"}}) == {"data": {"text/plain": NOT_SHOWN}}, name
    spec = {"application/vnd.vegalite.v5+json": {"mark": "bar"}}
    assert clean_tree({"data": spec}) == {"data": spec}


def test_odd_values_under_html_do_not_pass() -> None:
    assert clean_tree({"text/html": [["<link>"]], "text/plain": "a"}) == {"text/plain": "a"}
    assert clean_tree({"text/html": 3, "text/plain": "a"}) == {"text/plain": "a"}
    assert clean_tree({"text/html": {"isolated": True}}) == {"text/html": {"isolated": True}}


def test_a_notebook_is_cleaned_in_outputs_and_markdown_only() -> None:
    code = "x = '<link rel=prefetch>'"
    cells = [
        {"cell_type": "code", "source": code, "outputs": [{"data": {"text/html": "<link><i>x</i>"}}]},
        {"cell_type": "markdown", "source": ["<link>\n", "a"], "attachments": {"p": {"text/html": "<meta>"}}},
    ]
    cleaned = clean_contents({"type": "notebook", "content": {"cells": cells, "nbformat": 4}})["content"]["cells"]
    assert cleaned[0] == {"cell_type": "code", "source": code, "outputs": [{"data": {"text/html": "<i>x</i>"}}]}
    assert cleaned[1]["source"] == "< link>\na"
    assert cleaned[1]["attachments"] == {"p": {"text/plain": NOT_SHOWN}}
    assert clean_contents({"path": "a/README.MD", "content": "<link>"})["content"] == "< link>"
    assert clean_contents({"path": "a.py", "content": "<link>"})["content"] == "<link>"
