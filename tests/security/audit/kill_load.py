"""A client process under load: several threads record until standard input ends; each receipt is a line of output."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time

from audit.client import AuditClient, AuditUnavailable
from audit.event import AuditEvent

PAUSE_SECONDS = 0.012
TIMEOUT_SECONDS = 60


class Writer(threading.Thread):
    """One writer; ``failure`` says why it stopped early."""

    def __init__(self, socket: str, name: str, going: threading.Event) -> None:
        super().__init__(name=name)
        self._client = AuditClient(socket, name)
        self._going = going
        self.failure = ""

    def run(self) -> None:
        chance = random.Random(self.name)
        count = 0
        while self._going.is_set():
            self._record(f"{self.name}-{count}", count)
            count += 1
            time.sleep(chance.random() * PAUSE_SECONDS)
        self._client.close()

    def _record(self, name: str, count: int) -> None:
        payload = {"name": name} if count % 7 == 0 else None
        event = AuditEvent(
            "query:intent", "u-1", f"p-{count % 3}", request_id=name, counts={"n": count}, payload=payload
        )
        try:
            receipt = self._client.record(event, timeout=TIMEOUT_SECONDS)
        except AuditUnavailable as error:
            self.failure = str(error)
            self._going.clear()
            return
        line = json.dumps([name, receipt.index, receipt.leaf_hash, receipt.checkpoint]) + "\n"
        os.write(sys.stdout.fileno(), line.encode())


def main(socket: str, name: str, threads: int) -> int:
    """Record until standard input ends; return 1 when a record got no receipt."""
    going = threading.Event()
    going.set()
    writers = [Writer(socket, f"{name}-{number}", going) for number in range(threads)]
    for writer in writers:
        writer.start()
    sys.stdin.read()
    going.clear()
    for writer in writers:
        writer.join()
    failures = [writer.failure for writer in writers if writer.failure]
    print(*failures, sep="\n", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
