"""RFC 5425 against a real TLS server: certificates, frames, connections that break, receivers that stop reading."""

import socket
import ssl
import sys
from pathlib import Path

import pytest
from exporter import hashes, leaf, made_log, wait_until
from receivers import Authority, SyslogReceiver

from audit.exports.sinks.tls import TlsFiles, client_context

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "audit_exports"))
from rfc5424 import read_message


@pytest.fixture
def siem(authority):
    server = SyslogReceiver(authority.server_context())
    yield server
    server.close()


def target(siem, authority, **settings):
    facts = {"name": "siem", "format": "syslog", "to": siem.url, "ca_file": str(authority.ca), "batch": 20}
    return {**facts, **settings}


def found(siem):
    """Index → leaf hash of the whole frames read."""
    parameters = [dict(read_message(frame).data["enclave@32473"]) for frame in siem.frames()]
    return {int(one["index"]): one["leafHash"] for one in parameters}


def test_every_record_arrives_as_a_frame(tmp_path, exporter, siem, authority):
    made_log(tmp_path / "log", [leaf(number) for number in range(120)])
    exporter.configure(tmp_path / "log", target(siem, authority)).start()
    exporter.wait_exported("siem", tmp_path / "log")
    wait_until(lambda: found(siem) == hashes(tmp_path / "log"), "all frames read")
    assert exporter.stop() == 0
    assert siem.failures == []  # close_notify was sent


def test_a_server_of_another_authority_is_refused(tmp_path, exporter, siem):
    made_log(tmp_path / "log", [leaf(0)])
    (tmp_path / "other").mkdir()
    exporter.configure(tmp_path / "log", target(siem, Authority(tmp_path / "other"))).start()
    wait_until(lambda: "certificate was not accepted" in exporter.status("siem").get("problem", ""), "refused")
    assert (siem.frames(), exporter.cursor("siem")) == ([], 0)


def test_a_certificate_for_another_host_is_refused(tmp_path, exporter, authority):
    made_log(tmp_path / "log", [leaf(0)])
    server = SyslogReceiver(authority.server_context(address="127.0.0.2"))
    try:
        exporter.configure(tmp_path / "log", target(server, authority)).start()
        wait_until(lambda: "IP address mismatch" in exporter.status("siem").get("problem", ""), "refused")
        assert (server.frames(), exporter.cursor("siem")) == ([], 0)
    finally:
        server.close()


def test_a_client_certificate_is_shown_when_asked_for(tmp_path, exporter, authority):
    made_log(tmp_path / "log", [leaf(number) for number in range(30)])
    server = SyslogReceiver(authority.server_context(client_certificates=True))
    try:
        exporter.configure(tmp_path / "log", target(server, authority)).start()
        wait_until(lambda: len(server.failures) >= 2, "refused without certificate")
        assert server.frames() == []
        exporter.kill()
        certificate, key = authority.issue("exporter")
        own = {"client_certificate": str(certificate), "client_key": str(key)}
        exporter.configure(tmp_path / "log", target(server, authority, **own)).start()
        wait_until(lambda: found(server) == hashes(tmp_path / "log"), "all frames read")
    finally:
        server.close()


def test_old_tls_is_not_spoken(authority):
    assert client_context(TlsFiles(authority.ca)).minimum_version is ssl.TLSVersion.TLSv1_2
    assert client_context(TlsFiles(authority.ca)).verify_mode is ssl.CERT_REQUIRED


def test_broken_connections_leave_no_gap(tmp_path, exporter, siem, authority):
    made_log(tmp_path / "log", [leaf(number) for number in range(300)])
    siem.cut_after = [9_000, 40_000, 70_000]
    exporter.configure(tmp_path / "log", target(siem, authority, resend=300)).start()
    wait_until(lambda: set(found(siem)) == set(hashes(tmp_path / "log")), "all frames read")
    assert len(siem.received) >= 4
    assert found(siem) == hashes(tmp_path / "log")


def test_kill_9_resends_the_last_window(tmp_path, exporter, siem, authority):
    made_log(tmp_path / "log", [leaf(number) for number in range(200)])
    exporter.configure(tmp_path / "log", target(siem, authority, batch=5, resend=50))
    exporter.start()
    wait_until(lambda: exporter.cursor("siem") >= 60, "on its way")
    exporter.kill()
    reached = exporter.cursor("siem")
    exporter.start()
    wait_until(lambda: found(siem) == hashes(tmp_path / "log"), "all frames read")
    again = bytes(siem.received[-1])
    first = dict(read_message(again.split(b" ", 1)[1][: int(again.split(b" ", 1)[0])]).data["enclave@32473"])
    assert int(first["index"]) == max(0, reached - 50)


def test_a_receiver_that_stops_reading_only_delays(tmp_path, exporter, siem, authority):
    siem.reading.clear()
    # more than the buffers of both kernels take
    made_log(tmp_path / "log", [leaf(number, data={"note": "x" * 6000}) for number in range(2000)])
    settings = {"timeout_seconds": 1, "batch": 200, "resend": 2000}
    exporter.configure(tmp_path / "log", target(siem, authority, **settings)).start()
    wait_until(lambda: "did not answer in time" in exporter.status("siem").get("problem", ""), "it says so")
    assert exporter.cursor("siem") < 2000
    siem.reading.set()
    wait_until(lambda: set(found(siem)) == set(range(2000)), "resumed")


def test_a_server_that_is_no_tls_server(tmp_path, exporter, authority):
    made_log(tmp_path / "log", [leaf(0)])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = {"to": f"syslog+tls://127.0.0.1:{silent.getsockname()[1]}", "timeout_seconds": 0.5}
        facts = {"name": "siem", "format": "syslog", "ca_file": str(authority.ca), **address}
        exporter.configure(tmp_path / "log", facts).start()
        wait_until(lambda: "did not answer in time" in exporter.status("siem").get("problem", ""), "it says so")
    assert exporter.cursor("siem") == 0
