"""Glue's tables, workflows, triggers, rulesets and jobs as CloudFormation deploys them."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.cloudformation.deployer import Deployer, deployed, resource

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"
DAY = [{"Name": "day", "Type": "date"}]


@pytest.fixture
def database(stack: Deployer) -> str:
    name = stack.name.replace("-", "_")
    stack.client("glue").create_database(DatabaseInput={"Name": name})
    return name


def table(database: str, name: str = "flights", **changes: Any) -> dict[str, Any]:
    storage = {
        "Columns": [{"Name": "carrier", "Type": "string"}],
        "Location": "s3://lake/flights/",
        "SerdeInfo": {"SerializationLibrary": "parquet", "Parameters": {"skip.header.line.count": 1}},
    }
    described = {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": DAY,
        "Parameters": {"projection.enabled": True},
        "StorageDescriptor": storage,
        **changes,
    }
    return {"CatalogId": ACCOUNT, "DatabaseName": database, "TableInput": described}


def workflow(**properties: Any) -> dict[str, Any]:
    return {"Name": "dev-flights", **properties}


def test_table_is_described_as_declared(stack: Deployer, database: str) -> None:
    name = deployed(stack, "Glue::Table", table(database))
    found = stack.client("glue").get_table(DatabaseName=database, Name=name)["Table"]
    assert name == "flights"
    assert found["PartitionKeys"] == DAY
    assert found["Parameters"] == {"projection.enabled": "true"}
    assert found["StorageDescriptor"]["Columns"] == [{"Name": "carrier", "Type": "string"}]
    assert found["StorageDescriptor"]["SerdeInfo"]["Parameters"] == {"skip.header.line.count": "1"}


def test_table_keeps_its_partitions_when_its_columns_change(stack: Deployer, database: str) -> None:
    glue = stack.client("glue")
    deployed(stack, "Glue::Table", table(database))
    partition = {"Values": ["2013-07-04"], "StorageDescriptor": {"Location": "s3://lake/flights/load=1/"}}
    glue.create_partition(DatabaseName=database, TableName="flights", PartitionInput=partition)
    columns = {"Columns": [{"Name": "carrier", "Type": "string"}, {"Name": "delay", "Type": "double"}]}
    deployed(stack, "Glue::Table", table(database, StorageDescriptor=columns))
    found = glue.get_table(DatabaseName=database, Name="flights")["Table"]
    assert [column["Name"] for column in found["StorageDescriptor"]["Columns"]] == ["carrier", "delay"]
    assert [each["Values"] for each in glue.get_partitions(DatabaseName=database, TableName="flights")["Partitions"]]


def test_renamed_table_replaces_the_old_one(stack: Deployer, database: str) -> None:
    glue = stack.client("glue")
    deployed(stack, "Glue::Table", table(database))
    assert deployed(stack, "Glue::Table", table(database, "landed")) == "landed"
    assert [found["Name"] for found in glue.get_tables(DatabaseName=database)["TableList"]] == ["landed"]
    glue.delete_table(DatabaseName=database, Name="landed")
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_workflow_follows_its_settings_and_forgets_what_is_left_out(stack: Deployer) -> None:
    glue = stack.client("glue")
    given = workflow(Description="one", DefaultRunProperties={"Redo": "changed"}, MaxConcurrentRuns=10)
    name = deployed(stack, "Glue::Workflow", {**given, "Tags": {"team": "data"}})
    found = glue.get_workflow(Name=name)["Workflow"]
    assert (found["MaxConcurrentRuns"], found["DefaultRunProperties"]) == (10, {"Redo": "changed"})
    changed = workflow(Description="two", DefaultRunProperties={"Redo": "all"}, MaxConcurrentRuns=5)
    assert deployed(stack, "Glue::Workflow", {**changed, "Tags": {"team": "ml"}}) == name == "dev-flights"
    found = glue.get_workflow(Name=name)["Workflow"]
    assert (found["Description"], found["MaxConcurrentRuns"]) == ("two", 5)
    assert glue.get_tags(ResourceArn=f"arn:aws:glue:us-east-1:{ACCOUNT}:workflow/{name}")["Tags"] == {"team": "ml"}
    deployed(stack, "Glue::Workflow", workflow())
    assert not {"Description", "MaxConcurrentRuns", "DefaultRunProperties"} & set(
        glue.get_workflow(Name=name)["Workflow"]
    )
    stack.destroy()
    with pytest.raises(ClientError, match="EntityNotFound"):
        glue.get_workflow(Name=name)


def event_trigger(**changes: Any) -> dict[str, Any]:
    return resource(
        "Glue::Trigger",
        {
            "Name": "dev-flights-landed",
            "Type": "EVENT",
            "WorkflowName": {"Ref": "Workflow"},
            "EventBatchingCondition": {"BatchSize": 100, "BatchWindow": 300},
            "Actions": [{"JobName": {"Ref": "Job"}}],
            **changes,
        },
    )


def conditional_trigger(state: str = "SUCCEEDED", **changes: Any) -> dict[str, Any]:
    condition = {"LogicalOperator": "EQUALS", "JobName": {"Ref": "Job"}, "State": state}
    return resource(
        "Glue::Trigger",
        {
            "Type": "CONDITIONAL",
            "WorkflowName": {"Ref": "Workflow"},
            "StartOnCreation": True,
            "Predicate": {"Logical": "AND", "Conditions": [condition]},
            "Actions": [{"JobName": {"Ref": "Job"}, "Timeout": 60}],
            **changes,
        },
    )


def with_job(**resources: Any) -> dict[str, Any]:
    command = {"Name": "glueetl", "ScriptLocation": "s3://b/one.py"}
    job = resource("Glue::Job", {"Role": ROLE, "Command": command})
    return {"Workflow": resource("Glue::Workflow", {}), "Job": job, **resources}


def test_triggers_of_a_workflow_are_created_as_declared(stack: Deployer) -> None:
    glue = stack.client("glue")
    status = stack.deploy(with_job(Landed=event_trigger(), Prepared=conditional_trigger()))["StackStatus"]
    assert status == "CREATE_COMPLETE", stack.reasons()
    landed = glue.get_trigger(Name=stack.physical_id("Landed"))["Trigger"]
    assert landed["EventBatchingCondition"] == {"BatchSize": 100, "BatchWindow": 300}
    assert landed["WorkflowName"] == stack.physical_id("Workflow")
    prepared = glue.get_trigger(Name=stack.physical_id("Prepared"))["Trigger"]
    assert prepared["State"] == "ACTIVATED"
    assert prepared["Predicate"]["Conditions"][0]["State"] == "SUCCEEDED"
    assert prepared["Actions"] == [{"JobName": stack.physical_id("Job"), "Timeout": 60}]
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"
    assert not [name for name in glue.list_triggers()["TriggerNames"] if name.startswith("dev-flights")]


def test_trigger_on_a_schedule_is_refused_with_what_to_use_instead(stack: Deployer) -> None:
    properties = {"Type": "SCHEDULED", "Schedule": "cron(0 6 * * ? *)", "Actions": [{"JobName": "any"}]}
    assert stack.deploy({"It": resource("Glue::Trigger", properties)})["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "EventBridge Scheduler" in stack.reasons()


def test_trigger_is_updated_in_place_and_stays_as_active_as_it_is(stack: Deployer) -> None:
    glue = stack.client("glue")

    def found() -> dict[str, Any]:
        return dict(glue.get_trigger(Name=name)["Trigger"])

    stack.deploy(with_job(It=conditional_trigger(Description="one")))
    name = stack.physical_id("It")
    stack.deploy(with_job(It=conditional_trigger("FAILED", StartOnCreation=False)))
    assert stack.physical_id("It") == name
    assert found()["Predicate"]["Conditions"][0]["State"] == "FAILED"
    assert "Description" not in found()
    assert found()["State"] == "ACTIVATED"
    stack.deploy(with_job(It=conditional_trigger("FAILED", StartOnCreation=True)))
    assert found()["State"] == "ACTIVATED"


def test_activation_of_a_trigger_that_exists_is_not_cloudformations(stack: Deployer) -> None:
    stack.deploy(with_job(It=conditional_trigger(StartOnCreation=False)))
    stack.deploy(with_job(It=conditional_trigger(StartOnCreation=True)))
    assert stack.client("glue").get_trigger(Name=stack.physical_id("It"))["Trigger"]["State"] == "CREATED"


def test_trigger_of_another_type_is_another_trigger(stack: Deployer) -> None:
    on_demand = {"Type": "ON_DEMAND", "WorkflowName": {"Ref": "Workflow"}, "Actions": [{"JobName": {"Ref": "Job"}}]}
    stack.deploy(with_job(It=conditional_trigger()))
    first = stack.physical_id("It")
    stack.deploy(with_job(It=resource("Glue::Trigger", on_demand)))
    assert stack.physical_id("It") != first
    with pytest.raises(ClientError, match="EntityNotFound"):
        stack.client("glue").get_trigger(Name=first)


def test_what_is_gone_of_a_workflow_is_no_obstacle_to_its_deletion(stack: Deployer) -> None:
    stack.deploy(with_job(It=conditional_trigger()))
    stack.client("glue").delete_workflow(Name=stack.physical_id("Workflow"))
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_rule_may_send_events_to_a_workflow_but_to_nothing_else_of_glue(stack: Deployer) -> None:
    events = stack.client("events")

    def rule(kind: str) -> dict[str, Any]:
        arn = {"Fn::Sub": f"arn:aws:glue:${{AWS::Region}}:${{AWS::AccountId}}:{kind}/${{Workflow}}"}
        target = {"Id": "it", "Arn": arn, "RoleArn": ROLE}
        pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"]}
        return with_job(Rule=resource("Events::Rule", {"EventPattern": pattern, "Targets": [target]}))

    stack.deploy(rule("workflow"))
    (target,) = events.list_targets_by_rule(Rule=stack.physical_id("Rule"))["Targets"]
    workflow_arn = f"arn:aws:glue:us-east-1:{ACCOUNT}:workflow/{stack.physical_id('Workflow')}"
    assert (target["Arn"], target["RoleArn"]) == (workflow_arn, ROLE)
    assert stack.deploy(rule("job"))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "don't reach the target" in stack.reasons()
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_ruleset_is_updated_in_place_also_for_another_table(stack: Deployer) -> None:
    glue = stack.client("glue")

    def ruleset(text: str, table_name: str, **properties: Any) -> dict[str, Any]:
        target = {"DatabaseName": "mlops_dev", "TableName": table_name}
        return {"Name": "dev-flights", "Ruleset": text, "TargetTable": target, **properties}

    first = ruleset("Rules = [ RowCount > 0 ]", "flights_staged", Description="one")
    name = deployed(stack, "Glue::DataQualityRuleset", first)
    created = glue.get_data_quality_ruleset(Name=name)
    assert (created["Ruleset"], created["TargetTable"]) == (first["Ruleset"], first["TargetTable"])
    deployed(stack, "Glue::DataQualityRuleset", ruleset("Rules = [ RowCount > 1 ]", "flights_staged"))
    found = glue.get_data_quality_ruleset(Name=name)
    assert (found["Ruleset"], found["CreatedOn"]) == ("Rules = [ RowCount > 1 ]", created["CreatedOn"])
    assert not found["Description"]
    moved = ruleset("Rules = [ RowCount > 1 ]", "flights")
    assert deployed(stack, "Glue::DataQualityRuleset", moved) == name == "dev-flights"
    assert glue.get_data_quality_ruleset(Name=name)["TargetTable"] == moved["TargetTable"]
    glue.delete_data_quality_ruleset(Name=name)
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_ruleset_that_cannot_be_evaluated_fails_the_stack_with_the_reason(stack: Deployer) -> None:
    properties = {"Name": "broken", "Ruleset": "Rules = [ RowCount >> 0 ]"}
    stack.deploy({"It": resource("Glue::DataQualityRuleset", properties)})
    assert "ruleset broken: " in stack.reasons()


def test_newer_properties_of_a_job_survive_its_update(stack: Deployer) -> None:
    def job(**properties: Any) -> dict[str, Any]:
        command = {"Name": "glueetl", "ScriptLocation": "s3://b/one.py"}
        return {"Role": ROLE, "Command": command, "ExecutionClass": "STANDARD", "MaxRetries": 1, **properties}

    def found(*names: str) -> list[Any]:
        described = stack.client("glue").get_job(JobName=name)["Job"]
        return [described.get(each) for each in names]

    notice = {"NotifyDelayAfter": 10}
    first = job(JobRunQueuingEnabled=True, NotificationProperty=notice, MaintenanceWindow="Sun:14")
    name = deployed(stack, "Glue::Job", first)
    assert found("JobRunQueuingEnabled", "MaintenanceWindow", "NotificationProperty") == [True, "Sun:14", notice]
    again = job(JobRunQueuingEnabled=True, JobMode="SCRIPT", MaxRetries=2, ExecutionClass="FLEX")
    assert deployed(stack, "Glue::Job", again) == name
    assert found("JobRunQueuingEnabled", "MaintenanceWindow", "JobMode") == [True, None, "SCRIPT"]
    assert found("MaxRetries", "ExecutionClass") == [2, "FLEX"]
