"""A terminal's way to one person's browser and back: cleaned, counted, slowed down, stopped and archived.

As with a kernel's output, every byte the workspace sends counts, and a frame that is none of a terminal's counts and
does not go on. Once stopped nothing that the terminal shows goes on; what runs in it runs on. A permit that no longer
allows terminals silences an open one.
"""

from __future__ import annotations

from collections.abc import Sequence

from enclave.edge.account import Account
from enclave.edge.exposure import ExposureState, Volume
from enclave.edge.kernel_frames import Data
from enclave.edge.meter import Meter
from enclave.edge.shown import SLOW_MESSAGE, Screen, size_of
from enclave.edge.terminal_frames import TerminalText, clean_typed, find_event, read_shown, shown_frame
from enclave.shown.sealing import Shown

SENTENCES = {
    "stopped": {
        "en": "Not shown: today's limit for displayed output is reached. What runs here runs on: save results into "
        "outbox/ and ask for a release. Output is shown again tomorrow (UTC).",
        "fr": "Non affiché : la limite d'affichage du jour est atteinte. Ce qui tourne ici continue : enregistrez les "
        "résultats dans outbox/ et demandez leur sortie. L'affichage reprend demain (UTC).",
    },
    "not-archived": {
        "en": "Not shown: the data permit orders that displayed output is archived, and the archive cannot be written "
        "now. Tell your admin, then open another terminal.",
        "fr": "Non affiché : l'autorisation impose d'archiver ce qui est affiché, et l'archive n'est pas accessible en "
        "écriture. Prévenez votre administrateur, puis ouvrez un autre terminal.",
    },
    "not-allowed": {
        "en": "The data permit no longer allows terminals. Work in a notebook.",
        "fr": "L'autorisation ne permet plus les terminaux. Travaillez dans un notebook.",
    },
}


class TerminalScreen(Screen):
    """One terminal's channel; ``language`` is that of its sentences."""

    def __init__(self, meter: Meter, account: Account, language: str) -> None:
        super().__init__(meter, account, language)
        self._text = TerminalText()
        self._said: set[str] = set()

    async def frame(self, data: Data, _protocol: str | None) -> Sequence[Data]:
        """What goes on to the browser in place of a terminal's frame."""
        text, size = read_shown(data), size_of(data)
        if text is None:
            return await self._event(data, size)
        cleaned = self._text.clean(text)
        state = self._account.add(Volume(size, self._text.count_rows(cleaned), 1), data)
        if not self._meter.has_terminals(self._account):
            return self._explain("not-allowed")
        if state is ExposureState.STOPPED or (state is ExposureState.SLOWED and size > SLOW_MESSAGE):
            return self._explain("stopped")
        if state is not ExposureState.SLOWED:
            self._said.discard("stopped")  # another day: who is stopped again is told again
        await self._meter.pace(self._account, size)
        if not cleaned:
            return ()
        shown = shown_frame(cleaned)
        return (shown,) if await self._is_kept(Shown("terminal", shown)) else self._explain("not-archived")

    async def _event(self, data: Data, size: int) -> Sequence[Data]:
        event = find_event(data)
        if event is None:
            self._account.add(Volume(size, 0, 1), data, seen=False)
            return ()
        await self.other(size)
        return (event,)

    async def typed(self, data: Data) -> Sequence[Data]:
        """What goes on to the terminal in place of a browser's frame."""
        cleaned = clean_typed(data) if self._meter.has_terminals(self._account) else None
        return () if cleaned is None else (cleaned,)

    def _explain(self, what: str) -> Sequence[Data]:
        """The sentence, once per channel; that of a day's limit once per day."""
        if what in self._said:
            return ()
        self._said.add(what)
        return (shown_frame(f"\r\n{SENTENCES[what][self._language]}\r\n"),)
