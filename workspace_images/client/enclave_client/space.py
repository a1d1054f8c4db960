"""What this workspace is about: the project and the tables of its extract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enclave_client.session import call_action

if TYPE_CHECKING:
    import pandas


class Project(dict[str, Any]):
    """``username``, ``project``, ``title``, ``expires_on``; shows itself as a sentence."""

    def __repr__(self) -> str:
        return f"{self['title']} ({self['project']}), as {self['username']}, until {self['expires_on']}"


def project() -> Project:
    """Which project this is, who you are in it and until when. Raises EnclaveError."""
    return Project(call_action("enclave.whoami"))


def tables() -> pandas.DataFrame:
    """Tables and columns you may see: one row per column, with the table's rows and what was done to it."""
    import pandas

    listed = call_action("enclave.tables")
    rows = [
        {
            "table": table["name"],
            "rows": table["rows"],
            "column": column["name"],
            "type": column["type"],
            "treatment": column["treatment"],
        }
        for table in listed
        for column in table["columns"]
    ]
    frame = pandas.DataFrame(rows, columns=["table", "rows", "column", "type", "treatment"])
    frame["rows"] = frame["rows"].astype("Int64")  # unknown where a rule of the permit hides some
    return frame.set_index(["table", "column"])
