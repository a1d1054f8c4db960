"""HTTP receivers that hang, fail, refuse and recover; nothing is lost, what is refused for good is set aside."""

import json

from exporter import hashes, leaf, made_log, record_events, wait_until


def ocsf(receiver, **settings):
    return {"name": "siem", "format": "ocsf", "to": receiver.url, "batch": 10, **settings}


def test_hanging_failing_refusing_then_taking(running_log, exporter, receiver):
    record_events(running_log.client(), running_log.log_dir, 35)
    receiver.script = ["hang", 500, 400, 302, 200]
    exporter.configure(running_log.log_dir, ocsf(receiver, timeout_seconds=0.5)).start()
    exporter.wait_exported("siem", running_log.log_dir)
    assert receiver.found() == hashes(running_log.log_dir)
    assert exporter.dead("siem") == []
    problems = " ".join(line.get("reason", "") for line in exporter.said())
    assert "did not answer in time" in problems
    assert exporter.stop() == 0


def test_a_receiver_that_drips_bytes_is_given_up(tmp_path, exporter, receiver):
    made_log(tmp_path / "log", [leaf(number) for number in range(5)])
    receiver.script = ["drip"] * 3
    exporter.configure(tmp_path / "log", ocsf(receiver, timeout_seconds=0.3)).start()
    wait_until(lambda: exporter.status("siem").get("state") == "retrying", "retrying")
    wait_until(lambda: receiver.requests >= 4, "asked again")
    exporter.wait_exported("siem", tmp_path / "log")
    assert receiver.found() == hashes(tmp_path / "log")


def test_a_refused_record_is_set_aside_and_the_rest_goes_on(tmp_path, exporter, receiver):
    made_log(tmp_path / "log", [leaf(number) for number in range(30)])
    receiver.judge = lambda headers, body: (422, b"") if b'"sequence":13,' in body else (200, b"")
    exporter.configure(tmp_path / "log", ocsf(receiver, tries=3)).start()
    exporter.wait_exported("siem", tmp_path / "log")
    (dead,) = exporter.dead("siem")
    everything = hashes(tmp_path / "log")
    assert (dead["index"], dead["leaf_hash"], dead["tries"]) == (13, everything.pop(13), 3)
    assert receiver.found() == everything
    wait_until(lambda: exporter.status("siem").get("dead_letters") == 1, "status")
    assert [line["index"] for line in exporter.said() if line["event"] == "record-not-delivered"] == [13]


def test_an_expired_token_stalls_loudly_and_loses_nothing(tmp_path, exporter, receiver):
    made_log(tmp_path / "log", [leaf(number) for number in range(12)])
    token = tmp_path / "token"
    token.write_text("old-and-secret\n")
    token.chmod(0o600)
    receiver.judge = lambda headers, body: (200 if headers["Authorization"] == "Bearer new-one" else 401, b"")
    exporter.configure(tmp_path / "log", ocsf(receiver, token_file=str(token), tries=2)).start()
    wait_until(lambda: exporter.status("siem").get("failures", 0) >= 5, "failures")
    status = exporter.status("siem")
    assert status["state"] == "retrying"
    assert "401; see that the token file holds a valid token" in status["problem"]
    assert (status["lag_records"], status["next"]) == (12, 0)
    assert sum(line["event"] == "export-delayed" for line in exporter.said()) >= 2
    token.write_text("new-one\n")
    exporter.wait_exported("siem", tmp_path / "log")
    assert receiver.found() == hashes(tmp_path / "log")
    assert exporter.dead("siem") == []
    everywhere = exporter.errors.read_text() + (exporter.state / "status.json").read_text()
    assert "secret" not in everywhere and "new-one" not in everywhere


def test_a_token_that_everyone_can_read_is_not_sent(tmp_path, exporter, receiver):
    made_log(tmp_path / "log", [leaf(0)])
    (tmp_path / "token").write_text("open")
    (tmp_path / "token").chmod(0o644)
    exporter.configure(tmp_path / "log", ocsf(receiver, token_file=str(tmp_path / "token"))).start()
    wait_until(lambda: "read by everyone" in exporter.status("siem").get("problem", ""), "problem")
    assert receiver.requests == 0


