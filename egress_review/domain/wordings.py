"""Every sentence a disclosure check or a comparison can say, as one table: what comes out of the sandbox cites a
line of it by number.

The program that parses hostile bytes may be theirs by the time it answers, so it gets no words of its own: a line of
this table, whole numbers, and names of tables that the extract's manifest knows. A test compares the table with the
sentences in ``egress_review.sdc``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from egress_review.domain.sentences import Sentence, Value

CHECK_IDS = frozenset(
    "file-type file-size unreadable pseudonym pseudonym-column small-count subtraction row-level active-content "
    "unknown-output html-output hidden-html picture hidden-bytes hidden-text hidden-metadata long-value".split()
)
LARGEST_NUMBER = 2_147_483_647
"""Of values and places: what a column of the database holds."""
WORDINGS: tuple[str, ...] = (
    "%(number)s more places like these.",
    "%(rows)s rows with the columns of the extract's table %(table)s: single people?",
    "%(rows)s rows, and this column is different in nearly all: single people?",
    "A check could not deal with this file. Look at all of it yourself.",
    "A column of pseudonyms, says the extract's manifest.",
    "A count under %(limit)s.",
    "A picture: look whether it shows single people or small counts.",
    "A project pseudonym.",
    "A script, which would run where the file is opened.",
    "A value of more than %(limit)s characters.",
    "A whole number under %(limit)s; is it a count?",
    "An output of a kind that the review cannot show; it may hold all rows behind it.",
    "Expected UTF-8 text, found other bytes.",
    "Expected a notebook of format 4, found another. Save it again in JupyterLab.",
    "Expected text, found zero bytes in it.",
    "HTML output; its tables are shown as text.",
    "Invisible characters, which can carry hidden text.",
    "Markup that is not displayed. Look at its source.",
    "Markup that loads something from another address where the file is opened.",
    "Markup that runs or embeds something where the file is opened.",
    "Metadata of more than %(limit)s bytes, which no reader shows.",
    "More than %(limit)s characters without a space: encoded data?",
    "No check can look into files of this type. Look at all of it yourself.",
    "No line of text differs; the bytes do: line ends, metadata or the like.",
    "Not compared line by line: more than %(limit)s lines.",
    "Not compared line by line: one of the two versions cannot be read as text.",
    "Not compared line by line: only text, CSV and notebooks of at most %(limit)s bytes are.",
    "The HTML output is too large or too tangled to be checked.",
    "The bytes are a database or data file, whatever the name says.",
    "The bytes are not of the type that the name says.",
    "The bytes of this picture are not of the type that they claim.",
    "The data permit does not allow files of this type to be released.",
    "The file cannot be read as JSON, or is nested too deeply.",
    "The file cannot be read as a CSV table.",
    "The file has more than the %(limit)s bytes that the data permit allows.",
    "The file is an archive; its contents cannot be reviewed. Ask for the files themselves.",
    "The file is empty.",
    "The file is not a valid notebook. Save it again in JupyterLab.",
    "The file is too large to be checked.",
    "The notebook has an output of an unknown kind.",
    "The picture carries text or data of its own, which no viewer shows.",
    "The picture has more than %(limit)s pixels, so it is not shown. Save it with fewer.",
    "The picture is broken or cut off, so it cannot be checked.",
    "The picture is followed by other bytes, which no viewer shows.",
    "The same key is written twice, so two readers could see different contents.",
    "The table has more than %(limit)s cells; too many.",
    "This hidden count can be computed from the total; it is under %(limit)s.",
)
_PLACES = re.compile(r"%\((\w+)\)s")
_NUMBERS = {template: number for number, template in enumerate(WORDINGS)}


def number_of(sentence: Sentence) -> int:
    """The line of the table. Raises KeyError for a sentence that is not in it."""
    return _NUMBERS[sentence.template]


def believed(number: int, values: Mapping[str, Value], tables: Collection[str]) -> Sentence:
    """The sentence that was cited. Raises ValueError for another line, other values, or a table nobody knows."""
    if not 0 <= number < len(WORDINGS):
        raise ValueError("Expected a line of the table of wordings, found another number.")
    template = WORDINGS[number]
    if set(values) != set(_PLACES.findall(template)):
        raise ValueError("Expected the values that the wording has places for, found others.")
    for name, value in values.items():
        if name == "table":
            if value not in tables:
                raise ValueError("Expected a table of the extract, found another name.")
        elif not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_NUMBER:
            raise ValueError(f"Expected a whole number up to {LARGEST_NUMBER}, found something else.")
    return Sentence(template, **values)
