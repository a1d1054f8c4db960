"""A time-stamping authority made of ``openssl ts`` and a root of its own, served over HTTP on loopback."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

CONFIG = """
[req]
distinguished_name = dn
[dn]
[root]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
[stamping]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = authority
[authority]
serial = {home}/serial
signer_cert = {home}/tsa.pem
signer_key = {home}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def openssl(*words: str) -> bytes:
    """Run openssl; fail the test when it fails."""
    done = subprocess.run(["openssl", *words], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class RunningAuthority:
    """``root``: PEM file of its root; ``url``: where it answers once started."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
        self.root = self.home / "root.pem"
        self._config = self.home / "openssl.cnf"
        self._config.write_text(CONFIG.format(home=self.home))
        (self.home / "serial").write_text("01\n")
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", str(self._config))
        self._x509("req", "-x509", *key, "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=Test root",
                   "-days", "2", "-extensions", "root")  # fmt: skip
        self._x509("req", *key, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Test authority")
        self._x509("x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key",
                   "-CAcreateserial", "-out", "tsa.pem", "-days", "2",
                   "-extfile", str(self._config), "-extensions", "stamping")  # fmt: skip
        self._lock = threading.Lock()
        self._server: http.server.ThreadingHTTPServer | None = None
        self.requests = 0

    def _x509(self, *words: str) -> None:
        files = {"root.key", "root.pem", "tsa.key", "tsa.csr", "tsa.pem"}
        openssl(*(str(self.home / word) if word in files else word for word in words))

    def reply(self, query: bytes) -> bytes:
        """The answer to a request."""
        with self._lock:
            self.requests += 1
            asked, answered = self.home / "q.tsq", self.home / "a.tsr"
            asked.write_bytes(query)
            openssl("ts", "-reply", "-config", str(self._config), "-queryfile", str(asked), "-out", str(answered))
            return answered.read_bytes()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}/tsa"

    def start(self) -> RunningAuthority:
        authority = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.headers["Content-Type"] == "application/timestamp-query"
                body = authority.reply(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,)).start()
        return self

    def remove(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        shutil.rmtree(self.home)
