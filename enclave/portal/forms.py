"""Forms of the portal. They check shape; whether something may be done is decided by the actions."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ChangePasswordForm, LoginForm
from django import forms
from django.utils.translation import gettext_lazy as _

from enclave.domain.people import Role
from enclave.portal.labels import ROLES

LARGEST_PERMIT = 200_000


class NameAndPasswordForm(LoginForm):  # type: ignore[misc]
    """Log-in by name and password, without the library's link to a reset by mail, which is not offered here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].help_text = ""
        for name in ("login", "password"):
            self.fields[name].widget.attrs.pop("placeholder", None)


class OwnPasswordForm(ChangePasswordForm):  # type: ignore[misc]
    """A new password, without the link to a reset by mail. The old one again is no new one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["oldpassword"].help_text = ""
        for name in ("oldpassword", "password1", "password2"):
            self.fields[name].widget.attrs.pop("placeholder", None)
        self.fields["password1"].help_text = _("At least 12 characters, not like your name, and no common password.")
        if self.user.must_change_password:
            self.fields["oldpassword"].label = _("First password, as you got it")

    def clean_password1(self) -> str:
        """Another one than the one that is being replaced."""
        chosen = str(self.cleaned_data["password1"])
        if self.user.check_password(chosen):
            raise forms.ValidationError(_("Expected a new password, found the present one. Choose another."))
        return chosen


class ApplicationForm(forms.Form):
    """A data permit, pasted or as a file, with a title and a summary for the people who decide."""

    title = forms.CharField(
        label=_("Title"), max_length=200, required=False, help_text=_("Empty: the title in the data permit is used.")
    )
    summary = forms.CharField(
        label=_("Summary for the people who decide"),
        required=False,
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("What you want to find out, and for whom it is of use. Plain words, a few sentences."),
    )
    permit_file = forms.FileField(label=_("Data permit as a file"), required=False, help_text=_("YAML, UTF-8."))
    permit_text = forms.CharField(
        label=_("… or its text"),
        required=False,
        max_length=LARGEST_PERMIT,
        strip=False,
        widget=forms.Textarea(attrs={"class": "code", "spellcheck": "false", "rows": 24}),
    )

    def clean(self) -> dict[str, Any]:
        """Exactly one text: ``cleaned_data["permit"]``. A pasted text gets plain line ends, a file stays as it is."""
        cleaned = super().clean() or {}
        upload, text = cleaned.get("permit_file"), cleaned.get("permit_text") or ""
        if upload is not None:
            cleaned["permit"] = self._read(upload)
        elif text.strip():
            cleaned["permit"] = text.replace("\r\n", "\n")
        else:
            self.add_error("permit_text", _("Expected a data permit, found none. Choose a file or paste its text."))
        return cleaned

    def _read(self, upload: Any) -> str:
        if upload.size > LARGEST_PERMIT:
            self.add_error("permit_file", _("Expected a file of at most 200 kB. Is it the right one?"))
            return ""
        try:
            return str(upload.read().decode())
        except UnicodeDecodeError:
            self.add_error("permit_file", _("Expected UTF-8 text, found other bytes. Save the file as UTF-8."))
            return ""


class PackageForm(forms.Form):
    """A package for a project. What a name and versions look like is decided by the action."""

    name = forms.CharField(
        label=_("Package"), max_length=100, help_text=_("Its name on the Python package index, such as lifelines.")
    )
    versions = forms.CharField(
        label=_("Versions"),
        max_length=100,
        required=False,
        help_text=_("Such as ==0.30.0 or >=1.4,<2. Empty: the newest."),
    )
    reason = forms.CharField(
        label=_("What for"),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("The data steward reads this."),
    )


class DecisionForm(forms.Form):
    """Approve, reject, provision or close."""

    as_role = forms.ChoiceField(choices=[(role.value, role.value) for role in Role])
    comment = forms.CharField(required=False, max_length=2000)


class PersonForm(forms.Form):
    """A new account."""

    username = forms.CharField(
        label=_("Name to log in with"), max_length=30, help_text=_("Lower-case letters, digits and hyphens.")
    )
    display_name = forms.CharField(label=_("Full name"), max_length=120)
    roles = forms.MultipleChoiceField(
        label=_("Roles"),
        choices=[(role, label) for role, label in ROLES.items()],
        widget=forms.CheckboxSelectMultiple,
        help_text=_("All roles but researcher and admin wait until a second person has confirmed them."),
    )


class AccountOrderForm(forms.Form):
    """What an admin orders for somebody's account, and why; the second person reads the reason."""

    reason = forms.CharField(max_length=2000)
    role = forms.ChoiceField(choices=[(role.value, role.value) for role in Role], required=False)
