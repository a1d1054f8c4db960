"""The panel of JupyterLab: every English text has its French one, and nothing is loaded from elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "workspace_images" / "lab" / "enclave-lab"
SCRIPTS = sorted((FOLDER / "static").rglob("*.js"))
_SAID = re.compile(r"\bt(?:his\.t)?\(\s*\"([^\"]+)\"")
_COUNTED = re.compile(r"\bt\.count\([^\"`]*\"([^\"]+)\", \"([^\"]+)\"\)")
_TITLE = re.compile(r"^  title = \"([^\"]+)\"", re.MULTILINE)
_SENTENCES = re.compile(r"(?<!description: )\"([A-Z][a-z]+ [^\"]{25,})\"")
_MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function")


def french() -> set[str]:
    table = (FOLDER / "static" / "words.js").read_text().split("const FRENCH = {", 1)[1].split("\n};", 1)[0]
    return {quoted or plain for quoted, plain in re.findall(r"^  (?:\"([^\"]+)\"|(\w+)):", table, re.MULTILINE)}


def said(script: Path) -> set[str]:
    text = script.read_text()
    counted = {word for pair in _COUNTED.findall(text) for word in pair}
    return {*_SAID.findall(text), *counted, *_TITLE.findall(text), *_SENTENCES.findall(text)}


@pytest.mark.parametrize("script", [s for s in SCRIPTS if s.name != "words.js"], ids=lambda script: str(script.name))
def test_what_is_said_in_english_is_there_in_french(script: Path) -> None:
    assert said(script) - french() == set()


def test_the_french_table_has_nothing_that_is_never_said() -> None:
    everything = "\n".join(script.read_text().split("const FRENCH", 1)[0] for script in SCRIPTS)
    words = (FOLDER / "static" / "words.js").read_text().split("\n};", 1)[1]
    assert [text for text in sorted(french()) if f'"{text}"' not in everything + words] == []


def test_notifications_are_short_enough_for_jupyterlab() -> None:
    """It cuts them off after 140 characters; a time takes the place of ``{time}``."""
    said = re.findall(r'^const [A-Z]+ = "(.+)";$', (FOLDER / "static" / "life.js").read_text(), re.MULTILINE)
    words = (FOLDER / "static" / "words.js").read_text()
    translated = [
        re.search(rf'"{re.escape(text)}":\s+"(.+)",' + "|" + rf'"{re.escape(text)}": "(.+)",', words) for text in said
    ]
    assert len(said) == 4 and all(translated)
    assert [text for text in [*said, *(t[1] or t[2] for t in translated if t)] if len(text) > 139] == []


def test_nothing_is_loaded_from_elsewhere_and_no_text_becomes_markup() -> None:
    for script in SCRIPTS:
        text = script.read_text()
        assert not _MARKUP.search(text), script
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), script


def test_jupyterlab_finds_the_container() -> None:
    package = json.loads((FOLDER / "package.json").read_text())
    assert package["name"] == FOLDER.name and package["jupyterlab"]["extension"] is True
    container = FOLDER / package["jupyterlab"]["_build"]["load"]
    assert f'_JUPYTERLAB["{FOLDER.name}"]' in container.read_text()
