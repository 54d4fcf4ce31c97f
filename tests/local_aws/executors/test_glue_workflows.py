"""Glue workflows: jobs that follow one another, their runs, statistics and graphs."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.executors.glue_workflow import Nightly, job_runs


def test_job_follows_the_one_that_succeeded(nightly: Nightly) -> None:
    for name in ("prepare", "publish"):
        nightly.job(name)
    nightly.trigger("first", "prepare", Actions=[{"JobName": "prepare", "Arguments": {"--colour": "blue"}}])
    nightly.follow("then", "publish", ("prepare", "SUCCEEDED"))
    run = nightly.run(FirstDay="2013-07-04")
    assert run["Status"] == "COMPLETED"
    assert {name: count for name, count in run["Statistics"].items() if count} == {
        "TotalActions": 2,
        "SucceededActions": 2,
    }
    assert run["WorkflowRunProperties"] == {"Redo": "changed", "FirstDay": "2013-07-04"}
    prepare, publish = job_runs(run, "prepare")[0], job_runs(run, "publish")[0]
    assert (prepare["TriggerName"], prepare["Arguments"]) == ("first", {"--colour": "blue"})
    assert publish["PredecessorRuns"] == [{"JobName": "prepare", "RunId": prepare["Id"]}]
    assert nightly.arguments("publish")[0] == {
        "--JOB_NAME": "publish",
        "--JOB_RUN_ID": publish["Id"],
        "--WORKFLOW_NAME": "nightly",
        "--WORKFLOW_RUN_ID": run["WorkflowRunId"],
    }


def test_failed_action_completes_the_run_and_starts_only_what_waits_for_it(nightly: Nightly) -> None:
    nightly.job("prepare", DefaultArguments={"--exit": "3"})
    nightly.job("publish")
    nightly.job("repair")
    nightly.trigger("first", "prepare")
    nightly.follow("good", "publish", ("prepare", "SUCCEEDED"))
    nightly.follow("bad", "repair", ("prepare", "FAILED"))
    run = nightly.run()
    assert run["Status"] == "COMPLETED"
    statistics = run["Statistics"]
    assert (statistics["TotalActions"], statistics["FailedActions"], statistics["SucceededActions"]) == (2, 1, 1)
    assert (len(nightly.arguments("publish")), len(nightly.arguments("repair"))) == (0, 1)
    assert job_runs(run, "prepare")[0]["ErrorMessage"] == "Command failed with exit code 3"


def test_run_waits_for_the_retries_of_a_job(nightly: Nightly) -> None:
    nightly.job("prepare", DefaultArguments={"--exit": "3"}, MaxRetries=1)
    nightly.job("repair")
    nightly.trigger("first", "prepare")
    nightly.follow("bad", "repair", ("prepare", "FAILED"))
    run = nightly.run()
    assert [attempt["Attempt"] for attempt in job_runs(run, "prepare")] == [0, 1]
    assert (run["Statistics"]["TotalActions"], len(job_runs(run, "repair"))) == (2, 1)


@pytest.mark.parametrize(("logical", "last"), [("AND", 0), ("ANY", 1)])
def test_condition_of_several_jobs_counts_all_or_any(nightly: Nightly, logical: str, last: int) -> None:
    nightly.job("flights")
    nightly.job("weather", DefaultArguments={"--exit": "1"})
    nightly.job("publish")
    nightly.trigger("first", "", Actions=[{"JobName": "flights"}, {"JobName": "weather"}])
    nightly.follow("then", "publish", ("flights", "SUCCEEDED"), ("weather", "SUCCEEDED"), logical=logical)
    run = nightly.run()
    assert (run["Status"], len(job_runs(run, "publish"))) == ("COMPLETED", last)


def test_action_that_cannot_start_is_an_error_of_the_run(nightly: Nightly) -> None:
    nightly.job("prepare")
    nightly.trigger("first", "", Actions=[{"JobName": "prepare"}, {"JobName": "nothing"}, {"JobName": "prepare"}])
    run = nightly.run()
    assert (run["Status"], run["Statistics"]["ErroredActions"]) == ("COMPLETED", 2)
    assert job_runs(run, "nothing")[0]["JobRunState"] == "ERROR"
    assert "Job nothing not found" in job_runs(run, "nothing")[0]["ErrorMessage"]
    assert job_runs(run, "prepare")[1]["ErrorMessage"] == "Concurrent runs exceeded for prepare"


def test_queued_action_waits_for_its_turn(nightly: Nightly) -> None:
    nightly.job("prepare", JobRunQueuingEnabled=True, DefaultArguments={"--sleep": "0.3"})
    nightly.trigger("first", "", Actions=[{"JobName": "prepare"}, {"JobName": "prepare"}])
    run_id = nightly.start()
    nightly.wait(lambda: nightly.describe(run_id)["Statistics"]["WaitingActions"], lambda waiting: waiting == 1)
    assert nightly.ended(run_id)["Statistics"]["SucceededActions"] == 2


def test_stopped_run_ends_its_jobs_and_starts_no_more(nightly: Nightly) -> None:
    nightly.job("prepare", DefaultArguments={"--sleep": "60"})
    nightly.job("publish")
    nightly.trigger("first", "prepare")
    nightly.follow("then", "publish", ("prepare", "STOPPED"))
    run_id = nightly.start()
    nightly.wait(lambda: nightly.arguments("prepare"), bool)
    nightly.glue.stop_workflow_run(Name="nightly", RunId=run_id)
    run = nightly.ended(run_id)
    assert (run["Status"], run["Statistics"]["StoppedActions"]) == ("STOPPED", 1)
    assert nightly.arguments("publish") == []
    with pytest.raises(ClientError, match="IllegalWorkflowState"):
        nightly.glue.stop_workflow_run(Name="nightly", RunId=run_id)


def test_closing_the_service_ends_runs_without_starting_what_follows(server: Any, nightly: Nightly) -> None:
    nightly.job("prepare", DefaultArguments={"--sleep": "60"})
    nightly.trigger("first", "prepare")
    nightly.follow("then", "prepare", ("prepare", "STOPPED"))
    run_id = nightly.start()
    nightly.wait(lambda: nightly.arguments("prepare"), bool)
    server.services[0].close()
    run = nightly.ended(run_id)
    assert (run["Status"], run["Statistics"]["TotalActions"]) == ("STOPPED", 1)


def test_script_reads_and_adds_run_properties(server: Any, nightly: Nightly) -> None:
    script = (
        "import boto3, sys\n"
        "given = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "run = {'Name': given['--WORKFLOW_NAME'], 'RunId': given['--WORKFLOW_RUN_ID']}\n"
        "glue = boto3.client('glue')\n"
        "first = glue.get_workflow_run_properties(**run)['RunProperties']['FirstDay']\n"
        "glue.put_workflow_run_properties(**run, RunProperties={'Seen': first})\n"
    )
    server.client("s3").put_object(Bucket="lake", Key="code/script.py", Body=script.encode())
    nightly.job("prepare")
    nightly.trigger("first", "prepare")
    run = nightly.run(FirstDay="2013-02-01")
    assert run["WorkflowRunProperties"] == {"Redo": "changed", "FirstDay": "2013-02-01", "Seen": "2013-02-01"}


def test_runs_beyond_the_workflows_bound_are_refused(nightly: Nightly) -> None:
    nightly.glue.update_workflow(Name="nightly", MaxConcurrentRuns=1)
    nightly.job("prepare", DefaultArguments={"--sleep": "60"}, ExecutionProperty={"MaxConcurrentRuns": 5})
    nightly.trigger("first", "prepare")
    nightly.start()
    with pytest.raises(ClientError, match="ConcurrentRunsExceeded"):
        nightly.start()
    nightly.glue.update_workflow(Name="nightly")
    nightly.start()


def test_runs_are_listed_newest_first_in_pages(nightly: Nightly) -> None:
    nightly.job("prepare")
    nightly.trigger("first", "prepare")
    started = [nightly.run()["WorkflowRunId"] for _ in range(3)]
    first = nightly.glue.get_workflow_runs(Name="nightly", MaxResults=2)
    second = nightly.glue.get_workflow_runs(Name="nightly", MaxResults=2, NextToken=first["NextToken"])
    assert [run["WorkflowRunId"] for run in first["Runs"] + second["Runs"]] == started[::-1]
    assert "NextToken" not in second
    assert [run.get("PreviousRunId") for run in first["Runs"]] == [started[1], started[0]]
    assert nightly.glue.get_workflow(Name="nightly")["Workflow"]["LastRun"]["WorkflowRunId"] == started[-1]


def test_graph_leads_from_triggers_over_jobs_to_triggers(nightly: Nightly) -> None:
    nightly.trigger("first", "prepare")
    nightly.follow("then", "publish", ("prepare", "SUCCEEDED"))
    graph = nightly.glue.get_workflow(Name="nightly", IncludeGraph=True)["Workflow"]["Graph"]
    names = {node["UniqueId"]: (node["Type"], node["Name"]) for node in graph["Nodes"]}
    assert {(names[edge["SourceId"]], names[edge["DestinationId"]]) for edge in graph["Edges"]} == {
        (("TRIGGER", "first"), ("JOB", "prepare")),
        (("JOB", "prepare"), ("TRIGGER", "then")),
        (("TRIGGER", "then"), ("JOB", "publish")),
    }
    assert len(names) == 4


def test_run_goes_by_the_triggers_it_began_with(nightly: Nightly) -> None:
    nightly.job("prepare", DefaultArguments={"--sleep": "0.5"})
    nightly.job("publish")
    nightly.trigger("first", "prepare")
    nightly.follow("then", "publish", ("prepare", "SUCCEEDED"))
    run_id = nightly.start()
    nightly.glue.delete_trigger(Name="then")
    assert nightly.ended(run_id)["Statistics"]["SucceededActions"] == 2
    assert nightly.run()["Statistics"]["SucceededActions"] == 1


def test_workflow_is_deleted_with_its_triggers(nightly: Nightly) -> None:
    nightly.trigger("first", "prepare")
    nightly.glue.delete_workflow(Name="nightly")
    answer = nightly.glue.batch_get_workflows(Names=["nightly"])
    assert (answer["Workflows"], answer["MissingWorkflows"]) == ([], ["nightly"])
    assert nightly.glue.list_triggers()["TriggerNames"] == []
    with pytest.raises(ClientError, match="EntityNotFound"):
        nightly.start()


def test_workflow_without_a_trigger_that_starts_it_says_so(nightly: Nightly) -> None:
    with pytest.raises(ClientError, match="has no trigger that starts it"):
        nightly.start()
