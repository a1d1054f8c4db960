"""The sentences of the rules in the reader's language.

Rules are pure and speak English; here every sentence they can say is a template with named gaps. A sentence that
matches one is shown translated, its gaps filled again (and translated where they are stored strings).
"""

from __future__ import annotations

import re
from functools import cache

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from enclave.portal.labels import label_of

TEMPLATES: tuple[str, ...] = (
    _("To {verb} a project it must be {wanted}; this one is {state}."),
    _("Only {wanted} can {verb} a project. Ask a colleague who holds that role."),
    _("You applied for this project, so you cannot approve it. A colleague has to decide."),
    _("You applied for this project, so you cannot decide about it. A colleague has to decide."),
    _("You have already approved this project. The second approval must come from somebody else."),
    _("The approval of the {role} is already there; the other one is still missing."),
    _("You do not hold the role {role}. Ask a colleague who does."),
    _("This page is for people with the role {wanted}. Ask an admin if you should hold it."),
    _("You cannot decide about your own account. Ask another admin."),
    _("Only an admin can do this to an account. Ask a colleague who holds that role."),
    _("Only an open order can be decided about; this one is {state}. An admin can order it anew."),
    _("Only {wanted} can decide about this order. Ask a colleague who holds that role."),
    _("You ordered this, so you cannot decide about it. A second person has to."),
    _("This order is about your own account, so a colleague has to decide about it."),
    _("The person who ordered this is no admin any more. Refuse it; an admin can order it anew."),
    _("Expected a role to add, found none. Choose one."),
    _("This person holds the role {role} already. There is nothing to add."),
    _("This person does not hold the role {role}. There is nothing to take away."),
    _("This is the person's only role. Revoke the access instead."),
    _("This person has no access. Restore it first."),
    _("Only {wanted} can confirm somebody's access. Ask a colleague who holds that role."),
    _("Expected a reason, found none. The person who confirms has to know why."),
    _("The same is ordered already and waits for a second person. Ask them to look."),
    _("There is no such order. Look at the list of orders."),
    _("The order was made under another key of the portal. Order it anew."),
    _("Roles or projects changed since the page was shown. Look at them again."),
    _("Expected the id of a person here, found none. Look at the list of people."),
    _("Your password was made for you, so nothing opens with it. Log in to the portal and choose a password of your "
      "own."),
    _("Expected one of the buttons of this page, found another form. Go back to it."),
    _("This person has no access already. There is nothing to revoke."),
    _("This person has access. There is nothing to restore."),
    _("There is no project {project} that you may see. Look at the list of projects."),
    _("The data permit expired on {date}. Apply with a permit that still holds."),
    _("A project {project} exists already. Each application needs a project name of its own."),
    _("The data permit names {people} as researcher, but no such account with that role exists here. "
      "Ask an admin to create it, then apply again."),
    _("The name {username} is taken. Choose another one."),
    _("Expected a name of 2 to 30 lower-case letters, digits and hyphens that begins with a letter. Change the name."),
    _("A person needs at least one role. Choose one."),
    _("Your access has been revoked by an administrator. Ask the enclave's administrator why."),
    _("The data permit of project {project} held until {date} and has expired. "
      "Ask the data access body for a new one."),
    _("Project {project} is {state}; expected active. Look at its page in the portal to see what is missing."),
    _("You are not one of the people the data permit of project {project} names. "
      "Ask for an amended permit, or use a project you are a member of."),
    _("All {most} workspaces of this enclave are in use. Try again in a while, and close one of your own that you do "
      "not need; if it happens often, tell the people who run this enclave."),
    _("This alert is about you, so another auditor has to look at it."),
    _("To {verb} a package request it must be {wanted}; this one is {state}."),
    _("Only the runner can do this to a package request. It does so by itself."),
    _("Only the person who asked for the package can withdraw the request. Reject it instead."),
    _("Only a data steward decides about packages. Ask a colleague who holds that role."),
    _("You asked for this package, so you cannot decide about it. Another data steward has to decide."),
    _("Packages are added to active projects only. Look at the project's page."),
    _("There is no such package request in this project. Look at the list of its packages."),
    _("The project has asked for {name} already. Look at the list; ask again once it is decided."),
    _("Expected what the package is for, found nothing. The data steward has to know."),
    _("Expected a reason, found none. The person who asked has to know why."),
    _("Expected a package's name of letters, digits, dots and hyphens. Write the name alone."),
    _('Expected versions such as "==2.1.0" or ">=1.4,<2", or nothing. Change the versions.'),
    _("Expected the site's package mirror, found none set. Ask the admin to name it in `package_mirror`; "
      "then try again."),
    _("The packages could not be fetched as they were asked for."),
    _("One of them needs another version of a package that the image holds, and the image stays as it is."),
    _("pip said: {words}"),
    _("Expected the mirror to answer in time, found it slower. Try again later."),
    _("Expected packages of at most {most} MB, found more. Ask for fewer, or ask the admin for a higher "
      "`package_set_mb`."),
    _("Expected no .pth file in {wheel}, found one: Python would run it at every start."),
    _("Expected no {module} in {wheel}, found one: Python would run it at every start."),
    _("Expected modules of its own in {wheel}, found `{module}`, which the image has already. "
      "Ask for a package that does not replace a part of the image."),
    _("Expected files below the package's folder in {wheel}, found a path that leaves it."),
    _("Expected plain files in {wheel}, found a link or a device. It does not come in."),
    _("Expected the files that {wheel} lists with their hashes, found others."),
    _("Expected metadata of its own in {wheel}, found another package's. It does not come in."),
    _("Expected paths of ordinary length in {wheel}, found a longer one."),
    _("Expected files of known kinds in {wheel}, found another. Ask its authors."),
    _("Expected one list of files in {wheel}, found {count} or a very long one."),
    _("Expected each file once in {wheel}, found a name twice. It does not come in."),
    _("Expected files of its own in {wheel}, found one that another package has as well."),
    _("Expected packages of at most {most} files, found more. Ask for fewer."),
    _("Expected a wheel, found a file that cannot be read: {wheel}."),
    _("Expected wheels from the mirror, found something else. Nothing was added."),
    _("Expected the wheels with the hashes of the index, found others. Nothing was added."),
    _("Expected the packages to be unpacked, found that it ended early (status {code})."),
    _("Expected a folder of packages, found a link. Nothing was added."),
    _("Expected plain files of the packages, found something else. Nothing was added."),
    _("Expected pip's report, found something else. Tell the admin."),
    _("Expected wheels with SHA-256 in pip's report, found others. Tell the admin."),
    _("The packages could not be stored: {reason}."),
    _("Expected a mirror's address without a password: settings hold no secrets. Change it."),
    _("Expected a mirror's address with https (or http on loopback), found another. Change it."),
    _("Expected the mirror's name to be known, found no address for it. Ask the admin."),
    _("Expected the mirror's name to lead to another machine, found an address of this one, of the link or of a "
      "metadata service. Ask the admin to look at `package_mirror` and at the name service."),
    _("Expected names in `package_mirror_also` such as files.example.org, found another. Change it."),
    _("The mirror led to {place}, which is neither the mirror nor named in `package_mirror_also`, so it was not asked. "
      "Tell the admin."),
    _("The mirror led elsewhere, and the audit log took no record of it, so nothing was added. Try again later."),
    _("Packages are added to active projects only, and this one is not active any more. Nothing was added."),
    _("The packages could not be made for a reason that was not foreseen; it is in the runner's log. Tell the "
      "admin, then try again."),
    _("The audit log does not take the record of these packages as it is, so nothing was added. Ask for packages that "
      "need fewer others, or tell the admin."),
    _("Expected the prices in {file}, found {problem}. Put the file there, or take `usage_prices` out of "
      "the settings."),
    _("Expected TOML in {file}, found other text. Compare it with docs/admin.md."),
    _('Expected a currency of three letters such as "EUR". Change `currency`.'),
    _("Expected prices named {names}, found `{name}`. Change or remove that line."),
    _("Expected a number that is not negative for `{name}`. Change that line."),
    _("The audit log does not answer, so nothing was changed. Try again in a minute; if it stays, tell the people who "
      "run this enclave."),
)  # fmt: skip


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile("".join(re.escape(p) if i % 2 == 0 else f"(?P<{p}>.+?)" for i, p in enumerate(parts)))


def _filled(value: str) -> str:
    words = re.split(r"( or )", value)
    return "".join(gettext(" or ") if word == " or " else label_of(word) for word in words)


def translated_sentence(sentence: str) -> str:
    """The sentence in the active language, or unchanged when no rule of the portal says it."""
    for template in TEMPLATES:
        match = _pattern(template).fullmatch(sentence)
        if match:
            return gettext(template).format(**{name: _filled(value) for name, value in match.groupdict().items()})
    return sentence


OR = _(" or ")
