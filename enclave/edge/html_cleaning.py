"""HTML, SVG and Markdown of a notebook's outputs, reduced to what shows something and calls nobody.

A positive list of elements and attributes, applied by ammonia (through nh3) on the tree that an HTML5 parser builds,
so that nothing depends on how a tag is spelt. ``link``, ``meta``, ``base``, ``script``, frames, forms, ``ping`` and
``rel`` are on no list; addresses may point into the page, to a relative path or to an embedded picture. What cannot be
cleaned within bounds is shown as text (fail closed). Non-goal: CSS. The content policy stops what a style sheet would
load.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html import escape

import nh3

LONGEST = 4_000_000
"""Characters of one HTML, SVG or Markdown value; longer ones are replaced by a sentence."""
MOST_TAGS = 20_000
"""The parser's time grows with the square of nested elements: two seconds for as many as these."""
TOO_LONG = "This output is too large to be shown: more than 4 MB or 20,000 elements of HTML. Show less of it at a time."

_HTML_TAGS = frozenset(
    "a abbr article aside b bdi bdo blockquote br caption center cite code col colgroup dd del details dfn div dl "
    "dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark nav ol p pre q s "
    "samp section small span strike strong style sub summary sup table tbody td tfoot th thead time tr tt u ul var "
    "wbr".split()
)
_SVG_TAGS = frozenset(
    "svg g defs symbol use path rect circle ellipse line polyline polygon text tspan textPath title desc image "
    "marker clipPath mask pattern linearGradient radialGradient stop filter feGaussianBlur feOffset feBlend "
    "feColorMatrix feComposite feFlood feMerge feMergeNode style".split()
)
_ADDRESSES = frozenset({"href", "src", "xlink:href"})
_ATTRIBUTES = frozenset(
    "abbr align alt border cellpadding cellspacing class colspan color datetime dir height hidden id lang open "
    "rowspan scope scoped span start style title type valign value width xml:space clip-path clip-rule "
    "clipPathUnits cx cy d dominant-baseline dx dy fill fill-opacity fill-rule filter filterUnits flood-color "
    "flood-opacity font-family font-size font-style font-weight fx fy gradientTransform gradientUnits in in2 "
    "letter-spacing marker-end marker-mid marker-start markerHeight markerUnits markerWidth mask maskUnits mode "
    "offset opacity operator orient overflow pathLength patternTransform patternUnits points preserveAspectRatio r "
    "refX refY result role rotate rx ry spreadMethod startOffset stdDeviation stop-color stop-opacity stroke "
    "stroke-dasharray stroke-dashoffset stroke-linecap stroke-linejoin stroke-miterlimit stroke-opacity "
    "stroke-width text-anchor text-decoration textLength transform values vector-effect version viewBox visibility "
    "word-spacing x x1 x2 xmlns xmlns:xlink y y1 y2".split()
)
_HIDDEN = {"script", "noscript", "iframe", "noembed", "noframes", "template", "xmp", "plaintext", "metadata", "object"}
"""Elements that go with everything in them."""

_PICTURE = re.compile(r"data:image/(png|jpe?g|gif|webp|bmp|svg\+xml)[;,]", re.IGNORECASE)
_INSIDE = re.compile(r"#[^\x00-\x20\\]*|(?![/\\]{2})[^\x00-\x20\\:#?][^\x00-\x1f\\:]*")
_CALLING_STYLE = re.compile(r"url\s*\((?!\s*[\"']?\s*(?:#|data:image/))|@import|image-set|src\s*\(|\\", re.IGNORECASE)


def _keep(_tag: str, name: str, value: str) -> str | None:
    """The attribute filter: None drops it."""
    if name in _ADDRESSES:
        if name != "href" and _PICTURE.match(value):
            return value
        if name == "href" and _tag == "image" and _PICTURE.match(value):
            return value
        return value if _INSIDE.fullmatch(value) else None
    # clip-path, fill, filter, marker-end, … take url() as well
    return None if _CALLING_STYLE.search(value) and name not in ("title", "alt", "d") else value


