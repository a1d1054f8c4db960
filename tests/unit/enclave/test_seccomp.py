"""The seccomp table: both forms mean the same; what must be refused is in no list of allowed names."""

from __future__ import annotations

import errno
import json
import tempfile

import pyseccomp
import pytest

from enclave import seccomp

_OPERATORS = {
    "SCMP_CMP_EQ": pyseccomp.EQ,
    "SCMP_CMP_GT": pyseccomp.GT,
    "SCMP_CMP_NE": pyseccomp.NE,
    "SCMP_CMP_MASKED_EQ": pyseccomp.MASKED_EQ,
}


def as_a_container_engine_reads_it(profile: dict[str, object]) -> bytes:
    """BPF from the JSON form, by the reading that runc gives it: what says the default anyway is passed over."""
    text = json.loads(json.dumps(profile))
    assert text["defaultAction"] == "SCMP_ACT_ERRNO"
    program = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(text["defaultErrnoRet"]))
    for entry in text["syscalls"]:
        allowed = entry["action"] == "SCMP_ACT_ALLOW"
        if not allowed and entry["errnoRet"] == text["defaultErrnoRet"]:
            continue
        action = pyseccomp.ALLOW if allowed else pyseccomp.ERRNO(entry["errnoRet"])
        arguments = []
        for a in entry["args"]:
            values = (a["value"], a["valueTwo"]) if a["op"] == "SCMP_CMP_MASKED_EQ" else (a["value"],)
            arguments.append(pyseccomp.Arg(a["index"], _OPERATORS[a["op"]], *values))
        for name in entry["names"]:
            if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
                program.add_rule(action, name, *arguments)
    with tempfile.TemporaryFile() as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()


def test_dockers_form_compiles_to_the_same_program() -> None:
    assert as_a_container_engine_reads_it(seccomp.docker_profile()) == seccomp.compiled()


def test_a_docker_that_knows_no_default_number_still_lets_threads_start() -> None:
    """Docker 20.10 answers EPERM to what is not listed, and then the C library does not fall back from clone3."""
    refused = {
        name: e["errnoRet"] for e in seccomp.docker_profile()["syscalls"] if "errnoRet" in e for name in e["names"]
    }
    assert refused["clone3"] == errno.ENOSYS


def test_nothing_denied_or_conditional_is_allowed_outright() -> None:
    allowed = set(seccomp.allowed_names())
    assert not allowed & (seccomp.DENIED | seccomp.CONDITIONAL)
    assert len(allowed) > 300


@pytest.mark.parametrize("word", "io_uring process_vm key bpf perf mount module kexec handle_at".split())
def test_no_family_that_must_be_refused_has_a_member_in_the_list(word: str) -> None:
    harmless = {"pkey_alloc", "pkey_free", "pkey_mprotect"}
    assert {name for name in seccomp.allowed_names() if word in name} <= harmless


@pytest.mark.parametrize("name", ["landlock_create_ruleset", "memfd_create", "openat2", "statx", "futex", "execve"])
def test_what_our_own_programs_need_is_allowed(name: str) -> None:
    assert name in seccomp.allowed_names()
