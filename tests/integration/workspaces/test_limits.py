"""What limits a workspace as a whole: its control group, and the disk its home may use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from enclave_test_stand import is_alive, wait_for  # type: ignore[import-not-found]

from enclave.workspaces import cgroups
from enclave.workspaces.disk_use import DiskState
from enclave.workspaces.quota import DiskWatch, used_bytes


@pytest.mark.needs_root
def test_the_group_limits_what_its_processes_use_together(tmp_path: Path) -> None:
    """Where this machine lets us make one; elsewhere ``describe`` says that there is none."""
    code = (
        "import sys, subprocess\n"
        "from enclave.workspaces import cgroups\n"
        "made = cgroups.enter(sys.argv[1], 96, 64)\n"
        "hog = [sys.executable, '-c', 'x = bytearray(200 << 20); print(len(x))']\n"
        "print([str(p) for p in made], subprocess.run(hog, capture_output=True).returncode)\n"
        "cgroups.leave(made)\n"
        "print([p.exists() for p in made])\n"
    )
    name = f"enclave-test-{os.getpid()}"
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, timeout=60, check=True)
    made, left = done.stdout.splitlines()
    if "memory" in cgroups.describe():
        assert "memory" in made and made.endswith(" -9"), done.stdout + done.stderr
    else:
        assert made == "[] 0"
    assert "True" not in left


@pytest.mark.needs_root
def test_what_a_killed_host_has_left_in_its_group_is_killed_with_it() -> None:
    code = (
        "import os, sys, subprocess\n"
        "from enclave.workspaces import cgroups\n"
        "made = cgroups.enter(sys.argv[1], 96, 64)\n"
        "left = subprocess.Popen(['sleep', '600'], stdout=-3, stderr=-3, start_new_session=True)\n"
        "print(len(made), left.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    name = f"enclave-test-left-{os.getpid()}"
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, timeout=60, check=False)
    made, pid = (int(word) for word in done.stdout.split())
    cgroups.remove(name, 60)
    assert cgroups.groups_of(name) == []
    if not made:  # this machine lets us make none
        os.kill(pid, 9)
    wait_for(lambda: not is_alive(pid), "the end of what was left")


def test_a_home_over_its_limit_cannot_grow_and_may_be_emptied(tmp_path: Path) -> None:
    """The child is like a kernel: it may not write, may delete, and then (where possible) may write again."""
    home, inside = tmp_path / "home", tmp_path / "in"
    home.mkdir()
    inside.mkdir()
    code = (
        "import os, sys\n"
        "for line in sys.stdin:\n"
        "    try:\n"
        "        name, size = line.split()\n"
        "        if size == 'delete': os.unlink(name)\n"
        "        else:\n"
        "            with open(name, 'wb') as f: f.write(os.urandom(int(size)))\n"
        "        print('done', flush=True)\n"
        "    except OSError as e: print(e.errno, flush=True)\n"
    )
    # below a parent of its own, which is the top: pytest has other children, a Docker daemon among them
    command = ["/bin/sh", "-c", '"$0" "$@"; exit', sys.executable, "-c", code]
    child = subprocess.Popen(command, cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    assert child.stdin is not None and child.stdout is not None
    watch = DiskWatch((home,), inside, 1, child.pid)

    def ask(line: str) -> str:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(line + "\n")
        return child.stdout.readline().strip()

    with child:
        assert ask("a 100000") == "done"
        watch.look()
        assert ask("b 2000000") == "done"
        watch.look()
        assert ask("c 10") == "27"  # EFBIG
        assert "Delete" in json.loads((inside / "disk.json").read_text())["problem"]
        assert ask("b delete") == "done"
        watch.look()
        assert not (inside / "disk.json").exists()
        assert ask("c 10") == ("done" if can_give_back() else "27")
        child.stdin.close()


FILLING = """
import mmap, sys
file = open(sys.argv[1], "w+b", buffering=0)
file.truncate(256 << 20)
holes, at = mmap.mmap(file.fileno(), 0), 0
for megabytes in map(int, sys.stdin):
    for at in range(at, at + (megabytes << 20), 4096):
        holes[at] = 1
    at += 4096
    holes.flush()
    try:
        file.write(b"x")
    except OSError as error:
        print(error.errno, flush=True)
    else:
        print("written", flush=True)