def _cleaner(tags: frozenset[str]) -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=set(tags),
        clean_content_tags=set(_HIDDEN),
        attributes={"*": set(_ATTRIBUTES | _ADDRESSES)},
        attribute_filter=_keep,
        url_schemes={"data"},
        link_rel=None,
        strip_comments=True,
    )


_HTML = _cleaner(_HTML_TAGS | _SVG_TAGS)
_SVG = _cleaner(_SVG_TAGS)


def clean_html(text: str) -> str:
    """An HTML fragment without anything that calls out; too long ones become ``TOO_LONG``."""
    return _clean(_HTML, text) if _is_bounded(text) else f"<p>{escape(TOO_LONG)}</p>"


def clean_svg(text: str) -> str:
    """An SVG document as well-formed XML; empty when there is no picture in it."""
    if not _is_bounded(text):
        return ""
    # Written as HTML; two things are not XML yet (SVG 2 knows ``href`` without a prefix).
    cleaned = _clean(_SVG, text).strip().replace("&nbsp;", "&#160;").replace(" xlink:href=", " href=")
    try:
        ET.fromstring(cleaned)  # noqa: S314  (no document type is left in it, so no entity can grow)
    except ET.ParseError:
        return ""
    return cleaned


def _is_bounded(text: str) -> bool:
    return len(text) <= LONGEST and text.count("<") <= MOST_TAGS


def _clean(cleaner: nh3.Cleaner, text: str) -> str:
    try:
        return cleaner.clean(text.replace("\x00", ""))
    except Exception:  # the parser's own fault: whatever it is, the text is shown as text
        return f"<pre>{escape(text)}</pre>"


_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")
_PLAIN_TAG = re.compile(
    r"<(?P<close>/)?(?P<name>[A-Za-z][A-Za-z0-9]*)"
    r"(?P<rest>(?:\s+[A-Za-z][A-Za-z0-9:_-]*(?:\s*=\s*(?:\"[^\"<>`]*\"|'[^'<>`]*'|[^\s\"'=<>`]+))?)*)\s*/?>"
)
_IN_MARKDOWN = _HTML_TAGS - {"style"}


def clean_markdown(text: str) -> str:
    """Markdown whose HTML tags are on the positive list; any other ``<`` before a name gets a space after it.

    CommonMark 6.6 (raw HTML): ``< link`` is no tag, and formulas read the same. Code in Markdown is treated alike.
    """
    if len(text) > LONGEST or text.count("<") > MOST_TAGS:
        return TOO_LONG
    parts: list[str] = []
    at = 0
    for start in _TAG_START.finditer(text):
        if start.start() < at:
            continue
        parts.append(text[at : start.start()])
        match = _PLAIN_TAG.match(text, start.start())
        tag = _clean_tag(match) if match is not None else None
        parts.append("< " if tag is None else tag)
        at = start.end() if match is None or tag is None else match.end()
    return "".join([*parts, text[at:]])


def _clean_tag(match: re.Match[str]) -> str | None:
    """One tag of Markdown, or None when it may not stay."""
    name = match["name"].lower()
    if name not in _IN_MARKDOWN:
        return None
    if match["close"]:
        return None if match["rest"].strip() else f"</{name}>"
    attributes = re.findall(r"([A-Za-z][A-Za-z0-9:_-]*)(?:\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s\"'=<>`]+))?", match["rest"])
    kept = [(key.lower(), value.strip("\"'")) for key, value in attributes]
    known = [(key, value) for key, value in kept if key in _ATTRIBUTES | _ADDRESSES and "&" not in value]
    allowed = [(key, value) for key, value in known if _keep(name, key, value) is not None]
    return "<" + " ".join([name, *(f'{key}="{escape(value)}"' for key, value in allowed)]) + ">"
