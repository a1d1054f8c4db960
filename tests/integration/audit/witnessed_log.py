"""A log with a policy and witnesses: what the tests about witnessing share."""

from __future__ import annotations

from pathlib import Path

from running_log import RunningLog
from running_witness import RunningWitness

from audit.checkpoint import read_unverified
from audit.note import parse_note
from audit.policy import Policy, Quorum, parse_policy
from audit.reader import read_entries

FAST = ("--witness-seconds", "0.1", "--heartbeat-seconds", "0")


def initialised(log: RunningLog) -> RunningLog:
    """Make the log's key, so that witnesses can know it before the log is started with a policy."""
    log.start(*FAST)
    log.stop()
    return log


def policy_file(log: RunningLog, lines: list[str]) -> Path:
    path = log.home / "policy"
    path.write_text(f"log {log.vkey}\n" + "".join(line + "\n" for line in lines))
    return path


def policy_of(log: RunningLog, witnesses: list[RunningWitness], quorum: str = "all") -> Path:
    """Both keys of every witness; the quorum wants one key of each."""
    lines = []
    for place, witness in enumerate(witnesses):
        lines += [f"witness w{place}-{kind} {vkey} {witness.url}" for kind, vkey in enumerate(witness.vkeys)]
        lines.append(f"group w{place} any w{place}-0 w{place}-1")
    lines.append(f"group enough {quorum} {' '.join(f'w{place}' for place in range(len(witnesses)))}")
    return policy_file(log, [*lines, "quorum enough"])


def sizes(log: RunningLog) -> list[int]:
    folder = log.log_dir / "cosigned"
    return sorted(int(path.name) for path in folder.iterdir()) if folder.exists() else []


def judged(log: RunningLog, policy: Path, size: int) -> Quorum:
    parsed: Policy = parse_policy(policy.read_bytes())
    return parsed.judge(parse_note((log.log_dir / "cosigned" / str(size)).read_bytes()))


def is_witnessed(log: RunningLog, policy: Path) -> bool:
    """True when the newest published checkpoint has a quorum."""
    size = read_unverified((log.log_dir / "checkpoint").read_bytes()).size
    return size in sizes(log) and judged(log, policy, size).met


def recorded(log: RunningLog, *types: str) -> list[tuple[str, str]]:
    entries = [entry.leaf for entry in read_entries(log.log_dir)]
    return [(leaf["type"], leaf["data"]["name"]) for leaf in entries if leaf["type"] in types]
