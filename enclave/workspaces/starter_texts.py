"""The words of the starter notebook in both languages; code is in ``starter``."""

from __future__ import annotations

TEXTS: dict[str, dict[str, str]] = {
    "opening": {
        "en": "# {title}\n\nProject `{project}`, extract {version} of {built}: {people} people, {tables} tables. "
        "The permit holds until {expires}.\n\n**How it works**\n\n"
        "- You query the extract with SQL, from Python. There is no other way to the data, and no network.\n"
        "- Every query is recorded with your name.\n"
        "- Nothing is downloaded. Put results into `outbox/` and ask for a release; two people look at them first.\n"
        "- Counts under {minimum} people are not released: leave them out with `HAVING`, as below.\n\n"
        "Run the cells one after the other with Shift+Enter.",
        "fr": "# {title}\n\nProjet `{project}`, extraction {version} du {built} : {people} personnes, "
        "{tables} tables. "
        "L'autorisation vaut jusqu'au {expires}.\n\n**Comment cela marche**\n\n"
        "- Vous interrogez l'extraction en SQL, depuis Python. Il n'y a pas d'autre accès aux données, ni de "
        "réseau.\n"
        "- Chaque requête est consignée à votre nom.\n"
        "- Rien ne se télécharge. Placez les résultats dans `outbox/` et demandez leur sortie ; deux personnes "
        "les lisent d'abord.\n"
        "- Les effectifs inférieurs à {minimum} personnes ne sortent pas : écartez-les avec `HAVING`, "
        "comme ci-dessous.\n\n"
        "Exécutez les cellules l'une après l'autre avec Maj+Entrée.",
    },
    "archived": {
        "en": "**What you see here is archived.** The data permit orders it: outputs and opened notebooks are kept, "
        "encrypted, for {days} days. Auditors and the data-protection officer can read them, for a reason that goes "
        "on record.",
        "fr": "**Ce que vous voyez ici est archivé.** L'autorisation l'impose : les sorties et les notebooks ouverts "
        "sont conservés, chiffrés, pendant {days} jours. Les auditeurs et le délégué à la protection des données "
        "peuvent les lire, pour un motif consigné.",
    },
    "tables": {"en": "## What is in the extract", "fr": "## Ce que contient l'extraction"},
    "counts": {"en": "## How many rows each table has", "fr": "## Nombre de lignes par table"},
    "distribution": {
        "en": "## A first distribution\n\nThe next cell looks for a column with 2 to 40 different values and counts "
        "people (rows, in a table without people) for each value. Groups under {minimum} are left out.",
        "fr": "## Une première distribution\n\nLa cellule suivante cherche une colonne de 2 à 40 valeurs distinctes "
        "et compte les personnes (les lignes, dans une table sans personnes) par valeur. Les groupes de moins de "
        "{minimum} sont écartés.",
    },
    "nothing": {
        "en": "No column with 2 to 40 values was found, so the row counts of the tables take its place.",
        "fr": "Aucune colonne de 2 à 40 valeurs ; les nombres de lignes des tables la remplacent.",
    },
    "plot": {"en": "## A plot", "fr": "## Un graphique"},
    "no-groups": {
        "en": "No group reaches {minimum}: nothing to draw.",
        "fr": "Aucun groupe n'atteint {minimum} : rien à tracer.",
    },
    "outbox": {"en": "## Results into the outbox", "fr": "## Résultats dans la boîte de sortie"},
    "release": {
        "en": "## Ask for the release\n\nSay what it is and how it was made: the reviewers have only this and "
        "the files.",
        "fr": "## Demander la sortie\n\nDites ce que c'est et comment c'est fait : les relecteurs n'ont que cela "
        "et les fichiers.",
    },
    "request-title": {"en": "First distribution", "fr": "Première distribution"},
    "request-context": {
        "en": "{unit} per value of {what} in the extract of project {project}. Groups under {minimum} are left out. "
        "No individual values.",
        "fr": "{unit} par valeur de {what} dans l'extraction du projet {project}. Les groupes de moins de {minimum} "
        "sont écartés. Aucune valeur individuelle.",
    },
    "unit-people": {"en": "Number of people", "fr": "Nombre de personnes"},
    "unit-rows": {"en": "Number of rows", "fr": "Nombre de lignes"},
}


def text(name: str, language: str, **values: object) -> str:
    """One text with its values filled in; English for an unknown language."""
    entry = TEXTS[name]
    return entry.get(language, entry["en"]).format(**values)
