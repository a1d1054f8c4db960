"""The journey's reading of pages: forms with their fields, as a browser would send them."""

from __future__ import annotations

import pytest

from enclave.journey.browser import totp_code
from enclave.journey.forms import read_page

PAGE = """
<a href="/projects/heart/">Heart</a>
<form action="/login/" method="post"><input type="hidden" name="csrf" value="t0k"><input name="login">
<input type="checkbox" name="remember" value="1"><input type="radio" name="way" value="a" checked>
<select name="lang"><option value="fr">f</option><option value="en" selected>e</option></select>
<textarea name="why">because</textarea><button name="go" value="yes">Go</button></form>
<form action="/upload/" method="post"><input type="file" name="permit"></form>
"""


def test_a_form_holds_what_a_browser_would_send() -> None:
    form = read_page("http://portal/", 200, PAGE).form("/login/")
    assert form.fields == {"csrf": "t0k", "login": "", "way": "a", "lang": "en", "why": "because"}
    assert form.buttons == [("go", "yes")]


def test_forms_are_found_by_field_and_links_by_part() -> None:
    page = read_page("http://portal/", 200, PAGE)
    assert page.form(with_field="permit").action == "/upload/"
    assert page.link("heart") == "/projects/heart/"


def test_what_is_missing_is_said() -> None:
    page = read_page("http://portal/", 200, PAGE)
    with pytest.raises(LookupError, match="going to /nowhere/"):
        page.form("/nowhere/")


def test_totp_is_rfc_6238() -> None:
    assert totp_code("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", at=59) == "287082"
    assert totp_code("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", at=1111111109) == "081804"
