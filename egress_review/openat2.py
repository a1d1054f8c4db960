"""``openat2(2)`` through ctypes: open a path below a folder so that no part of it can be a link or climb out.

Python has no wrapper for it. The kernel resolves the whole path under the flags, so there is no moment between looking
and opening at which a researcher could put a link in the way (Linux ≥ 5.6).
"""

from __future__ import annotations

import ctypes
import os

_NUMBER = 437  # the same on every architecture that got it (include/uapi/asm-generic/unistd.h)
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(folder: int, name: str, flags: int, *, same_device: bool = False) -> int:
    """A descriptor of ``name`` below the open ``folder``; the caller closes it.

    Raises OSError: ELOOP where a part of the path is a link, EXDEV where it leaves the folder (``..``, absolute).
    """
    resolve = _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS | (_NO_XDEV if same_device else 0)
    how = _OpenHow(flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0, resolve)
    path = os.fsencode(name)
    found: int = _libc.syscall(
        ctypes.c_long(_NUMBER),
        ctypes.c_int(folder),
        ctypes.c_char_p(path),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found
