"""What of a workspace's answers reaches the browser: cleaned, counted, slowed down and stopped.

Large values are cleaned in a thread, so that one person's output does not hold up the others. A frame that cannot be
read counts and does not go on. Once stopped, the messages that drive a notebook still pass, slowly: one can edit, run,
save and ask for a release; an output becomes one plain sentence per cell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from enclave.edge.account import Account
from enclave.edge.archiving import ArchiveError
from enclave.edge.displayed import clean_contents, clean_tree
from enclave.edge.exposure import (
    OVERHEAD_PER_DAY,
    ExposureState,
    Volume,
    is_driving,
    is_plain_status,
    measure_contents,
    measure_message,
)
from enclave.edge.forward import NotShownError, UnreadableAnswerError
from enclave.edge.kernel_frames import Data, KernelMessage, encode_frame, parse_frame, sentence_message
from enclave.edge.meter import Meter
from enclave.shown.sealing import Shown

_IN_A_THREAD = 8_000
SLOW_MESSAGE = 2_000_000
"""Largest output once slowed down: twenty seconds' worth."""
STOPPED_FILE = 64_000
"""Largest notebook or source file that still opens once stopped."""

SENTENCES = {
    "stopped": {
        "en": "Not shown: today's limit for displayed output is reached. The cell did run, and the notebook works on: "
        "save results into outbox/ and ask for a release. Output is shown again tomorrow (UTC).",
        "fr": "Non affiché : la limite d'affichage du jour est atteinte. La cellule a été exécutée et le notebook "
        "reste utilisable : enregistrez les résultats dans outbox/ et demandez leur sortie. L'affichage reprend "
        "demain (UTC).",
    },
    "slowed": {
        "en": "Not shown: today's budget for displayed output is used up, so outputs above 2 MB are left out until "
        "tomorrow (UTC). Show less at a time, for instance with .head().",
        "fr": "Non affiché : le budget d'affichage du jour est épuisé ; les sorties de plus de 2 Mo attendent demain "
        "(UTC). Affichez moins à la fois, par exemple avec .head().",
    },
    "not-archived": {
        "en": "Not shown: the data permit orders that displayed output is archived, and the archive cannot be written "
        "now. The cell did run, and nothing is lost. Tell your admin, then run the cell again.",
        "fr": "Non affiché : l'autorisation impose d'archiver ce qui est affiché, et l'archive n'est pas accessible en "
        "écriture. La cellule a été exécutée et rien n'est perdu. Prévenez votre administrateur, puis relancez-la.",
    },
}


class Screen:
    """One request's or channel's way to one person's browser; ``language`` is that of its sentences."""

    def __init__(self, meter: Meter, account: Account, language: str) -> None:
        self._meter = meter
        self._account = account
        self._language = language
        self._told: set[str] = set()

    async def frame(self, data: Data, protocol: str | None) -> Sequence[Data]:
        """What goes on to the browser in place of a kernel's frame."""
        message = parse_frame(data, protocol)
        size = size_of(data)
        try:
            volume = measure_message(message, size)
        except RecursionError:
            message, volume = None, measure_message(None, size)
        state = self._account.add(volume, data, seen=message is not None)
        if message is None:
            return ()
        if state is ExposureState.STOPPED and _shows(message, volume):
            return self._say(message, "stopped")
        if state is ExposureState.SLOWED and size > SLOW_MESSAGE:
            return self._say(message, "slowed")
        await self._meter.pace(self._account, size)
        try:
            cleaned = await clean_message(message, data)
        except UnreadableAnswerError:
            return ()
        needed = volume.bytes or not is_plain_status(message)
        if needed and not await self._is_kept(Shown("message", cleaned)) and _shows(message, volume):
            return self._say(message, "not-archived")
        return (cleaned,)

    async def _is_kept(self, shown: Shown) -> bool:
        """False when the permit orders an archive and it does not take this."""
        try:
            if self._meter.archive is not None:
                await self._meter.archive.keep(self._account, shown)
        except ArchiveError:
            return False
        return True

    def _say(self, message: KernelMessage, what: str) -> Sequence[Data]:
        """The sentence, once per cell."""
        if message.parent_id in self._told:
            return ()
        if len(self._told) > 1000:
            self._told.clear()
        self._told.add(message.parent_id)
        return (encode_frame(sentence_message(message, SENTENCES[what][self._language])),)

    async def contents(self, body: bytes) -> bytes:
        """The body of a contents answer that goes on. Raises UnreadableAnswerError, NotShownError."""
        cleaned, volume = await asyncio.to_thread(_look_at, body)
        state = self._account.add(volume, body, seen=volume.bytes > STOPPED_FILE)
        if state is ExposureState.STOPPED and volume.bytes > STOPPED_FILE:
            raise NotShownError(SENTENCES["stopped"][self._language])
        if state is ExposureState.SLOWED and volume.bytes > SLOW_MESSAGE:
            raise NotShownError(SENTENCES["slowed"][self._language])
        await self._meter.pace(self._account, volume.bytes)
        if volume.bytes and not await self._is_kept(Shown("file", cleaned)):
            raise NotShownError(SENTENCES["not-archived"][self._language])
        return cleaned

    async def other(self, size: int) -> None:
        """So many bytes of any other body are about to go on; beyond the day's overhead they wait like outputs."""
        self._account.add(Volume(overhead=size), None)
        if self._account.shown.overhead > OVERHEAD_PER_DAY:
            await self._meter.pace(self._account, size)

    async def event(self, data: Data, _protocol: str | None) -> Sequence[Data]:
        """A frame of a channel that is no kernel's."""
        await self.other(size_of(data))
        return (data,)


def _shows(message: KernelMessage, volume: Volume) -> bool:
    """More than a message that drives the notebook."""
    return bool(volume.bytes) or not is_driving(message)


def size_of(data: Data) -> int:
    """Bytes of a frame."""
    return len(data.encode("utf-8", "replace")) if isinstance(data, str) else len(data)


async def clean_message(message: KernelMessage, data: Data) -> Data:
    """The frame that goes on; ``data`` is the one ``message`` was read from. Raises UnreadableAnswerError."""
    if not _may_hold_markup(data):
        return data
    try:
        return _cleaned(message) if len(data) < _IN_A_THREAD else await asyncio.to_thread(_cleaned, message)
    except (RecursionError, ValueError, TypeError) as error:
        raise UnreadableAnswerError from error


def _may_hold_markup(data: Data) -> bool:
    """A MIME type needs a slash, written plainly or as an escape."""
    if isinstance(data, str):
        return "/" in data or "\\" in data
    return b"/" in data or b"\\" in data


def _cleaned(message: KernelMessage) -> Data:
    return encode_frame(message.with_content(clean_tree(message.content)))


def _look_at(body: bytes) -> tuple[bytes, Volume]:
    try:
        model: Any = orjson.loads(body)
        return orjson.dumps(clean_contents(model)), measure_contents(model, len(body))
    except (ValueError, RecursionError, TypeError) as error:
        raise UnreadableAnswerError from error