def test_https_needs_a_certificate_of_the_named_authority(tmp_path, exporter, authority):
    from receivers import Authority, HttpReceiver

    made_log(tmp_path / "log", [leaf(number) for number in range(3)])
    (tmp_path / "other").mkdir()
    secure = HttpReceiver(authority.server_context())
    try:
        good = ocsf(secure, name="good", ca_file=str(authority.ca))
        bad = ocsf(secure, name="bad", ca_file=str(Authority(tmp_path / "other").ca))
        exporter.configure(tmp_path / "log", good, bad).start()
        exporter.wait_exported("good", tmp_path / "log")
        wait_until(lambda: "certificate was not accepted" in exporter.status("bad").get("problem", ""), "refused")
        assert exporter.cursor("bad") == 0
        assert secure.found() == hashes(tmp_path / "log")
    finally:
        secure.close()


def test_filters_choose_and_payloads_stay(running_log, exporter, receiver):
    client = running_log.client()
    record_events(client, running_log.log_dir, 3, payload={"sql": "select 'hush-hush'"})
    record_events(client, running_log.log_dir, 3, type="login:succeeded", project=None)
    record_events(client, running_log.log_dir, 3, project="p-2")
    target = ocsf(receiver, types=["query:*"], projects=["p-1"])
    exporter.configure(running_log.log_dir, target).start()
    exporter.wait_exported("siem", running_log.log_dir)
    events = receiver.events()
    assert [event["metadata"]["event_code"] for event in events] == ["query:intent"] * 3
    assert {event["metadata"]["tenant_uid"] for event in events} == {"p-1"}
    assert b"hush-hush" not in b"".join(receiver.taken)


def test_a_fhir_server_that_takes_some_entries(tmp_path, exporter, receiver):
    made_log(tmp_path / "log", [leaf(number) for number in range(20)])
    hiccups = iter(["503 Service Unavailable"])
    taken = {}

    def judge(headers, body):
        answers = []
        for item in json.loads(body)["entry"]:
            details = {one["type"]: one["valueString"] for one in item["resource"]["entity"][-1]["detail"]}
            index = int(details["log-index"])
            status = "422 Unprocessable" if index == 7 else next(hiccups, "201 Created") if index == 4 else "201"
            if status.startswith("201"):
                taken[index] = details["log-leaf-hash"]
            answers.append({"response": {"status": status}})
        return 200, json.dumps({"resourceType": "Bundle", "type": "batch-response", "entry": answers}).encode()

    receiver.judge = judge
    target = {"name": "repository", "format": "fhir", "to": receiver.url, "batch": 6, "tries": 2}
    exporter.configure(tmp_path / "log", target).start()
    exporter.wait_exported("repository", tmp_path / "log")
    everything = hashes(tmp_path / "log")
    del everything[7]
    assert taken == everything
    assert [line["index"] for line in exporter.dead("repository")] == [7]


def test_otlp_is_taken_and_a_partial_success_is_set_aside(tmp_path, exporter, receiver):
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
        ExportLogsPartialSuccess,
        ExportLogsServiceRequest,
        ExportLogsServiceResponse,
    )

    made_log(tmp_path / "log", [leaf(number) for number in range(12)])
    partial = ExportLogsServiceResponse(partial_success=ExportLogsPartialSuccess(rejected_log_records=2))
    found = set()

    def judge(headers, body):
        assert headers["Content-Type"] == "application/x-protobuf"
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
            for record in resource.scope_logs[0].log_records:
                found.update(one.value.int_value for one in record.attributes if one.key == "enclave.log.index")
        return 200, partial.SerializeToString() if 5 in found and len(found) <= 6 else b""

    receiver.judge = judge
    target = {"name": "collector", "format": "otlp", "to": receiver.url, "batch": 3}
    exporter.configure(tmp_path / "log", target).start()
    exporter.wait_exported("collector", tmp_path / "log")
    assert found == set(range(12))
    dead = exporter.dead("collector")
    assert [line["index"] for line in dead] == [3, 4, 5]
    assert "refused 2 of 3 records" in dead[0]["reason"]
