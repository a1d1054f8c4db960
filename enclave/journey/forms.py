"""Reading pages the way a browser does: forms with their fields, and links. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Form:
    """One form of a page: where it goes, how, and what its fields hold (first option of a select, checked boxes)."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    file_fields: set[str] = field(default_factory=set)
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass
class Page:
    """A page that was fetched: final URL, status, text, its forms and links."""

    url: str
    status: int
    text: str
    forms: list[Form] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def form(self, action: str = "", with_field: str = "") -> Form:
        """The first form whose action holds ``action`` and that has a field ``with_field``. Raises LookupError."""
        for form in self.forms:
            names = {*form.fields, *form.file_fields, *(name for name, _ in form.buttons)}
            if action in form.action and (not with_field or with_field in names):
                return form
        raise LookupError(
            f"Expected a form going to {action or 'anywhere'} with a field {with_field or '(any)'} on {self.url}, "
            f"found {[(f.action, sorted(f.fields)) for f in self.forms]} (HTTP {self.status})."
        )

    def link(self, part: str) -> str:
        """The first link that holds ``part``. Raises LookupError."""
        for link in self.links:
            if part in link:
                return link
        raise LookupError(f"Expected a link holding {part} on {self.url}, found none (HTTP {self.status}).")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._form: Form | None = None
        self._textarea: str | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "form":
            self._form = Form(values.get("action", ""), values.get("method", "get").lower(), attributes=values)
            self.forms.append(self._form)
        elif self._form is not None:
            self._control(tag, values, {name for name, _ in attrs})

    def _control(self, tag: str, values: dict[str, str], present: set[str]) -> None:
        assert self._form is not None  # noqa: S101 - narrowed by the caller
        name = values.get("name", "")
        if tag == "button" and name:
            self._form.buttons.append((name, values.get("value", "")))
        elif tag == "textarea" and name:
            self._textarea = name
            self._form.fields[name] = ""
        elif tag == "select" and name:
            self._select = name
            self._form.fields.setdefault(name, "")
        elif tag == "option" and self._select and ("selected" in present or not self._form.fields[self._select]):
            self._form.fields[self._select] = values.get("value", "")
        elif tag == "input" and name:
            self._input(name, values, present)

    def _input(self, name: str, values: dict[str, str], present: set[str]) -> None:
        assert self._form is not None  # noqa: S101 - narrowed by the caller
        kind = values.get("type", "text")
        if kind == "file":
            self._form.file_fields.add(name)
        elif kind == "submit":
            self._form.buttons.append((name, values.get("value", "")))
        elif kind not in ("checkbox", "radio") or "checked" in present:
            self._form.fields[name] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "textarea":
            self._textarea = None
        elif tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        if self._form is not None and self._textarea is not None:
            self._form.fields[self._textarea] += data


def read_page(url: str, status: int, text: str) -> Page:
    """Parse one HTML page."""
    reader = _Reader()
    reader.feed(text)
    return Page(url, status, text, reader.forms, reader.links)
