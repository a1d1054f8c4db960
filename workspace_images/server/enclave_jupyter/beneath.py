"""``openat2(2)``: open a path below a folder so that no part of it can be a link or climb out (Linux ≥ 5.6).

The same few lines as ``egress_review/openat2.py``, which cannot be imported here: a workspace holds none of our code.
"""

from __future__ import annotations

import ctypes
import os

_NUMBER = 437  # the same on every architecture that got it
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(folder: int, name: str, flags: int, mode: int = 0) -> int:
    """A descriptor of ``name`` below the open ``folder``. Raises OSError: ELOOP at a link, EXDEV outside."""
    how = _OpenHow(flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    found = _libc.syscall(
        ctypes.c_long(_NUMBER),
        ctypes.c_int(folder),
        ctypes.c_char_p(os.fsencode(name)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return found
