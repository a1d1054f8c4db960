"""Logging in at the real HTTP interface: password, second factor, refusals on record."""

from __future__ import annotations

import re
import time
from typing import Any

from portal_house import PASSWORD, page_words, totp_code

from enclave.domain.events import EventType
from enclave.domain.people import Role
from enclave.portal.models import User
from enclave.portal.provision_people import create_person


def test_password_and_second_factor_lead_home_and_are_recorded(house: Any) -> None:
    browser = house.logged_in("amelie")

    assert "Welcome, Amelie" in browser.words("/")
    person = User.objects.get(username="amelie").person_id
    assert any(leaf["actor"] == person for leaf in house.events(EventType.LOGIN_SUCCEEDED))


def test_the_password_alone_opens_nothing(house: Any) -> None:
    browser = house.browser()
    browser.password("karim")

    answer = browser.get("/")
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("/accounts/login/")


def test_wrong_passwords_and_codes_are_refused_and_recorded(house: Any) -> None:
    browser = house.browser()
    assert browser.password("tomas", "not the password").status_code == 200
    browser.password("tomas")
    page = "/accounts/2fa/authenticate/"
    assert "Incorrect code" in page_words(browser.post(page, {"code": "000000"}, form=page))

    person = User.objects.get(username="tomas").person_id
    steps = [leaf["data"]["step"] for leaf in house.events(EventType.LOGIN_REFUSED) if leaf["actor"] == person]
    assert steps == ["password", "second-factor"]


def test_a_name_nobody_has_is_recorded_without_the_typed_text(house: Any) -> None:
    house.browser().password("my-secret-typed-in-the-wrong-field")

    refused = [leaf for leaf in house.events(EventType.LOGIN_REFUSED) if leaf["data"].get("known_person") is False]
    assert refused
    assert "my-secret" not in str(refused)


def test_the_same_code_works_once(house: Any) -> None:
    code = house.unused_code("diane")
    page = "/accounts/2fa/authenticate/"
    first, second = house.browser(), house.browser()
    for browser in (first, second):
        browser.password("diane")

    assert first.post(page, {"code": code}, form=page).status_code == 302
    assert second.post(page, {"code": code}, form=page).status_code == 200


def test_many_wrong_passwords_are_slowed_down(house: Any) -> None:
    browser = house.browser()
    for _ in range(6):
        last = browser.password("hugo", "wrong again and again")
    assert "Too many failed login attempts" in page_words(last)
    assert "Too many failed login attempts" in page_words(browser.password("hugo"))


def test_first_a_password_of_ones_own_then_a_second_factor_then_the_rest(house: Any) -> None:
    create_person("newcomer", "New Comer", [Role.RESEARCHER], PASSWORD, None)
    browser, change, own = house.browser(), "/accounts/password/change/", "only-newcomer-knows-it"
    browser.password("newcomer")

    pages = ("/", "/projects/", "/apply/", "/accounts/2fa/totp/activate/", "/identity/o/authorize?client_id=hub")
    for path in pages:
        assert browser.get(path).headers["location"] == change
    assert "somebody else has seen it" in browser.words(change)
    same = {"oldpassword": PASSWORD, "password1": PASSWORD, "password2": PASSWORD}
    assert "found the present one" in page_words(browser.post(change, same, form=change))
    assert User.objects.get(username="newcomer").must_change_password
    chosen = browser.post(change, {"oldpassword": PASSWORD, "password1": own, "password2": own}, form=change)
    assert chosen.status_code == 302, page_words(chosen)
    assert browser.get("/").headers["location"].startswith("/accounts/login/")
    browser.password("newcomer", own)
    _sets_up_the_second_factor(browser)
    assert "Welcome, New Comer" in browser.words("/")
    person = User.objects.get(username="newcomer").person_id
    changed = [leaf for leaf in house.events(EventType.PERSON_CREDENTIALS_CHANGED) if leaf.get("subject") == person]
    assert [leaf["data"]["what"] for leaf in changed][:2] == ["password", "second-factor"]
    assert changed[0]["data"]["first"] is True


def _sets_up_the_second_factor(browser: Any) -> None:
    page = "/accounts/2fa/totp/activate/"
    for path in ("/", "/projects/", "/identity/o/authorize?client_id=hub"):
        assert browser.get(path).headers["location"] == page
    shown = browser.get(page).text
    secret = re.search(r'<dd class="mono">([A-Z2-7]+)</dd>', shown)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', shown)
    assert secret, shown
    assert token
    code = totp_code(secret[1], int(time.time()) // 30)
    assert browser.http.post(page, data={"code": code, "csrfmiddlewaretoken": token[1]}).status_code == 302


def test_second_factor_secrets_are_stored_encrypted(house: Any) -> None:
    from allauth.mfa.models import Authenticator
    from portal_house import totp_secret

    stored = Authenticator.objects.get(user__username="amelie", type=Authenticator.Type.TOTP).data["secret"]
    assert totp_secret("amelie") not in stored


def test_there_is_no_sign_up_and_no_reset_by_mail(house: Any) -> None:
    browser = house.browser()
    for path in ("/accounts/signup/", "/accounts/password/reset/", "/accounts/email/", "/identity/o/device"):
        assert browser.get(path).status_code == 404
    assert "Forgot your password" not in browser.words("/accounts/login/")


def test_headers_and_cookies_keep_the_portal_to_its_own_origin(house: Any) -> None:
    answer = house.browser().get("/accounts/login/")

    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "<script" not in answer.text
    assert " style=" not in answer.text
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "private, no-store" or "no-store" in answer.headers["cache-control"]
    for cookie in answer.headers.get_list("set-cookie"):
        assert "HttpOnly" in cookie
        assert "Domain=" not in cookie


def test_the_language_switch_turns_the_page_into_french_and_back(house: Any) -> None:
    browser = house.browser()
    assert "Log in" in browser.words("/accounts/login/")
    browser.post("/language", {"language": "fr", "next": "/accounts/login/"}, form="/accounts/login/")
    french = browser.get("/accounts/login/")
    assert '<html lang="fr">' in french.text
    assert "Se connecter" in page_words(french)
    browser.post("/language", {"language": "en", "next": "/accounts/login/"}, form="/accounts/login/")
    assert "Log in" in browser.words("/accounts/login/")


def test_logging_out_ends_the_session(house: Any) -> None:
    browser = house.log_in("both")
    browser.post("/accounts/logout/")
    assert browser.get("/").status_code == 302
