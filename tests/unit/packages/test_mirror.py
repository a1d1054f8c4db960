"""Where a fetch may go: addresses by table, names resolved once and judged, and what a hostile pip asks the way out."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enclave.packages import mirror as mirrors
from enclave.packages.mirror import Mirror, MirrorError, Place, find_mirror, find_objection
from enclave.packages.way_out import SOCKET, WayOut
from enclave.settings import Settings

ADDRESSES = [
    ("10.20.0.5", "", ""),
    ("192.168.7.1", "", ""),
    ("fd12:3456::7", "", ""),
    ("9.9.9.9", "", ""),
    ("127.0.0.1", "this machine", ""),
    ("127.8.9.1", "this machine", ""),
    ("::1", "this machine", ""),
    ("::ffff:127.0.0.1", "this machine", ""),
    ("64:ff9b::7f00:1", "this machine", ""),
    ("2002:7f00:1::", "this machine", ""),
    ("::127.0.0.1", "this machine", ""),
    ("169.254.7.7", "the link", ""),
    ("fe80::1", "the link", ""),
    ("fe80::1%eth0", "the link", ""),
    ("::ffff:169.254.7.7", "the link", ""),
    ("169.254.169.254", "a metadata service", "a metadata service"),
    ("::ffff:169.254.169.254", "a metadata service", "a metadata service"),
    ("fd00:ec2::254", "a metadata service", "a metadata service"),
    ("100.100.100.200", "a metadata service", "a metadata service"),
    ("168.63.129.16", "a metadata service", "a metadata service"),
    ("0.0.0.0", "no single machine", "no single machine"),
    ("::", "no single machine", "no single machine"),
    ("224.0.0.1", "no single machine", "no single machine"),
    ("255.255.255.255", "no single machine", "no single machine"),
    ("mirror.example.org", "no address", "no address"),
]


@pytest.mark.parametrize(("address", "found_by_name", "written"), ADDRESSES)
def test_who_may_be_asked(address: str, found_by_name: str, written: str) -> None:
    assert find_objection(address) == found_by_name
    assert find_objection(address, is_written=True) == written


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The machine's name service; ``asked``: what it was asked for."""
    known: dict[str, list[str]] = {"asked": []}

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        known["asked"].append(host)
        if host not in known:
            raise OSError("no such name")
        return [(0, 0, 0, "", (address, port)) for address in known[host]]

    monkeypatch.setattr(mirrors.socket, "getaddrinfo", look_up)
    return known


def settings_for(url: str, *also: str) -> Settings:
    return Settings(package_mirror=url, package_mirror_also=also)


def test_names_are_resolved_once(names: dict[str, list[str]]) -> None:
    names |= {"mirror.example.org": ["10.20.0.6", "10.20.0.5"], "files.example.org": ["10.20.0.7"]}
    found = find_mirror(settings_for("https://Mirror.example.org./simple", "files.example.org:8443"))
    assert found.places == (
        Place("mirror.example.org", 443, ("10.20.0.5", "10.20.0.6")),
        Place("files.example.org", 8443, ("10.20.0.7",)),
    )
    assert names["asked"] == ["mirror.example.org", "files.example.org"]
    assert found.find("mirror.example.org", 443) and not found.find("mirror.example.org", 8443)


@pytest.mark.parametrize("bad", ["127.0.0.1", "::1", "169.254.169.254", "169.254.1.1", "0.0.0.0", "fd00:ec2::254"])
def test_a_name_that_leads_to_this_machine_is_refused(names: dict[str, list[str]], bad: str) -> None:
    names |= {"mirror.example.org": ["10.20.0.5", bad], "files.example.org": [bad], "good.example.org": ["10.20.0.5"]}
    with pytest.raises(MirrorError, match="lead to another machine"):
        find_mirror(settings_for("https://mirror.example.org/simple"))
    with pytest.raises(MirrorError, match="lead to another machine"):
        find_mirror(settings_for("https://good.example.org/simple", "files.example.org"))


