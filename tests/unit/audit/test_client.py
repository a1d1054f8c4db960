"""What a client does between sending a record and its receipt."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent
from audit.wire import frame_body, take_messages

EVENT = AuditEvent(type="query:intent", actor="u-000000000001")
RECEIPT = b'{"ok":true,"index":0,"leaf_hash":"00","checkpoint":"x"}'


class Log:
    """Answers ``answers`` records per connection, each only when ``may_answer`` is set."""

    def __init__(self, path: Path, *answers: int) -> None:
        self.may_answer = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, args=(answers,))
        self._thread.start()

    def _serve(self, answers: tuple[int, ...]) -> None:
        for number in answers:
            peer, _ = self._listener.accept()
            with peer:
                for _ in range(number):
                    received = bytearray()
                    while not take_messages(received):
                        received += peer.recv(65_536)
                    assert self.may_answer.wait(60)
                    peer.sendall(frame_body(RECEIPT))
        self._listener.close()

    def end(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()


def test_something_else_is_done_while_the_log_writes(tmp_path: Path) -> None:
    log = Log(tmp_path / "s", 1)
    client = AuditClient(tmp_path / "s", "test")
    assert client.record(EVENT, meanwhile=log.may_answer.set).index == 0
    client.close()
    log.end()


def test_it_is_done_once_when_the_record_is_sent_again(tmp_path: Path) -> None:
    log = Log(tmp_path / "s", 1, 1)
    log.may_answer.set()
    client, done = AuditClient(tmp_path / "s", "test"), []
    client.record(EVENT)  # the connection kept from here is dead afterwards
    client.record(EVENT, meanwhile=lambda: done.append(1))
    assert done == [1]
    client.close()
    log.end()


def test_it_is_not_done_when_nothing_can_be_sent(tmp_path: Path) -> None:
    done: list[int] = []
    with pytest.raises(AuditUnavailable):
        AuditClient(tmp_path / "nobody", "test").record(EVENT, timeout=0.1, meanwhile=lambda: done.append(1))
    assert done == []


def test_a_record_on_its_way_is_waited_for_later(tmp_path: Path) -> None:
    log = Log(tmp_path / "s", 1)
    client = AuditClient(tmp_path / "s", "test")
    pending = client.send(EVENT)
    assert pending.is_sent
    assert not pending.is_answered()
    log.may_answer.set()
    assert pending.wait().index == 0
    client.close()
    log.end()


def test_it_is_sent_again_when_its_connection_ends_before_the_receipt(tmp_path: Path) -> None:
    log = Log(tmp_path / "s", 0, 1)  # the first connection ends unanswered
    log.may_answer.set()
    client = AuditClient(tmp_path / "s", "test")
    assert client.send(EVENT).wait(60).index == 0
    client.close()
    log.end()


def test_a_log_that_is_away_is_heard_of_when_the_receipt_is_waited_for(tmp_path: Path) -> None:
    pending = AuditClient(tmp_path / "nobody", "test").send(EVENT)
    assert not pending.is_sent
    with pytest.raises(AuditUnavailable):
        pending.wait(0.1)
