"""What each project uses, as Prometheus metrics. Labels: the project's id; a person never, a title only when asked for.

Counters of use only grow (those of queries shrink when old records of the log are pruned, which Prometheus takes for a
restart). A part that cannot be read is left out of the answer and ``enclave_metrics_part_up`` says 0 for it: a scrape
never shows a figure that is not true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from audit.index import LogIndex
from enclave.access import AccessFiles
from enclave.domain.ids import ProjectId
from enclave.domain.usage import Asked, Computed
from enclave.metering.ledger import Ledger, LedgerUnreadableError, today
from enclave.metering.queries import asked_ever
from enclave.metering.report import metered_projects, stored_until_now
from enclave.settings import Settings

_log = structlog.get_logger()
_Stamp = tuple[int, int, int]
Part = Callable[[], Iterable[Metric]]


class ComputedEver:
    """Sum over all workspaces of a project; a ledger is parsed again only when it has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Path, tuple[_Stamp, Computed, int]] = {}

    def read(self, project: ProjectId) -> tuple[Computed, int]:
        """Since the first workspace, and the most memory that one workspace held today. Raises OSError."""
        whole, peak = Computed(), 0
        for path in (self._folder / project / "workspaces").glob("*/*.json"):
            used, of_today = self._of(path)
            whole, peak = whole + used, max(peak, of_today)
        return whole, peak

    def _of(self, path: Path) -> tuple[Computed, int]:
        found = path.stat()
        stamp = (found.st_ino, found.st_mtime_ns, today().toordinal())
        if path not in self._known or self._known[path][0] != stamp:
            days = Ledger(path).read().days
            of_today = days.get(today(), Computed()).memory_peak_bytes
            self._known[path] = (stamp, sum(days.values(), Computed()), of_today)
        return self._known[path][1:]


class UsageCollector(Collector):
    """``health``: further parts by name."""

    def __init__(self, settings: Settings, index: LogIndex, health: Mapping[str, Part]) -> None:
        self._settings, self._index = settings, index
        self._computed = ComputedEver(settings.metering_dir)
        self._parts: dict[str, Part] = {
            "workspaces": self._workspaces,
            "storage": self._storage,
            "queries": self._queries,
            **({"titles": self._titles} if settings.metrics_titles else {}),
            **health,
        }

    def collect(self) -> Iterator[Metric]:
        """All parts that can be read."""
        up = GaugeMetricFamily("enclave_metrics_part_up", "1: this part of the figures could be read.", labels=["part"])
        for name, part in self._parts.items():
            try:
                found = list(part())
            except Exception as error:  # one part must not take the others with it
                _log.warning("metrics-part-failed", part=name, kind=type(error).__name__)
                up.add_metric([name], 0)
                continue
            up.add_metric([name], 1)
            yield from found
        yield up

    def _projects(self) -> list[ProjectId]:
        return metered_projects(self._settings.metering_dir)

    def _workspaces(self) -> Iterator[Metric]:
        cpu = _counter("enclave_workspace_cpu_seconds", "Processor time of a project's workspaces.")
        memory = _counter("enclave_workspace_memory_byte_seconds", "Memory of a project's workspaces over time.")
        opened = _counter("enclave_workspace_seconds", "Time that a project's workspaces were open, added up.")
        peak = _gauge("enclave_workspace_memory_peak_bytes", "Most memory that one workspace held today (UTC).")
        for project in self._projects():
            used, most = self._computed.read(project)
            cpu.add_metric([project], used.cpu_ns / 1e9)
            memory.add_metric([project], used.memory_byte_seconds)
            opened.add_metric([project], used.seconds)
            peak.add_metric([project], most)
        yield from (cpu, memory, opened, peak)

    def _storage(self) -> Iterator[Metric]:
        now = _gauge("enclave_storage_bytes", "What a project stores, as last measured.", "kind")
        ever = _counter("enclave_storage_byte_seconds", "What a project stores, over time.", "kind")
        for project in self._projects():
            stored = stored_until_now(self._settings.metering_dir, project)
            if stored is None:
                raise LedgerUnreadableError(f"The storage of {project} cannot be read.")
            for kind, size in stored.now.items():
                now.add_metric([project, kind], size)
                ever.add_metric([project, kind], sum(day.get(kind, 0) for day in stored.days.values()))
        yield from (now, ever)

    def _queries(self) -> Iterator[Metric]:
        self._index.refresh()
        found = asked_ever(self._index)
        for name, words, value in _QUERIES:
            family = _counter(name, words)
            for project, asked in found.items():
                family.add_metric([project], value(asked))
            yield family

    def _titles(self) -> Iterator[Metric]:
        titles = _gauge("enclave_project_title", "Always 1; the label tells the project's title.", "title")
        access = AccessFiles(self._settings)
        for project in self._projects():
            if (record := access.project(project)) is not None:
                titles.add_metric([project, record.title], 1)
        yield titles


_QUERIES: tuple[tuple[str, str, Callable[[Asked], float]], ...] = (
    ("enclave_queries", "Queries that ran, from the audit log.", lambda asked: asked.queries),
    ("enclave_query_rows", "Rows that queries gave.", lambda asked: asked.rows),
    ("enclave_query_bytes", "Bytes that queries gave.", lambda asked: asked.bytes),
    ("enclave_query_seconds", "Time from a query's intent to its outcome, added up.", lambda a: a.duration_ms / 1000),
)


def _counter(name: str, words: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, words, labels=["project", *labels])


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, labels=["project", *labels])
