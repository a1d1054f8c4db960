"""The sample people of ``enclave demo``: one per role, with passwords and second factors made for this home.

They are written to ``demo-people.json`` (mode 0600) and printed. This module refuses to work outside the demo, because
a second factor that is printed protects nobody.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from enclave.domain.people import Role
from enclave.files import write_atomically
from enclave.settings import Settings


@dataclass(frozen=True)
class DemoPerson:
    """One sample person with everything it takes to log in."""

    username: str
    display_name: str
    roles: tuple[Role, ...]
    password: str
    totp_secret: str


_STAFF: tuple[tuple[str, str, tuple[Role, ...]], ...] = (
    ("stephane", "Stéphane Morel", (Role.DATA_STEWARD, Role.OUTPUT_CHECKER)),
    ("sofia", "Sofia Benali", (Role.OUTPUT_CHECKER,)),
    ("diane", "Diane Lefèvre", (Role.DATA_PROTECTION_OFFICER,)),
    ("aurore", "Aurore Petit", (Role.AUDITOR,)),
    ("adele", "Adèle Garnier", (Role.ADMIN,)),
)
_NAMES = {"amelie": "Amélie Rousseau", "karim": "Karim Haddad"}


class DemoOnlyError(Exception):
    """Somebody asked for sample people outside the demo."""


def people_file(settings: Settings) -> Path:
    """Where the sample people's passwords and secrets are."""
    return settings.root / "demo-people.json"


def prepare_people(settings: Settings, researchers: tuple[str, ...]) -> tuple[DemoPerson, ...]:
    """The people of this home: read back, or made anew for the permit's researchers and one person per other role."""
    if not settings.demo:
        raise DemoOnlyError("Sample people exist only in the demo: expected ENCLAVE_DEMO=true, found it unset.")
    known = {person.username: person for person in read_people(settings)}
    wanted = [(name, _NAMES.get(name, name.title()), (Role.RESEARCHER,)) for name in researchers]
    for username, display_name, roles in (*wanted, *_STAFF):
        if username not in known:
            known[username] = _make(username, display_name, roles)
    content = json.dumps([asdict(person) for person in known.values()], indent=1, ensure_ascii=False)
    write_atomically(people_file(settings), content.encode(), mode=0o600)
    return tuple(known.values())


def read_people(settings: Settings) -> tuple[DemoPerson, ...]:
    """The people of an earlier run on this home, or none."""
    path = people_file(settings)
    if not path.exists():
        return ()
    rows = json.loads(path.read_bytes())
    return tuple(DemoPerson(**{**row, "roles": tuple(Role(role) for role in row["roles"])}) for row in rows)


def _make(username: str, display_name: str, roles: tuple[Role, ...]) -> DemoPerson:
    words = "-".join(secrets.choice(_WORDS) for _ in range(4))
    secret = base64.b32encode(secrets.token_bytes(20)).decode()
    return DemoPerson(username, display_name, roles, f"{words}-{secrets.randbelow(90) + 10}", secret)


_WORDS = """
    acacia amande ambre aurore bouleau brume cascade cerise clairiere colline corail cypres dune ecume erable etoile
    fougere galet genet givre granit grotte hamac herbe horizon iris jardin jonquille lagune lavande lichen lilas
    lune marais meleze menthe mesange miel mousse muguet nuage olivier orchidee orme pinede plume pollen prairie
    riviere rosee ruisseau sable saule savane sentier source tilleul torrent vallee verger violette
""".split()
