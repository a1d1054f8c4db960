"""Any order of failures, refusals, kills and lost connections leaves no gap."""

import itertools
import shutil
import tempfile
import threading
from pathlib import Path

from exporter import leaf, made_log
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from audit.exports.config import Target
from audit.exports.cursor import CursorFile
from audit.exports.formats import FormatName, load_format
from audit.exports.lines import LineFile
from audit.exports.message import SiteFacts
from audit.exports.pump import Pump
from audit.exports.sinks import Refusal, SinkUnavailable
from audit.exports.source import LogSource

SIZE = 40
STEPS = ["take", "away", "take-then-fail", "kill", "kill-after-taking", "lose"]


class Killed(BaseException):
    """Stands for kill -9: nothing of the pump survives but its files."""


class MoodyReceiver:
    """A receiver that takes, fails before or after taking, or loses the newest ``rewind`` records of a connection."""

    def __init__(self, script, refused, rewind):
        self.rewind = rewind
        self.script = iter(script)
        self.refused = refused
        self.taken = []
        self.connected_at = 0

    def send(self, messages):
        step = next(self.script, "take")
        if step == "lose":
            del self.taken[max(self.connected_at, len(self.taken) - self.rewind) :]
        if step in ("away", "kill", "lose"):
            self.connected_at = len(self.taken)
        if step == "away":
            raise SinkUnavailable("away")
        if step == "kill":
            raise Killed
        if step == "lose":
            raise SinkUnavailable("the connection was lost with what it held")
        self.taken += [message.index for message in messages if message.index not in self.refused]
        if step != "take":
            self.connected_at = len(self.taken)
        if step == "take-then-fail":
            raise SinkUnavailable("the answer was lost")
        if step == "kill-after-taking":
            raise Killed
        return [Refusal(message.index, "no") for message in messages if message.index in self.refused]

    def check(self):
        pass

    def close(self):
        pass


def pump_of(home, receiver, start="beginning"):
    target = Target("t", FormatName.OCSF, "file:/x", batch=7, tries=2, retry_seconds_max=0.001, start=start)
    cursor, dead = CursorFile(home / "cursor"), LineFile(home / "dead")
    form = load_format(FormatName.OCSF)
    return Pump(target, LogSource(home / "log"), cursor, dead, receiver, form, SiteFacts(), threading.Event())


def drain(home, receiver):
    for _ in range(500):
        pump = pump_of(home, receiver)
        try:
            while pump.step() < 1:
                pass
        except Killed:
            continue
        return
    raise AssertionError("it never came to the end")


def home_with_log():
    home = Path(tempfile.mkdtemp(prefix="en", dir="/tmp"))
    made_log(home / "log", [leaf(number) for number in range(SIZE)])
    return home


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    script=st.lists(st.sampled_from(STEPS), max_size=25),
    refused=st.sets(st.integers(0, SIZE - 1), max_size=4),
    rewind=st.sampled_from([0, 10, SIZE]),
)
@example(script=["take", "take", "lose", "kill", "lose"], refused=set(), rewind=10)
def test_no_order_of_faults_leaves_a_gap(script, refused, rewind):
    home = home_with_log()
    try:
        receiver = MoodyReceiver(script, refused, rewind)
        drain(home, receiver)
        assert set(receiver.taken) == set(range(SIZE)) - refused
        firsts = list(dict.fromkeys(receiver.taken))
        if "lose" not in script and not refused:
            assert firsts == sorted(firsts)
        assert CursorFile(home / "cursor").load().next == SIZE
        dead = (home / "dead").read_text() if refused else ""
        assert all(f'"index": {index},' in dead for index in refused)
    finally:
        shutil.rmtree(home)


def test_starting_now_never_sends_what_came_before():
    home = home_with_log()
    try:
        receiver = MoodyReceiver([], set(), rewind=SIZE)
        for _ in range(2):
            pump = pump_of(home, receiver, start="now")
            assert pump.step() == 1.0
        assert receiver.taken == []
    finally:
        shutil.rmtree(home)


def test_batches_shrink_while_the_receiver_is_too_slow_and_grow_again():
    home = home_with_log()
    sizes = []

    class Slow(MoodyReceiver):
        def send(self, messages):
            sizes.append(len(messages))
            if len(messages) > 2 and len(sizes) < 6:
                raise SinkUnavailable("too slow")
            return []

    try:
        pump = pump_of(home, Slow([], set(), 0))
        for _ in itertools.takewhile(lambda _: pump.step() < 1, range(100)):
            pass
        assert sizes[:5] == [7, 3, 1, 2, 4]
        assert max(sizes[6:]) == 7
    finally:
        shutil.rmtree(home)
