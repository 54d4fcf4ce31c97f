"""The monitor's job on an endpoint: what it calls calm, what it finds, and what it tells."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from model_runtime.errors import JobError
from model_runtime.monitor import job
from tests.runtime.container import json_file
from tests.runtime.monitored import (
    ENDPOINT,
    LAKE,
    NOW,
    REPORTS,
    SETTINGS,
    Monitored,
    capture,
    captures,
    days_before,
    features,
    lines,
)

NOTHING = {"window_days": 2}


def feature(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in report["features"] if each["name"] == name)


def checks(report: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["feature_name"], each["constraint_check_type"]) for each in report["violations"]}


def metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """The metrics in the log, those of features by the feature's name."""
    found: dict[str, float] = {}
    for line in capsys.readouterr().out.splitlines():
        if line.startswith('{"_aws"'):
            said = json.loads(line)
            for each in said["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
                place = f" {said['Feature']}" if "Feature" in said else ""
                found[each["Name"] + place] = said[each["Name"]]
    return found


def test_traffic_as_in_the_training_is_calm(monitored: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    monitored.send(captures(features(1000, seed=5), days_before(2), days_before(0)))
    report = monitored.run()
    assert (report["status"], report["rows"], report["findings"]) == ("calm", 1000, [])
    assert report["next"] == "Nothing: the next run looks again."
    said = report["captures"]
    assert (said["files"], said["records"], said["broken"], said["unanswered"]) == (12, 1000, 0, 0)
    assert report["predictions"]["rows"] == 1000
    assert report["predictions"]["psi"] < 0.1
    sent = metrics(capsys)
    assert sent["MonitoredRows"] == 1000
    assert sent["DriftedFeatures"] == 0
    assert sent["FeatureDrift hour"] < 1
    assert "Quality" not in sent


def test_a_shifted_feature_is_named_with_the_day_since_when(
    monitored: Monitored, capsys: pytest.CaptureFixture[str]
) -> None:
    monitored.send(captures(features(600, seed=5), days_before(4), days_before(2)))
    shifted = features(600, seed=6).with_columns(pl.col("distance") + 1500)
    monitored.send(captures(shifted, days_before(2), days_before(0), "later"))
    report = monitored.run(settings={**SETTINGS, "window_days": 4})
    assert report["status"] == "drifted"
    (found,) = report["findings"]
    assert (found["kind"], found["feature"]) == ("drift", "distance")
    assert re.match(
        r"distance has moved: stability index \d+\.\d+, 0.2 is allowed, since 2030-03-08; mean 17", found["text"]
    )
    assert [each["day"] for each in feature(report, "distance")["daily"]] == [
        f"2030-03-{day:02}" for day in range(6, 11)
    ]
    assert not feature(report, "hour")["moved"]
    sent = metrics(capsys)
    assert (sent["DriftedFeatures"], sent["FeatureDrift distance"] > 1) == (1, True)


def test_as_many_features_as_asked_have_to_move(monitored: Monitored) -> None:
    monitored.send(captures(features(800).with_columns(pl.col("distance") + 1500), days_before(2), days_before(0)))
    report = monitored.run(settings={**SETTINGS, "moved_features": 2})
    assert (report["status"], feature(report, "distance")["moved"]) == ("calm", True)


def test_no_traffic_is_told_as_such(monitored: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    report = monitored.run()
    assert (report["status"], report["rows"], len(report["captures"]["hours_without"])) == ("no_traffic", 0, 48)
    assert report["next"] == "Nothing: nobody asked the model in this window. The next run looks again."
    assert metrics(capsys) == {"MonitoredRows": 0, "RecentRows": 0}


def test_an_endpoint_that_is_not_there_yet_is_no_failure(monitored: Monitored) -> None:
    monitored.sagemaker.delete_endpoint(EndpointName=ENDPOINT)
    report = monitored.run()
    assert (report["status"], report["package"]) == ("no_traffic", None)
    assert report["next"].startswith(
        f"Nothing: there is no endpoint {ENDPOINT}: it is made when a version is released."
    )


def test_one_row_is_too_few_to_judge(monitored: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    monitored.send(captures(features(1).with_columns(distance=pl.lit(1e6)), days_before(1), days_before(0)))
    report = monitored.run()
    assert (report["status"], report["rows"], report["findings"]) == ("too_few_rows", 1, [])
    assert not any(each["judged"] or each["moved"] for each in report["features"])
    assert metrics(capsys).keys() == {"MonitoredRows", "RecentRows", "Violations"}


def test_all_nulls_are_drift_of_what_is_missing(monitored: Monitored) -> None:
    rows = features(500).with_columns(pl.lit(None, pl.Float64).alias("distance"))
    monitored.send(captures(rows, days_before(2), days_before(0)))
    report = monitored.run()
    assert report["status"] == "drifted"
    assert feature(report, "distance")["missing"] == {"baseline": 0.0, "now": 1.0}
    assert ("distance", "completeness_check") in checks(report)
    assert "100.0% missing instead of 0.0%" in report["findings"][0]["text"]


def test_rows_of_nothing_but_nulls_end_no_job(monitored: Monitored) -> None:
    rows = features(500).with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("distance", "carrier"))
    sent = captures(rows, days_before(2), days_before(0))
    for _, record in sent:
        record["captureData"]["endpointInput"]["data"] = ",,"
    monitored.send(sent)
    report = monitored.run()
    assert {each["feature"] for each in report["findings"]} == {"hour", "distance", "carrier"}


def test_a_new_category_is_named(monitored: Monitored) -> None:
    rows = features(800).with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(999).otherwise("carrier").alias("carrier")
    )
    monitored.send(captures(rows, days_before(2), days_before(0)))
    report = monitored.run()
    assert feature(report, "carrier")["new_values"] == ["999"]
    assert "new values 999" in report["findings"][0]["text"]


def test_a_code_as_text_is_what_the_model_makes_of_it(monitored: Monitored) -> None:
    """Carriers are in the training as numbers; clients may send the codes, and the same ones are no drift."""
    rows = features(1000, seed=5)
    sent = captures(rows, days_before(2), days_before(0))
    for (_, record), number in zip(sent, rows["carrier"], strict=True):
        body = record["captureData"]["endpointInput"]
        body["data"] = f"{body['data'].rpartition(',')[0]},{np.base_repr(int(number), 36)}"
    monitored.send(sent)
    report = monitored.run()
    assert (report["status"], report["violations"]) == ("calm", [])
    assert feature(report, "carrier")["score"] < 0.1


def test_a_renamed_column_is_a_missing_and_an_extra_one(monitored: Monitored) -> None:
    sent = captures(features(500), days_before(2), days_before(0))
    for (_, record), row in zip(sent, features(500).iter_rows(named=True), strict=True):
        row["miles"] = row.pop("distance")
        record["captureData"]["endpointInput"] |= {"data": json.dumps({"instances": [row]}), "encoding": "JSON"}
    monitored.send(sent)
    report = monitored.run()
    assert report["status"] == "drifted"
    assert {check for _, check in checks(report)} >= {"missing_column_check", "extra_column_check"}
    assert feature(report, "distance")["missing"]["now"] == 1.0


def test_a_text_where_a_number_was_breaks_the_type(monitored: Monitored) -> None:
    sent = captures(features(500), days_before(2), days_before(0))
    for _, record in sent[:50]:
        hour, rest = record["captureData"]["endpointInput"]["data"].split(",", 1)
        record["captureData"]["endpointInput"]["data"] = f"{hour} o'clock,{rest}"
    monitored.send(sent)
    report = monitored.run()
    assert report["status"] == "drifted"
    (broken,) = (each for each in report["violations"] if each["constraint_check_type"] == "data_type_check")
    assert broken["feature_name"] == "hour"
    assert "90%" in broken["description"]


def test_rows_of_another_width_are_counted_and_not_mixed_in(monitored: Monitored) -> None:
    monitored.send(captures(features(500), days_before(2), days_before(0)))
    monitored.send([(days_before(1), capture("1,2,3,4", "0.5", days_before(1), "wide"))])
    report = monitored.run()
    assert (report["rows"], report["captures"]["broken"]) == (500, 1)
    assert ("Extra columns", "extra_column_check") in checks(report)
    assert report["captures"]["examples"][0]["reason"] == "4 values in a row, the model has 3 features"


def test_a_gap_in_captures_is_told_and_is_no_drift(monitored: Monitored) -> None:
    monitored.send(captures(features(500), days_before(2), days_before(1.75)))
    monitored.send(captures(features(500, seed=3), days_before(0.25), days_before(0), "later"))
    report = monitored.run()
    assert report["status"] == "calm"
    assert [each["text"] for each in report["findings"]] == [
        "nothing was captured from 2030-03-08T16:00:00Z to 2030-03-10T04:00:00Z"
    ]
    assert len(report["captures"]["hours_without"]) == 36


def test_hours_before_anything_was_captured_are_no_gap(monitored: Monitored) -> None:
    monitored.send(captures(features(500), days_before(0.25), days_before(0)))
    assert monitored.run()["findings"] == []


def test_files_that_are_cut_in_the_middle_lose_their_last_line_alone(monitored: Monitored) -> None:
    monitored.send(captures(features(480), days_before(2), days_before(0)))
    cut = monitored.objects(LAKE)[3]
    body = monitored.s3.get_object(Bucket=LAKE, Key=cut)["Body"].read()
    monitored.put(cut, body[:-40])
    monitored.put(f"{ENDPOINT}/live/{days_before(1):%Y/%m/%d/%H}/empty.jsonl", b"")
    monitored.put(f"{ENDPOINT}/live/{days_before(1):%Y/%m/%d/%H}/noise.jsonl", b"\x00\xff\n[]\n{}\n")
    report = monitored.run()
    assert (report["rows"], report["captures"]["broken"], report["status"]) == (479, 4, "calm")
    (example,) = (each for each in report["captures"]["examples"] if "middle" in each["reason"])
    assert example == {"file": f"s3://{LAKE}/{cut}", "line": 40, "reason": "the line is no JSON, it ends in the middle"}


def test_only_the_hours_of_the_window_are_read(monitored: Monitored) -> None:
    rows = features(400)
    monitored.send(captures(rows, days_before(10), days_before(8), "old"))
    monitored.send(captures(rows, days_before(2), days_before(0)))
    monitored.send(captures(rows, days_before(0), NOW, "new"))
    monitored.send(captures(rows, days_before(2), days_before(0), "shadow"), variant="shadow")
    assert monitored.run(settings={**NOTHING})["rows"] == 400
    assert monitored.run("--start", days_before(9).isoformat(), "--end", days_before(8).isoformat())["rows"] == 200


def test_requests_before_the_release_are_none_of_the_version(
    monitored: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = monitored.register()
    monitored.serve(package, days_before(1), monkeypatch)
    monitored.send(captures(features(400), days_before(2), days_before(0)))
    report = monitored.run()
    assert (report["rows"], report["predictions"]["rows"]) == (200, 200)
    assert (report["package"]["arn"], report["package"]["since"]) == (package, "2030-03-09T10:00:00Z")


def test_a_version_without_a_baseline_is_not_called_calm(monitored: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    monitored.serve(monitored.register(with_baseline=False), days_before(9), monkeypatch)
    monitored.send(captures(features(400), days_before(2), days_before(0)))
    report = monitored.run()
    assert (report["status"], report["features"], report["predictions"]["rows"]) == ("no_baseline", [], 400)
    assert report["next"].startswith("Train the model again")


def test_predictions_that_shift_are_found(monitored: Monitored) -> None:
    monitored.send(captures(features(500), days_before(2), days_before(0)))
    sent = captures(features(800, seed=2), days_before(1), days_before(0), "odd")
    for _, record in sent:
        record["captureData"]["endpointOutput"]["data"] = "0.99"
    monitored.send(sent)
    report = monitored.run(settings={**SETTINGS, "retrain": {"on": ["drift"]}})
    (found,) = report["findings"]
    assert (report["status"], found["kind"]) == ("drifted", "shift")
    assert found["text"].startswith("predictions are others than at the training: stability index")
    assert report["next"].startswith("People decide")  # the alarm on drift counts features


def test_reports_are_kept_and_people_are_told_when_things_turn(monitored: Monitored) -> None:
    topic = monitored.sns.create_topic(Name="alarms")["TopicArn"]
    queue = subscribed(topic)
    given = ("--reports", REPORTS, "--topic", topic, "--execution", "e1")
    monitored.send(captures(features(800).with_columns(pl.col("distance") + 1500), days_before(2), days_before(0)))
    monitored.run(*given)
    monitored.run(*given)
    subject, text = received(queue)
    assert subject == "toy (dev-toy): drift beyond the limits"
    assert "What: 1 findings\n- distance has moved" in text
    assert f"Report: {REPORTS}/2030/03/10/10/e1/report.html" in text
    assert "Where: toy, version 1, the endpoint dev-toy" in text
    kept = {name.rpartition("/")[2] for name in monitored.objects("artifacts") if "monitoring/reports/2030" in name}
    assert kept == {
        "statistics.json", "constraints.json", "constraint_violations.json", "report.json", "report.html",
    }  # fmt: skip
    # nobody asks in between: that things are good again is known only when somebody does
    later = NOW + timedelta(days=4)
    monitored.run(*given, now=later)
    assert received(queue) is None
    monitored.send(captures(features(800, seed=4), days_before(0, later) - timedelta(days=1), days_before(0, later)))
    monitored.run(*given, now=later)
    assert received(queue)[0] == "toy (dev-toy): back within its limits"
    place = {"Bucket": "artifacts", "Key": "toy/monitoring/reports/latest.json"}
    latest = json.loads(monitored.s3.get_object(**place)["Body"].read())
    assert (latest["status"], latest["judged"]) == ("calm", "calm")


@pytest.mark.parametrize("of", ["time", "version"])
def test_a_look_at_another_time_or_version_changes_nothing_that_is_told(
    monitored: Monitored, capsys: pytest.CaptureFixture[str], of: str
) -> None:
    """A calm week of the past is no all-clear for the present, and ends no alarm."""
    topic = monitored.sns.create_topic(Name="looks")["TopicArn"]
    queue = subscribed(topic)
    given = ("--reports", REPORTS, "--topic", topic)
    monitored.send(captures(features(800).with_columns(pl.col("distance") + 1500), days_before(2), days_before(0)))
    monitored.send(captures(features(800, seed=4), days_before(20), days_before(18), "calm"))
    assert monitored.run(*given, "--execution", "daily")["looks_back"] is False
    assert received(queue) is not None
    place = {"Bucket": "artifacts", "Key": "toy/monitoring/reports/latest.json"}
    latest = monitored.s3.get_object(**place)["Body"].read()
    capsys.readouterr()
    other: tuple[str, ...] = ("--start", days_before(20).isoformat(), "--end", days_before(18).isoformat())
    if of == "version":
        other = ("--package", monitored.register(baseline=features(800).with_columns(pl.col("distance") + 1500)))
    report = monitored.run(*given, "--execution", "look", *other)
    assert (report["status"], report["looks_back"]) == ("calm", True)
    assert report["next"].startswith("Nothing: this was a look at another time or version")
    said = capsys.readouterr().out
    assert '"_aws"' not in said
    assert "no metrics, no notice, no newest report" in said
    assert received(queue) is None
    assert monitored.s3.get_object(**place)["Body"].read() == latest
    assert "toy/monitoring/reports/2030/03/10/10/look/report.html" in monitored.objects("artifacts")
    monitored.run(*given, "--execution", "daily-2")
    assert received(queue) is None


def test_who_could_not_be_told_is_told_by_the_next_run(monitored: Monitored) -> None:
    monitored.send(captures(features(800).with_columns(pl.col("distance") + 1500), days_before(2), days_before(0)))
    monitored.run("--reports", REPORTS, "--topic", "arn:aws:sns:us-east-1:123456789012:gone")
    topic = monitored.sns.create_topic(Name="mended")["TopicArn"]
    queue = subscribed(topic)
    monitored.run("--reports", REPORTS, "--topic", topic)
    assert received(queue)[0] == "toy (dev-toy): drift beyond the limits"


def test_a_topic_that_cannot_be_told_costs_no_report(monitored: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    monitored.send(captures(features(800).with_columns(pl.col("distance") + 1500), days_before(2), days_before(0)))
    monitored.run("--reports", REPORTS, "--topic", "arn:aws:sns:us-east-1:123456789012:gone")
    assert "warning: arn:aws:sns:us-east-1:123456789012:gone can't be told" in capsys.readouterr().out
    assert "toy/monitoring/reports/latest.json" in monitored.objects("artifacts")


def test_what_follows_is_what_the_settings_say(monitored: Monitored) -> None:
    monitored.send(captures(features(800).with_columns(pl.col("distance") + 1500), days_before(2), days_before(0)))
    retrain = {"on": ["drift", "quality"], "datapoints": 2, "of": 3}
    report = monitored.run(settings={**SETTINGS, "retrain": retrain})
    assert report["next"] == (
        "If 2 of 3 runs find this, the alarm on drift starts a training, whose gate decides whether it is released."
    )
    assert monitored.run(settings={**SETTINGS, "retrain": {"on": ["quality"]}})["next"].startswith("People decide")


def test_the_written_files_are_read_by_what_reads_model_monitors(monitored: Monitored) -> None:
    monitored.send(captures(features(500), days_before(2), days_before(0)))
    monitored.run()
    output = monitored.paths.processing_output("report")
    statistics = json_file(output / "statistics.json")
    assert statistics["dataset"]["item_count"] == 500
    assert [each["name"] for each in json_file(output / "constraints.json")["features"]] == [
        "hour",
        "distance",
        "carrier",
    ]
    assert json_file(output / "constraint_violations.json") == {"violations": []}
    assert "<html" in (output / "report.html").read_text()
    assert monitored.paths.message.read_text() == "calm: 500 rows"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--endpoint", "e"], "monitor needs --captures"),
        (["--predictions", "s3://a/b"], "monitor needs --manifest, --key"),
        (["--captures", "s3://a"], "monitor needs either --endpoint"),
        (["--endpoint", "e", "--captures", "s3://a", "--nonsense", "1"], "doesn't know the arguments --nonsense 1"),
        (["--endpoint", "e", "--captures", "s3://a", "--now", "noon"], "--now must be a time as .*, got 'noon'"),
        (["--endpoint", "e", "--captures", "s3://a", "--start", "2030-01-02", "--end", "2030-01-01"], "must be before"),
        (["--endpoint", "e", "--captures", "s3://a", "--settings", '{"drfit": {}}'], "did you mean 'drift'"),
        (["--endpoint", "e", "--captures", "s3://a", "--settings", '{"quality": {"metric": "mae"}}'], "metric must be"),
        (["--endpoint", "e", "--captures", "s3://a", "--settings", "/nowhere"], "must be JSON, a file of it"),
        (["--endpoint", "e", "--captures", "s3://a", "--workers", "0"], "--workers must be a whole number"),
    ],
)  # fmt: skip
def test_arguments_that_are_none_are_refused_with_the_fix(arguments: list[str], reason: str) -> None:
    with pytest.raises(JobError, match=reason):
        job.parse_arguments(arguments)


def test_settings_come_as_a_folder_with_one_file(tmp_path: Any) -> None:
    (tmp_path / "asset.json").write_text(json.dumps({**SETTINGS, "window_days": 3}))
    asked = job.parse_arguments(["--endpoint", "e", "--captures", "s3://a", "--settings", str(tmp_path)])
    assert asked.settings.window_days == 3


def test_several_processes_see_what_one_sees(tmp_path: Any) -> None:
    from model_runtime.monitor import traffic
    from model_runtime.monitor.lake import local_files
    from model_runtime.monitor.window import Window

    for number in range(4):
        hour = days_before(1 - number / 24)
        file = tmp_path / "dev" / "live" / f"{hour:%Y/%m/%d/%H}" / "part.jsonl"
        file.parent.mkdir(parents=True)
        sent = captures(features(100, seed=number), hour, days_before(1 - (number + 1) / 24), f"part{number}")
        file.write_bytes(lines([record for _, record in sent]))
    window = Window.parse("auto", "auto", NOW.isoformat(), 2, 0)
    question = traffic.Question(
        window=window, features=("hour", "distance", "carrier"), problem="binary_classification"
    )
    files = local_files(tmp_path, None, None)
    alone = traffic.read_traffic(question, files, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traffic, "FILES_AT_A_TIME", 1)
        together = traffic.read_traffic(question, files, 2)
    assert together.rows == alone.rows == 400
    assert together.counts.hours == alone.counts.hours
    assert together.predictions.settle().keys.tolist() == alone.predictions.settle().keys.tolist()
    mine, its = (each.table().columns["distance"].numbers for each in (together, alone))
    assert (mine.mean, mine.maximum) == (pytest.approx(its.mean), its.maximum)


def subscribed(topic: str) -> Any:
    import boto3

    queue = boto3.resource("sqs").create_queue(QueueName="inbox")
    boto3.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.attributes["QueueArn"])
    return queue


def received(queue: Any) -> Any:
    messages = queue.receive_messages(MaxNumberOfMessages=10)
    assert len(messages) <= 1
    for message in messages:
        said = json.loads(message.body)
        message.delete()
        return said["Subject"], said["Message"]
    return None
