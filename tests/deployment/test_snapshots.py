"""What the stacks synthesize, compared with what is stored. `make tests ARGS=--update-snapshots` stores it anew.

Stored are the stacks of dev as a whole, and of the other environments what is different in them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deployment.assemblies import Templates
from tests.deployment.snapshots import differences, readable, text_of, without_name

FOLDER = Path(__file__).parent / "snapshots"
STACKS = (
    "block-time-batch", "block-time-monitoring", "block-time-training", "data", "flight-delay-batch",
    "flight-delay-monitoring", "flight-delay-serving", "flight-delay-training", "foundation", "studio",
)  # fmt: skip

STATEFUL = {
    "AWS::ECR::Repository",
    "AWS::Glue::Database",
    "AWS::Glue::Table",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SageMaker::Domain",
    "AWS::SageMaker::MlflowApp",
    "AWS::SageMaker::ModelPackageGroup",
    "AWS::SageMaker::Space",
    "AWS::SageMaker::UserProfile",
}
LOGICAL_IDS = {
    "block-time-batch": {"ReleaseLogD5B996A9", "TriggerLog72903A6C"},
    "block-time-monitoring": set(),
    "block-time-training": {"RegistryGroupF9A457C4", "TriggerLog72903A6C"},
    "data": {
        "CatalogBlockTimeGroundTruth8A837EB0",
        "CatalogBlockTimePredictionsC874E52D",
        "CatalogDatabaseE63956BB",
        "CatalogFlightDelayGroundTruth5FADB90D",
        "CatalogFlightDelayPredictions885E2DB8",
        "CatalogFlightsD998636B",
        "CatalogFlightsQuarantineA7A48C72",
        "CatalogFlightsStaged6A5E1717",
        "CatalogRawAirports550AF100",
        "CatalogRawFlights39D11149",
        "CatalogRawPlanes76DB6686",
        "CatalogRawWeatherC59DD641",
        "FlightsDatasetLabelsErrorLogsB9B72417",
        "FlightsDatasetLabelsOutputLogs6591F510",
        "FlightsDatasetPrepareErrorLogsC7071D51",
        "FlightsDatasetPrepareOutputLogs3506EF0F",
        "FlightsDatasetPublishErrorLogs79CE8042",
        "FlightsDatasetPublishOutputLogs5035E543",
        "LakeArtifacts2DD6A05E",
        "LakeCapture62BEB176",
        "LakeCurated8ED8635F",
        "LakeQuarantineBA300CC8",
        "LakeRaw8A880B75",
    },
    "flight-delay-batch": {"ReleaseLogD5B996A9", "TriggerLog72903A6C"},
    "flight-delay-monitoring": {"RetrainingLog5C15D70F"},
    "flight-delay-serving": {"InferenceLogs62E657D9", "ReleaseLogD5B996A9"},
    "flight-delay-training": {"RegistryGroupF9A457C4", "TriggerLog72903A6C"},
    "studio": {"ExperimentsAppD8CCB322"},
    "foundation": {"AccessLogs8B620ECA", "Alarms04B5A0BF", "Key961B73FD", "RuntimeImageRepository4552584C"},
}
"""Changing one of these makes CloudFormation replace the resource, and what it holds is gone or orphaned."""
ASKED_FOR = {("full", "flight-delay-monitoring"): {"NativeBaselinesLog2F8CE11F"}}
"""What only the environment with everything set has beside those: it asks for SageMaker Model Monitor."""
STUDIO_DOMAIN = {
    "StudioAllMaryJacksonProfileF79D86FD",
    "StudioAllMaryJacksonSpace92686026",
    "StudioBlocksadaProfile5220872C",
    "StudioBlocksadaSpaceA00EDAE5",
    "StudioDelaysadaProfileCBD9643C",
    "StudioDelaysadaSpace51214414",
    "StudioDelaysgraceProfileF78E10D9",
    "StudioDelaysgraceSpaceD5EC4B45",
    "StudioDomain20F5E462",
}


def compare(name: str, text: str, request: pytest.FixtureRequest) -> None:
    file = FOLDER / name
    if request.config.getoption("--update-snapshots"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert file.is_file(), f"no snapshot {name}: make tests ARGS=--update-snapshots writes it"
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("stack", STACKS)
def test_the_stacks_of_dev_are_as_stored(stack: str, templates: Templates, request: pytest.FixtureRequest) -> None:
    compare(f"{stack}.json", text_of(without_name(readable(templates[f"dev/{stack}"]), "dev")), request)


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_the_other_environments_differ_from_dev_as_stored(
    environment: str, templates: Templates, request: pytest.FixtureRequest
) -> None:
    found = {}
    for stack in STACKS:
        dev, other = templates[f"dev/{stack}"], templates[f"{environment}/{stack}"]
        found[stack] = differences(without_name(readable(dev), "dev"), without_name(readable(other), environment))
    compare(f"{environment}.differences.json", text_of(found), request)


def test_the_studio_domain_is_as_stored(full: Templates, request: pytest.FixtureRequest) -> None:
    # No environment of the repository has one, since none has a VPC.
    compare("studio-domain.json", text_of(without_name(readable(full["full/studio-domain"]), "full")), request)


def test_the_studio_domain_its_people_and_their_files_keep_their_logical_ids(full: Templates) -> None:
    resources = full["full/studio-domain"]["Resources"]
    assert {name for name, resource in resources.items() if resource["Type"] in STATEFUL} == STUDIO_DOMAIN


@pytest.mark.parametrize("environment", ["dev", "staging", "prod", "full"])
@pytest.mark.parametrize("stack", STACKS)
def test_what_holds_state_keeps_its_logical_id(
    stack: str, environment: str, templates: Templates, full: Templates
) -> None:
    resources = {**templates, **full}[f"{environment}/{stack}"]["Resources"]
    expected = LOGICAL_IDS[stack] | ASKED_FOR.get((environment, stack), set())
    assert {name for name, resource in resources.items() if resource["Type"] in STATEFUL} == expected


def test_a_changed_template_is_noticed(templates: Templates) -> None:
    template = readable(templates["dev/foundation"])
    changed = readable(templates["dev/foundation"])
    changed["Resources"]["Key961B73FD"]["Properties"]["EnableKeyRotation"] = False
    assert differences(template, changed) == {"/Resources/Key961B73FD/Properties/EnableKeyRotation": False}
