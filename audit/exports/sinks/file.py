"""Files of one message a line, for a SIEM's file agent: fsynced before the cursor moves, rotated by size."""

from __future__ import annotations

from collections.abc import Sequence

from audit.exports.lines import LineFile
from audit.exports.message import Message
from audit.exports.sinks import Refusal, SinkUnavailable


class FileSink:
    """Appends to one :class:`LineFile`."""

    rewind = 0

    def __init__(self, lines: LineFile) -> None:
        self._lines = lines

    def send(self, messages: Sequence[Message]) -> list[Refusal]:
        """Append; a full or read-only disk is :class:`SinkUnavailable`."""
        try:
            self._lines.append([message.line for message in messages], messages[0].index)
        except OSError as error:
            raise SinkUnavailable(f"{self._lines.path.name} cannot be written ({error.strerror}).") from error
        return []

    def check(self) -> None:
        """Nothing to lose."""

    def close(self) -> None:
        """Nothing is held open."""
