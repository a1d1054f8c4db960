"""Several processes for one list of jobs; answers come back in the order of the jobs. Memory: a few jobs at a time.

Workers are fresh interpreters that import this package and nothing of the program that started them, so they are safe
to start from a process with threads and from any script. They end when the process that started them dies: their pipe
closes. Jobs and answers are pickled; both ends of the pipe are ours.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

_Job = TypeVar("_Job")
_Answer = TypeVar("_Answer")
_AHEAD = 2
"""Jobs given to a worker before its first answer is taken: one to work on, one waiting."""
_STOP_SECONDS = 5.0


class WorkerDied(RuntimeError):
    """A worker process ended before it had answered (killed, or out of memory)."""


def usable_processes(wanted: int | None) -> int:
    """How many processes to use: as wanted, or as many as this process may run on."""
    if wanted is not None:
        return max(1, wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(work: Callable[[_Job], _Answer], jobs: Iterable[_Job], processes: int) -> Generator[_Answer, None, None]:
    """``work(job)`` for each job, in order; with one process, here. ``work`` must be a function of a module.

    Raise :class:`WorkerDied`. Close the generator to end the workers early.
    """
    if processes == 1:
        yield from map(work, jobs)
        return
    workers: list[_Worker] = []
    try:
        for _ in range(processes):
            workers.append(_Worker(work))
        yield from _dispatch(workers, iter(jobs))
    finally:
        for worker in workers:
            worker.stop()


def _dispatch(workers: list[_Worker], jobs: Iterator[Any]) -> Iterator[Any]:
    """Jobs go round the workers and answers are taken in the same round, so they arrive in order."""
    due: deque[_Worker] = deque()
    for worker in workers * _AHEAD:
        for job in jobs:
            worker.give(job)
            due.append(worker)
            break
    while due:
        worker = due.popleft()
        answer = worker.answer()
        for job in jobs:
            worker.give(job)
            due.append(worker)
            break
        yield answer


class _Worker:
    def __init__(self, work: Callable[[Any], Any]) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        self._out, self._in = Connection(ours_out, readable=False), Connection(ours_in, writable=False)
        code = f"from audit.parallel import serve; serve({theirs_in}, {theirs_out})"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs_in, theirs_out),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
            )
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        try:
            self.give(work)
        except WorkerDied:
            self.stop()
            raise

    def give(self, job: Any) -> None:
        try:
            self._out.send(job)
        except OSError as error:
            raise WorkerDied(self._sentence()) from error

    def answer(self) -> Any:
        try:
            answer = self._in.recv()
        except (EOFError, OSError) as error:
            raise WorkerDied(self._sentence()) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def stop(self) -> None:
        self._out.close()
        self._in.close()
        # what it is working on, nobody waits for any more
        self._process.kill()
        self._process.wait()

    def _sentence(self) -> str:
        try:
            code: int | None = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        return (
            f"A verifying process ended unexpectedly (exit code {code}); verify again with --processes 1, or with more"
            " memory."
        )


def serve(read: int, write: int) -> None:
    """The worker's life: first the work, then a job, an answer, until the pipe closes."""
    source, sink = Connection(read, writable=False), Connection(write, readable=False)
    jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # jobs are taken off the pipe at once: were both ends to write and neither to read, nothing would ever move again
    threading.Thread(target=_receive, args=(source, jobs), daemon=True).start()
    work = jobs.get()
    while work is not None and (job := jobs.get()) is not None:
        try:
            answer = work(job)
        except Exception as error:
            # raised again in the process that asked
            answer = error
        try:
            sink.send(answer)
        except OSError:
            return


def _receive(source: Connection, jobs: queue.SimpleQueue[Any]) -> None:
    while True:
        try:
            jobs.put(source.recv())
        except (EOFError, OSError, KeyboardInterrupt):
            jobs.put(None)
            return
