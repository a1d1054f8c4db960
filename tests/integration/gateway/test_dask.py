"""``enclave_client.dask`` against the real gateway: the same answers as SQL, parts on record, and run again at will."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import pytest

from enclave.domain.ids import ExtractVersion, ProjectId

CLIENT = Path(__file__).resolve().parents[3] / "workspace_images" / "client"
LARGE = ProjectId("large-study")
ROWS = 300_000
VISIT = (
    "CREATE TABLE visit AS SELECT i AS visit_id, CASE i % 3 WHEN 0 THEN 'F' WHEN 1 THEN 'M' END AS sex,"
    " CASE WHEN i % 7 > 0 THEN i % 90 END AS age, i / 8 AS weight, DATE '2020-01-01' + (i % 50)::INTEGER AS day"
    f" FROM range({ROWS}) r(i)",
)


@pytest.fixture(scope="module")
def enclave(gateway: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The client package as a workspace of alice's has it; Dask on threads of this process."""
    gateway.add_project(LARGE, VISIT)
    token = tmp_path_factory.mktemp("workspace") / "token"
    token.write_text(gateway.token(project=LARGE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCLAVE_TOKEN_FILE", str(token))
        patch.setenv("ENCLAVE_GATEWAY", f"grpc+unix://{gateway.socket(LARGE)}")
        if str(CLIENT) not in sys.path:
            patch.syspath_prepend(str(CLIENT))
        import enclave_client
        import enclave_client.dask

        with dask.config.set(scheduler="threads"):
            yield enclave_client


def rows(enclave: Any, sql: str) -> Any:
    return enclave.sql(sql).arrow().to_pylist()


def parts_on_record(gateway: Any, frame: Any) -> list[dict[str, Any]]:
    request = frame.expr.find_operations(enclave_expression()).__next__().plan.request
    return [e for e in gateway.events("query:intent") if e["data"].get("handed_out_by") == request]


def enclave_expression() -> Any:
    from enclave_client.dask.frames import ReadTickets

    return ReadTickets


def test_a_data_frame_gives_what_sql_gives(gateway: Any, enclave: Any) -> None:
    visit = enclave.dask.table("visit", parts=3)
    assert visit.npartitions == 3 and len(visit) == ROWS
    kept = visit[(visit.age > 40) & (visit.sex.isin(["F"]) | (visit.weight < 1000))]
    found = kept.groupby("sex").age.agg(["count", "sum"]).compute().sort_index()
    expected = rows(
        enclave,
        "SELECT sex, count(age) AS n, sum(age)::BIGINT AS total FROM visit WHERE age > 40 "
        "AND (sex = 'F' OR weight < 1000) AND sex IS NOT NULL GROUP BY sex ORDER BY sex",
    )
    assert [(row["sex"], row["n"], row["total"]) for row in expected] == [
        (sex, int(n), int(total)) for sex, (n, total) in zip(found.index, found.to_numpy(), strict=True)
    ]
    intents = gateway.wait_for(lambda: len(parts := parts_on_record(gateway, visit)) == 3 and parts)
    assert {(e["data"]["part"], e["data"]["parts"]) for e in intents} == {(1, 3), (2, 3), (3, 3)}
    before = {e["data"]["template_sha256"] for e in intents}
    assert len(before) == 3  # to the alerts a part is no repetition of another part
    visit[(visit.age > 41) & (visit.sex.isin(["F"]) | (visit.weight < 2000))].groupby("sex").age.sum().compute()
    intents = gateway.wait_for(lambda: len(parts := parts_on_record(gateway, visit)) == 6 and parts)
    assert {e["data"]["template_sha256"] for e in intents} == before  # but of itself with other values


def test_columns_and_filters_are_left_to_the_gateway(gateway: Any, enclave: Any) -> None:
    visit = enclave.dask.table("visit", columns=["visit_id", "age"], filter="sex = 'F' -- women", parts=2)
    assert list(visit.columns) == ["visit_id", "age"]
    assert visit[visit.age == 3].visit_id.count().compute() == len(
        rows(enclave, "SELECT visit_id FROM visit WHERE sex = 'F' AND age = 3")
    )
    intents = gateway.wait_for(lambda: len(parts := parts_on_record(gateway, visit)) == 2 and parts)
    ids = {e["request_id"] for e in intents}
    outcomes = gateway.wait_for(
        lambda: len(found := [e for e in gateway.events("query:outcome") if e["request_id"] in ids]) == 2 and found
    )
    assert {e["counts"]["columns"] for e in outcomes} == {1}
    assert sum(e["counts"]["rows"] for e in outcomes) < 3000


def test_a_partition_may_be_computed_again(gateway: Any, enclave: Any) -> None:
    visit = enclave.dask.table("visit", parts=2)
    refused = len(gateway.events("query:refused"))
    graph = dict(visit[["weight"]].optimize().__dask_graph__())
    key = next(iter(graph))
    first, second = dask.get(graph, key), dask.get(graph, key)
    assert first.equals(second) and 0 < len(first) < ROWS
    assert visit.weight.sum().compute() == visit.weight.sum().compute()
    intents = gateway.wait_for(lambda: len(parts := parts_on_record(gateway, visit)) == 6 and parts)
    assert len({e["request_id"] for e in intents}) == 6
    assert len(gateway.events("query:refused")) == refused


@pytest.mark.parametrize("by", [[], ["sex"], ["sex", "day"]])
def test_aggregates_in_parts_are_those_of_the_whole(enclave: Any, by: list[str]) -> None:
    values = {"n": ("count", "*"), "ages": ("sum", "age"), "mean": ("mean", "weight"), "last": ("max", "day")}
    found = enclave.dask.aggregate("visit", by=by, values=values, filter="age < 80", parts=4)
    listed = "".join(f"{name}, " for name in by)
    grouped = f" GROUP BY {', '.join(by)} ORDER BY {', '.join(by)}" if by else ""
    expected = rows(
        enclave,
        f"SELECT {listed}count(*) AS n, sum(age)::BIGINT AS ages, avg(weight) AS mean, max(day) AS last FROM visit "
        f"WHERE age < 80{grouped}",
    )
    assert list(found.columns) == [*by, *values] and len(found) == len(expected)
    for one, other in zip(found.to_dict("records"), expected, strict=True):
        assert one["mean"] == pytest.approx(other["mean"], rel=1e-12)
        for name in {*by, *values} - {"mean"}:
            assert one[name] == other[name] or other[name] is None


def test_refusals_are_sentences(enclave: Any) -> None:
    with pytest.raises(enclave.EnclaveError, match=r"Expected a table of this project's extract"):
        enclave.dask.table("elsewhere")
    with pytest.raises(enclave.EnclaveError, match="more in filter"):
        enclave.dask.table("visit", filter="age > (SELECT avg(age) FROM visit)")
    with pytest.raises(enclave.EnclaveError, match=r"one of the functions sum, count, min, max, mean"):
        enclave.dask.aggregate("visit", values={"x": ("median", "age")})


def test_parts_of_two_extracts_never_mix(gateway: Any, enclave: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    visit = enclave.dask.table("visit", parts=2)
    record = gateway.access.project(LARGE)
    build = sys.modules["gateway_stack"].build_extract
    build(gateway.settings.projects_dir / LARGE / "extracts" / "v2", LARGE, VISIT, record.permit_sha256)
    gateway.access.write_project(replace(record, extract_version=ExtractVersion("v2")))
    with pytest.raises(enclave.EnclaveError, match="Open the table anew: the extract may have been built again"):
        visit.weight.sum().compute()
    assert gateway.wait_event("query:refused", rule="partitions")
    assert enclave.dask.table("visit", parts=2).visit_id.max().compute() == ROWS - 1
