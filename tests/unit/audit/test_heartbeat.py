"""When the log records that it is alive."""

from audit.daemon.heartbeat import Heartbeat


def test_a_beat_is_due_once_per_interval():
    seconds = [100.0]
    heart = Heartbeat(60, lambda: seconds[0])
    assert (heart.due(), heart.wait()) == ([], 60.0)
    seconds[0] += 59.5
    assert (heart.due(), heart.wait()) == ([], 0.5)
    seconds[0] += 200
    assert heart.wait() == 0.0
    (beat,) = heart.due()
    assert (beat.type, beat.actor, beat.counts) == ("audit:heartbeat", "system:audit", {"seconds": 60})
    # a daemon that slept does not make up for the beats it missed
    assert (heart.due(), heart.wait()) == ([], 60.0)


def test_zero_seconds_mean_silence():
    heart = Heartbeat(0, lambda: 5.0)
    assert (heart.birth(), heart.due(), heart.death(), heart.wait()) == ([], [], [], None)


def test_birth_and_death_are_recorded():
    heart = Heartbeat(1, lambda: 0.0)
    assert [event.type for event in (*heart.birth(), *heart.death())] == ["audit:started", "audit:stopped"]
