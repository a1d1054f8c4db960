"""JupyterLab's files, without following a link: the server opens nothing outside of the home.

A kernel may plant links in the home at any time; what the server follows would be the *server's* ``/proc/self`` and
``/run/kernels``. So every path is resolved by ``openat2`` below the home, and reading and writing go through the
descriptors it gives: there is no moment between looking and opening. A link is refused with a sentence, whatever it
points to; in a kernel, links work as ever.
"""

from __future__ import annotations

import base64
import errno
import os
import secrets
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path

from jupyter_server.services.contents.filecheckpoints import FileCheckpoints
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from tornado.web import HTTPError

from enclave_jupyter.beneath import open_beneath

REFUSAL = (
    "Expected a file in your home, found a link (or something below one). "
    "JupyterLab follows no links; open it from a notebook, or copy the file here."
)
ANOTHER_DISK = (
    "Files cannot be moved between your home and the shared folder, which is a disk of its own. "
    "Copy the file there, then delete it here."
)


class WithoutLinks:
    """Mixed into Jupyter's file classes; ``root_dir`` is theirs."""

    def _home(self):
        return os.open(self.root_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def _open(self, os_path, flags, mode=0o644):
        """A descriptor of an absolute path below the home; HTTPError 403 when a part of it is a link."""
        name = os.path.relpath(os_path, self.root_dir)
        home = self._home()
        try:
            found = open_beneath(home, name, flags, mode if flags & os.O_CREAT else 0)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EXDEV):
                raise HTTPError(403, REFUSAL) from None
            raise
        finally:
            os.close(home)
        if stat.S_ISLNK(os.fstat(found).st_mode):  # O_PATH gives a link itself (openat2(2), RESOLVE_NO_SYMLINKS)
            os.close(found)
            raise HTTPError(403, REFUSAL)
        return found

    def _parent(self, os_path):
        return self._open(Path(os_path).parent, os.O_PATH | os.O_DIRECTORY)

    def _get_os_path(self, path):
        """As Jupyter's, and no part of what exists is a link."""
        os_path = super()._get_os_path(path)
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            os.close(self._open(os_path, os.O_PATH))
        return os_path

    @contextmanager
    def open(self, os_path, mode="r", **options):
        """For reading; what is opened is what was checked."""
        with (
            self.perm_to_403(os_path),
            os.fdopen(self._open(os_path, os.O_RDONLY | os.O_NONBLOCK), mode, **options) as f,
        ):
            yield f

    @contextmanager
    def atomic_writing(self, os_path, text=True, encoding="utf-8", **_):
        """The old file or the new one, never half: a temporary file in the same folder, then a rename in it."""
        with self.perm_to_403(os_path):
            parent = self._parent(os_path)
            name = Path(os_path).name
            temporary = f".~{secrets.token_hex(6)}"
            try:
                made = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parent)
                kind = {"mode": "w", "encoding": encoding, "newline": "\n"} if text else {"mode": "wb"}
                with os.fdopen(made, **kind) as file:
                    with suppress(FileNotFoundError):
                        os.fchmod(made, os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode & 0o777)
                    yield file
                    file.flush()
                    os.fsync(made)
                os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=parent)
                raise
            finally:
                os.close(parent)

    def _copy(self, src, dest):
        with (
            os.fdopen(self._open(src, os.O_RDONLY | os.O_NONBLOCK), "rb") as given,
            self.atomic_writing(dest, text=False) as file,
        ):
            shutil.copyfileobj(given, file)


class HomeCheckpoints(WithoutLinks, FileCheckpoints):
    """Checkpoints of notebooks, below the home as well."""


class HomeContents(WithoutLinks, LargeFileManager):
    """See the module."""

    def _checkpoints_class_default(self):
        return HomeCheckpoints

    def _dir_model(self, path, content=True):
        """Links are left out of the list."""
        model = super()._dir_model(path, content=False)
        if not content:
            return model
        model["content"], model["format"] = [], "json"
        for name in self._listed(path):
            with suppress(HTTPError, OSError):  # it has gone, or become a link, since
                model["content"].append(self.get(f"{path}/{name}", content=False))
        return model

    def _listed(self, path):
        folder = self._open(self._get_os_path(path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(folder) as entries:
                shown = [e for e in entries if e.is_dir(follow_symlinks=False) or e.is_file(follow_symlinks=False)]
                return [e.name for e in shown if self.should_list(e.name) and not e.name.startswith(".")]
        finally:
            os.close(folder)

    def _save_large_file(self, os_path, content, format):
        """A later part of an upload."""
        data = content.encode() if format == "text" else base64.b64decode(content.encode("ascii"))
        with self.perm_to_403(os_path), os.fdopen(self._open(os_path, os.O_WRONLY | os.O_APPEND), "ab") as file:
            file.write(data)

    def rename_file(self, old_path, new_path):
        """Within the home and nowhere else: a rename below two open folders, never a copy."""
        old, new = self._get_os_path(old_path.strip("/")), self._get_os_path(new_path.strip("/"))
        if old == new:
            return
        if os.path.lexists(new):
            raise HTTPError(409, f"File already exists: {new_path}")
        source, target = self._parent(old), self._parent(new)
        try:
            with self.perm_to_403(old):
                os.rename(Path(old).name, Path(new).name, src_dir_fd=source, dst_dir_fd=target)
        except FileNotFoundError:
            raise HTTPError(404, f"File or directory does not exist: {old_path}") from None
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise HTTPError(400, ANOTHER_DISK) from None
            raise
        finally:
            os.close(source)
            os.close(target)
