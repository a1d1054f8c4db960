"""PNG and JPEG as pixels: what a viewer shows of a picture, and nothing else that its file carries.

Decoded by Pillow, whose decoders are C: call this in the sandbox (``egress_review.parsing``), never in the portal. The
number of pixels is looked at before the first is decoded, so a bomb does not go off. Non-goals: SVG, animations (a
first picture is all that is shown), colour profiles.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from egress_review.domain.sentences import Sentence
from egress_review.sdc.tables import UnreadableError

PIXELS = 20_000_000
"""A page of A3 at 300 dots per inch has 17 million."""
_FORMATS = ("PNG", "JPEG")
_CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
_UPPER_BYTES = {
    "I;16": slice(1, None, 2),
    "I;16L": slice(1, None, 2),
    "I;16B": slice(0, None, 2),
    "I": slice(1, None, 4),
}
"""Of grey in 16 bits, which a screen shows in 8; Pillow's own conversion cuts bright ones off."""


@dataclass(frozen=True)
class Pixels:
    """Rows from the top, 8 bits a channel: 1 (grey), 3 (RGB) or 4 (with opacity) channels."""

    width: int
    height: int
    channels: int
    rows: bytes | memoryview


def read_pixels(content: bytes) -> Pixels:
    """Raises UnreadableError for what is broken, cut off or too large."""
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = None  # counted here, by one limit
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(content), formats=_FORMATS)
            if picture.width * picture.height > PIXELS:
                raise UnreadableError(
                    Sentence("The picture has more than %(limit)s pixels, so it is not shown. Save it with fewer.",
                             limit=PIXELS)
                )  # fmt: skip
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            if upright.mode in _UPPER_BYTES:
                return Pixels(upright.width, upright.height, 1, upright.tobytes()[_UPPER_BYTES[upright.mode]])
            shown = upright.convert(_mode_of(upright.mode, "transparency" in picture.info))
            return Pixels(shown.width, shown.height, _CHANNELS[shown.mode], shown.tobytes())
    except (UnreadableError, MemoryError):
        raise
    # A decoder raises whatever it likes about hostile bytes; each means that nobody can say what the picture shows.
    except Exception as error:
        raise UnreadableError(Sentence("The picture is broken or cut off, so it cannot be checked.")) from error


def _mode_of(mode: str, is_transparent: bool) -> str:
    if is_transparent or mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        return "RGBA"
    return "L" if mode in ("1", "L") else "RGB"