def test_a_name_that_leads_to_an_address_of_our_own_is_refused(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the hospital's network this machine has an address like any other's."""
    names |= {"mirror.example.org": ["10.20.0.5"], "127.0.0.1": ["127.0.0.1"]}
    assert mirrors._is_own("127.0.0.1", 443) and mirrors._is_own("::1", 443) and not mirrors._is_own("10.20.0.5", 443)
    monkeypatch.setattr(mirrors, "_is_own", lambda address, port: True)
    with pytest.raises(MirrorError, match="lead to another machine"):
        find_mirror(settings_for("https://mirror.example.org/simple"))
    assert find_mirror(settings_for("https://127.0.0.1/simple")).places, "it is written in the settings"


@pytest.mark.parametrize(
    "also", ["https://files.example.org", "files.example.org/x", "a b", "", "u:p@files", "x:99999999"]
)
def test_further_servers_are_names(names: dict[str, list[str]], also: str) -> None:
    names |= {"good.example.org": ["10.20.0.5"]}
    with pytest.raises(MirrorError, match="package_mirror_also"):
        find_mirror(settings_for("https://good.example.org/simple", also))


class Server:
    """Answers every connection with ``hello``, and keeps what it was told."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.told: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                with connection:
                    self.told.append(connection.recv(65_536))
                    connection.sendall(b"hello")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


@pytest.fixture
def other() -> Iterator[Server]:
    """Something of the machine's that the mirror would like to reach."""
    found = Server()
    yield found
    assert found.told == [], "nobody came"
    found.close()


@pytest.fixture
def refused() -> list[str]:
    return []


@pytest.fixture
def way(tmp_path: Path, server: Server, refused: list[str]) -> Iterator[Path]:
    """Its socket. The mirror is plain at 127.0.0.1, and known under a name for tunnels."""
    places = (
        Place("127.0.0.1", server.port, ("127.0.0.1",), is_plain=True),
        Place("mirror.example.org", 443, ("127.0.0.1",)),
        Place("files.example.org", server.port, ("127.0.0.1",)),
    )
    with WayOut(tmp_path, Mirror("", places), refused.append):
        yield tmp_path / SOCKET


def ask(way: Path, request: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(60)
        asking.connect(str(way))
        asking.sendall(request.encode().replace(b"\n", b"\r\n"))
        answer = b""
        while chunk := asking.recv(65_536):
            answer += chunk
            if answer.endswith(b"established\r\n\r\n"):
                asking.sendall(b"through the tunnel")
    return answer


def test_the_mirror_is_asked_as_a_server_is(way: Path, server: Server, refused: list[str]) -> None:
    place = f"127.0.0.1:{server.port}"
    request = f"GET http://{place}/simple/toy/?a=b HTTP/1.1\nHost: {place}\nProxy-Connection: keep-alive\nX: y\n\n"
    assert ask(way, request) == b"hello"
    (told,) = server.told
    assert told.decode().split("\r\n") == [
        "GET /simple/toy/?a=b HTTP/1.1",
        f"Host: {place}",
        "X: y",
        "Connection: close",
        "",
        "",
    ]
    assert refused == []


def test_a_tunnel_leads_to_a_place_by_its_name(way: Path, server: Server, refused: list[str]) -> None:
    answer = ask(way, f"CONNECT FILES.example.org:{server.port} HTTP/1.1\nHost: x\n\n")
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"hello")
    assert server.told == [b"through the tunnel"] and refused == []


ELSEWHERE = [
    ("GET http://127.0.0.1:{other}/ HTTP/1.1\n\n", "127.0.0.1:{other}"),
    ("GET http://localhost:{server}/ HTTP/1.1\n\n", "localhost:{server}"),
    ("GET http://169.254.169.254/latest/meta-data/ HTTP/1.1\n\n", "169.254.169.254:80"),
    ("GET http://[::1]:{other}/ HTTP/1.1\n\n", "::1:{other}"),
    ("GET http://2130706433:{other}/ HTTP/1.1\n\n", "2130706433:{other}"),
    ("GET http://mirror.example.org:443/ HTTP/1.1\n\n", "mirror.example.org:443"),
    ("GET http://me@127.0.0.1:{server}/ HTTP/1.1\n\n", "127.0.0.1:{server}"),
    ("GET /simple HTTP/1.1\nHost: 127.0.0.1:{other}\n\n", "something that is no address"),
    ("POST http://127.0.0.1:{server}/ HTTP/1.1\n\n", "127.0.0.1:{server}"),
    ("CONNECT 127.0.0.1:{other} HTTP/1.1\n\n", "127.0.0.1:{other}"),
    ("CONNECT mirror.example.org:{other} HTTP/1.1\n\n", "mirror.example.org:{other}"),
    ("CONNECT mirror.example.org.evil.example:443 HTTP/1.1\n\n", "mirror.example.org.evil.example:443"),
    ("CONNECT 0.0.0.0:{server} HTTP/1.1\n\n", "0.0.0.0:{server}"),
    ("CONNECT metadata.google.internal:80 HTTP/1.1\n\n", "metadata.google.internal:80"),
    ("CONNECT <script>:443 HTTP/1.1\n\n", "something that is no address"),
    ("CONNECT x:notaport HTTP/1.1\n\n", "something that is no address"),
    ("GET file:///etc/passwd HTTP/1.1\n\n", "something that is no address"),
    ("\n\n", "something that is no address"),
]


@pytest.mark.parametrize(("request_text", "said"), ELSEWHERE)
def test_whatever_else_is_asked_for(
    way: Path, server: Server, other: Server, refused: list[str], request_text: str, said: str
) -> None:
    numbers = {"{other}": str(other.port), "{server}": str(server.port)}
    for gap, number in numbers.items():
        request_text, said = request_text.replace(gap, number), said.replace(gap, number)
    assert ask(way, request_text).startswith(b"HTTP/1.1 403 ")
    assert refused == [said], "told once, before the answer"
    assert server.told == []


def test_a_second_request_on_a_connection_reaches_the_mirror_alone(way: Path, server: Server, other: Server) -> None:
    """What follows goes where the first one went."""
    first = f"GET http://127.0.0.1:{server.port}/ HTTP/1.1\n\n"
    assert ask(way, f"{first}GET http://127.0.0.1:{other.port}/ HTTP/1.1\n\n") == b"hello"


def test_a_head_without_end_is_dropped(way: Path, server: Server) -> None:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(60)
        asking.connect(str(way))
        with contextlib.suppress(OSError):
            while True:
                asking.sendall(b"A" * 4096)
    assert server.told == []
