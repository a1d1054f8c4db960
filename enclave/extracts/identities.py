"""Generated identities for a sample hospital, so that there is something to protect. Nobody in them exists (pure).

Everything follows from a seed and the person id. The national number has the form of the French NIR: 13 digits and a
key of two (97 − number modulo 97); its département 99 is the one of people born abroad, the commune code is unassigned.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterator
from dataclasses import astuple, dataclass, fields
from datetime import date, timedelta

_GIVEN = {
    1: "Adrien Antoine Bastien Baptiste Clément Émile Étienne Félix Gaspard Hugo Jules Karim Léo Loïc Malik Mathis "
    "Nathan Noé Olivier Rémi Samuel Théo Tristan Yanis",
    2: "Adèle Agathe Amina Anaïs Apolline Camille Capucine Clémence Élise Emma Fatou Inès Jeanne Juliette Léa Lina "
    "Louise Manon Margaux Noémie Océane Romane Sarah Zoé",
}
_FAMILY = (
    "Aubert Barbier Benali Bertrand Besson Blanchard Bonnet Boucher Bourgeois Brunet Caron Chevalier Colin Da-Silva "
    "Delmas Diallo Dumont Fabre Faure Fournier Gaillard Garnier Gauthier Giraud Guérin Hamon Haddad Jacquet Lacroix "
    "Lambert Leclerc Legrand Lemoine Lopez Marchand Masson Mercier Meunier Moreau Nguyen Perrin Picard Renaud Rey "
    "Rolland Roussel Sanchez Tessier Traoré Vasseur Vidal"
).split()  # fmt: skip
_STREETS = (
    "rue de la République;rue Victor-Hugo;avenue Jean-Jaurès;rue des Écoles;place de l'Église;rue Pasteur;"
    "chemin des Vignes;boulevard Gambetta;rue du Moulin;allée des Tilleuls;rue Marie-Curie;impasse du Lavoir"
).split(";")
_TOWNS = (
    ("13001", "Marseille"),
    ("21000", "Dijon"),
    ("29200", "Brest"),
    ("31000", "Toulouse"),
    ("34000", "Montpellier"),
    ("37000", "Tours"),
    ("44000", "Nantes"),
    ("59000", "Lille"),
    ("67000", "Strasbourg"),
    ("69003", "Lyon"),
    ("75012", "Paris"),
    ("86000", "Poitiers"),
)
_FIRST_BIRTH = date(1920, 1, 1)
_BIRTH_DAYS = 36_500


@dataclass(frozen=True)
class Identity:
    """One generated person."""

    person_id: str
    family_name: str
    given_name: str
    birth_date: str
    national_number: str
    address: str
    phone: str


def make_identity(person: str, seed: str) -> Identity:
    """The identity of a person id; the same for the same seed."""
    draw = random.Random(f"{seed}:{person}")  # noqa: S311  sample data, nothing secret
    sex = draw.choice((1, 2))
    birth = _FIRST_BIRTH + timedelta(days=draw.randrange(_BIRTH_DAYS))
    postcode, town = draw.choice(_TOWNS)
    number = f"{sex}{birth:%y%m}99{draw.randrange(900, 1000):03d}{draw.randrange(1, 1000):03d}"
    return Identity(
        person_id=person,
        family_name=draw.choice(_FAMILY),
        given_name=draw.choice(_GIVEN[sex].split()),
        birth_date=birth.isoformat(),
        national_number=f"{number}{97 - int(number) % 97:02d}",
        address=f"{draw.randrange(1, 200)} {draw.choice(_STREETS)}, {postcode} {town}",
        phone="06 39 98 " + " ".join(f"{draw.randrange(100):02d}" for _ in range(2)),
    )


def identity_lines(people: Collection[str], seed: str) -> Iterator[tuple[str, ...]]:
    """Header and one line per person, for a CSV file."""
    yield tuple(field.name for field in fields(Identity))
    for person in sorted(people):
        yield astuple(make_identity(person, seed))


def draw_opt_outs(people: Collection[str], count: int, seed: str) -> list[str]:
    """``count`` of the people, the same for the same seed, sorted by id."""
    ranked = sorted(people, key=lambda person: hashlib.sha256(f"{seed}:{person}".encode()).digest())
    return sorted(ranked[:count])
