"""A package mirror for tests: a simple index (PEP 503) on loopback, over the test's own wheels, hostile ones too."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def recorded(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def wheel(
    name: str,
    version: str,
    files: Mapping[str, bytes],
    requires: tuple[str, ...] = (),
    *,
    links: Mapping[str, str] | None = None,
    unlisted: Mapping[str, bytes] | None = None,
    record: bytes = b"",
) -> tuple[str, bytes]:
    """File name and bytes. ``links``: members that are symbolic links; ``unlisted``: files whose hash is not listed;
    ``record``: further lines of the list."""
    info = f"{name}-{version}.dist-info"
    lines = "".join(f"Requires-Dist: {one}\n" for one in requires)
    members = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    listed = "".join(f"{path},{recorded(content)},{len(content)}\n" for path, content in members.items())
    members |= {**(unlisted or {}), f"{info}/RECORD": f"{listed}{info}/RECORD,,\n".encode() + record}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in members.items():
            archive.writestr(path, content)
        for path, target in (links or {}).items():
            link = zipfile.ZipInfo(path)
            link.external_attr = 0o120777 << 16
            archive.writestr(link, target)
    return f"{name}-{version}-py3-none-any.whl", made.getvalue()


@dataclass
class UnsafeMirror:
    """Serves ``files`` (project → file name → bytes); a project in ``lies`` is listed with a wrong hash.

    A project in ``elsewhere`` is listed with its files at that address; a path in ``redirects`` answers 302.
    """

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    lies: set[str] = field(default_factory=set)
    elsewhere: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, name: str, made: tuple[str, bytes]) -> None:
        self.files.setdefault(name, {})[made[0]] = made[1]

    def answer(self, path: str) -> bytes | None:
        self.asked.append(path)
        kind, _, rest = path.strip("/").partition("/")
        if kind == "simple" and rest in self.files:
            return "".join(
                f'<a href="{self.elsewhere.get(rest, "")}/files/{rest}/{n}#sha256={self._hash(rest, n)}">{n}</a>'
                for n in self.files[rest]
            ).encode()
        project, _, file = rest.partition("/")
        return self.files.get(project, {}).get(file) if kind == "files" else None

    def _hash(self, project: str, file: str) -> str:
        return "0" * 64 if project in self.lies else hashlib.sha256(self.files[project][file]).hexdigest()


@contextmanager
def serving(mirror: UnsafeMirror) -> Iterator[UnsafeMirror]:
    """On a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path in mirror.redirects:
                mirror.asked.append(self.path)
                self.send_response(302)
                self.send_header("Location", mirror.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = mirror.answer(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "text/html" if self.path.startswith("/simple") else "application/zip")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    mirror.url = f"http://127.0.0.1:{server.server_address[1]}/simple"
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