"""


def test_who_fills_the_holes_of_a_mapped_file_is_seen_to_write_all_the_same(tmp_path: Path) -> None:
    """No limit of a process holds against that: its kernels end."""
    home = tmp_path / "home"
    home.mkdir()
    command = ["/bin/sh", "-c", '"$0" "$@"; exit', sys.executable, "-c", FILLING, str(home / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as child:
        assert child.stdin is not None and child.stdout is not None
        watch, states = DiskWatch((home,), tmp_path, 1, child.pid), []
        for megabytes, answer in ((2, "written"), (2, "27"), (70, "27")):
            child.stdin.write(f"{megabytes}\n")
            assert child.stdout.readline().strip() == answer
            watch.look()
            states.append(watch.state)
        assert states == [DiskState.FULL, DiskState.FULL, DiskState.DEFIED]
        child.stdin.close()


@pytest.mark.needs_root
def test_another_accounts_process_is_limited_also_by_a_root_that_may_not() -> None:
    """Root without CAP_SYS_RESOURCE, as in many containers; taken away here where this machine's root has it."""
    with subprocess.Popen(
        ["/bin/sh", "-c", "echo started; read wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        user=299_990,
        group=299_990,
        extra_groups=[],
    ) as child:
        assert child.stdout is not None and child.stdin is not None
        child.stdout.readline()
        code = "import sys; from enclave.workspaces import quota; quota.limit_file_sizes(int(sys.argv[1]), 4096)"
        without = ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"]
        subprocess.run([*without, sys.executable, "-c", code, str(child.pid)], check=True, timeout=60)
        limits = Path(f"/proc/{child.pid}/limits").read_text().splitlines()
        assert next(line for line in limits if line.startswith("Max file size")).split()[3:5] == ["4096", "4096"]
        child.stdin.close()


def can_give_back() -> bool:
    """CAP_SYS_RESOURCE (24): raising a hard limit again. Root in a container may lack it."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("CapEff:"))
    return bool(int(line.split()[1], 16) >> 24 & 1)


def test_links_and_second_names_are_not_counted_twice(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(1 << 20))
    (tmp_path / "again").hardlink_to(tmp_path / "big")
    (tmp_path / "out").symlink_to("/usr")
    assert 1 << 20 <= used_bytes(tmp_path) < 2 << 20


def test_a_tree_made_deep_on_purpose_is_counted_as_well(tmp_path: Path) -> None:
    """Deeper than Python's recursion and than a path may be long."""
    here = os.open(tmp_path, os.O_PATH)
    for _ in range(1500):
        os.mkdir("down", dir_fd=here)
        below = os.open("down", os.O_PATH, dir_fd=here)
        os.close(here)
        here = below
    with os.fdopen(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here), "wb") as file:
        file.write(os.urandom(1 << 20))
    os.close(here)
    try:
        assert used_bytes(tmp_path) >= 1 << 20
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "down")], check=True)  # shutil gives up at this depth


HOG = "x = bytearray(300 << 20); x[::4096] = b'a' * len(x[::4096])"
OUT_OF_MEMORY = f"""
import json, subprocess, sys
from enclave.workspaces import cgroups
groups = cgroups.enter(sys.argv[1], 96, 200)
hog = subprocess.run([sys.executable, "-c", {HOG!r}])
print(json.dumps([hog.returncode, sum(cgroups.memory_kills(groups).values()), *cgroups.memory_peak(groups)]))
cgroups.leave(groups)
"""


@pytest.mark.needs_root
def test_memory_that_ran_out_is_seen_in_the_group() -> None:
    """A program like a kernel, in a group like a workspace's. Without a group it gets its 300 MB."""
    name = f"enclave-test-memory-{os.getpid()}"
    done = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY, name], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    code, killed, peak, most = json.loads(done.stdout)
    if any("memory" in able for able in cgroups.usable_groups()):
        assert (code, killed, most) == (-9, 1, 96 << 20) and peak >= 90 << 20
    else:
        assert (code, killed, peak, most) == (0, 0, 0, 0)
