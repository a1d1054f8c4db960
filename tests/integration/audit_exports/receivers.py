"""Receivers as a hospital has them: an HTTP endpoint that misbehaves on command, a TLS syslog server, a CA."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = tuple[int, bytes]


class HttpReceiver:
    """Answers as ``script`` says, one entry per request, then as ``judge`` says.

    ``"hang"`` holds until released, ``"drip"`` sends a byte at a time.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.script: list[int | str] = []
        self.judge: Callable[[dict[str, str], bytes], Answer] = lambda headers, body: (200, b"")
        self.taken: list[bytes] = []
        self.requests = 0
        self.released = threading.Event()
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # the sender was killed in the middle
                    return
                if receiver.script and receiver.script[0] == "drip":
                    receiver.script.pop(0)
                    receiver.requests += 1
                    self.drip()
                    return
                status, answer = receiver.answer(dict(self.headers), body)
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def drip(self) -> None:
                """One byte now and then, each well within any time limit for one read."""
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not receiver.released.wait(0.05):
                        self.wfile.write(b"x")

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:  # clients that give up are part of the test
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.scheme = "http" if context is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self._server.server_address[1]}/in"

    def answer(self, headers: dict[str, str], body: bytes) -> Answer:
        with self._lock:
            self.requests += 1
            step = self.script.pop(0) if self.script else None
        if step == "hang":
            self.released.wait(60)
            return 503, b""
        if isinstance(step, int) and step != 200:
            return step, b""
        status, answer = self.judge(headers, body)
        if 200 <= status < 300:
            with self._lock:
                self.taken.append(body)
        return status, answer

    def events(self) -> list[dict[str, Any]]:
        """Every OCSF event taken, in order."""
        with self._lock:
            return [event for body in self.taken for event in json.loads(body)]

    def found(self) -> dict[int, str]:
        """Index → leaf hash of what was taken."""
        return {event["metadata"]["sequence"]: event["metadata"]["uid"] for event in self.events()}

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join(60)
        self._server.server_close()


class Authority:
    """A CA that issues certificates for 127.0.0.1."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        self._certificate = self._build(self._name, self._key.public_key(), ca=True)
        self.ca = home / "ca.pem"
        self.ca.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, address: str = "127.0.0.1") -> tuple[Path, Path]:
        """Certificate and key files."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(subject, key.public_key(), ca=False, address=address)
        files = self.home / f"{name}.pem", self.home / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        pkcs8 = serialization.PrivateFormat.PKCS8
        files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
        return files

    def server_context(self, *, client_certificates: bool = False, address: str = "127.0.0.1") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue("server", address))
        if client_certificates:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context

    def _build(self, subject: x509.Name, public: Any, *, ca: bool, address: str = "127.0.0.1") -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        key_usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(key_usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if not ca:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


class SyslogReceiver:
    """A TLS server that keeps what it reads; ``cut_after`` bytes of a connection it hangs up without a word."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received: list[bytearray] = []
        self.failures: list[str] = []
        self.cut_after: list[int] = []
        self.reading = threading.Event()
        self.reading.set()
        self._closing = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"syslog+tls://127.0.0.1:{self.port}"

    def frames(self) -> list[bytes]:
        """Whole frames of all connections; the rest of a cut connection is dropped, as a receiver does."""
        found = []
        for raw in map(bytes, list(self.received)):
            at = 0
            while (space := raw.find(b" ", at)) > 0:
                end = space + 1 + int(raw[at:space])
                if end > len(raw):
                    break
                found.append(raw[space + 1 : end])
                at = end
        return found

    def close(self) -> None:
        self._closing = True
        self.reading.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        self._thread.join(60)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing:
            plain, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(60)
        try:
            with self._context.wrap_socket(plain, server_side=True) as connection:
                self.received.append(bytearray())
                place, cut = len(self.received) - 1, self.cut_after.pop(0) if self.cut_after else None
                self.reading.wait(60)
                while data := connection.recv(65536):
                    self.received[place] += data
                    if cut is not None and len(self.received[place]) > cut:
                        return
        except (OSError, ssl.SSLError) as error:
            self.failures.append(type(error).__name__)
        finally:
            plain.close()
