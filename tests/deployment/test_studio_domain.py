"""The Studio domain: what a team may do and what it may not, judged as IAM does, and what is refused at synth."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stacks.configuration import load
from stacks.settings import Repository
from tests.deployment.assemblies import REPOSITORY, Templates
from tests.deployment.declarations import Change, problems
from tests.deployment.permissions import Permissions, as_list, permissions_of

STACK = "full/studio-domain"
DOMAIN = "<StudioDomain20F5E462>"
NAMES = {
    "LakeCurated": "arn:s3:::curated",
    "LakeArtifacts": "arn:s3:::artifacts",
    "LakeCapture": "arn:s3:::capture",
    "ExperimentsApp": "arn:sagemaker:::mlflow-app/app",
    "JobsDelaysRole": "role/delays-jobs",
    "JobsBlocksRole": "role/blocks-jobs",
    "flight-delay-training:ExportsOutputFnGetAttRegistry": "arn:sagemaker:::model-package-group/full-flight-delay",
    "block-time-training:ExportsOutputFnGetAttRegistry": "arn:sagemaker:::model-package-group/full-block-time",
    "foundation:ExportsOutputFnGetAttKey": "key/environment",
}
NOTEBOOK_CALLS = REPOSITORY.root / "tests/sdk/first_steps_calls.json"
PLACE = {
    "sagemaker:VpcSubnets": ["subnet-0000000a"],
    "sagemaker:VpcSecurityGroupIds": ["sg-0000000c"],
    "sagemaker:InstanceTypes": ["ml.m5.xlarge"],
}
"""What a request for a job says of where it runs."""
TO_SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}
NEEDS = """\
studio:
  mlflow: true
  domain:
    idle_minutes: 90
  teams:
    delays:
      users: [ada]
      models: [flight_delay]
network:
  vpc_id: vpc-0000000d
  subnet_ids: [subnet-0000000a]
  security_group_ids: [sg-0000000c]
"""


@pytest.fixture
def delays(full: Templates) -> Permissions:
    """The team of `flight_delay`."""
    return permissions_of(full[STACK], "StudioDelaysRole", NAMES)


def pipeline(model: str) -> str:
    return f"arn:sagemaker:::pipeline/full-{model}"


def version(model: str) -> str:
    return f"arn:sagemaker:::model-package/full-{model}/1"


def s3(key: str) -> str:
    return f"arn:s3:::{key}"


def own(user: str, **more: str) -> dict[str, str]:
    """The context of a request that a user of the team delays makes."""
    profile = f"arn:sagemaker:::user-profile/{DOMAIN}/delays-{user}"
    context = {
        "sagemaker:UserProfileName": f"delays-{user}",
        "sagemaker:OwnerUserProfileArn": profile,
        "sagemaker:SpaceSharingType": "Private",
    }
    return context | {f"sagemaker:{name}": value for name, value in more.items()}


def test_team_reads_curated_data_and_what_its_trainings_leave_and_writes_neither(delays: Permissions) -> None:
    for key in ("curated/flights/manifest.json", "artifacts/flight_delay/1/evaluation.json"):
        assert delays.allows("s3:GetObject", s3(key))
        for action in ("s3:PutObject", "s3:DeleteObject"):
            assert not delays.allows(action, s3(key))
    assert delays.allows("kms:Decrypt", "key/environment")
    for key in ("curated/predictions/x", "artifacts/block_time/1/model.tar.gz", "capture/full-flight-delay/x.jsonl"):
        assert not delays.allows("s3:GetObject", s3(key))


def test_team_runs_and_reads_the_pipeline_of_its_model(delays: Permissions) -> None:
    for action in ("StartPipelineExecution", "DescribePipeline", "ListPipelineExecutions"):
        assert delays.allows(f"sagemaker:{action}", pipeline("flight-delay"))
    execution = f"{pipeline('flight-delay')}/execution/abc"
    for action in ("DescribePipelineExecution", "ListPipelineExecutionSteps", "StopPipelineExecution"):
        assert delays.allows(f"sagemaker:{action}", execution)


def test_team_may_do_all_that_the_first_notebook_does(delays: Permissions) -> None:
    execution = f"{pipeline('flight-delay')}/execution/abc"
    on = {
        "s3:GetObject": [
            s3("curated/flights/manifest.json"),
            s3("artifacts/flight_delay/abc/evaluation/evaluation.json"),
        ],
        "sagemaker:DescribePipeline": [pipeline("flight-delay")],
        "sagemaker:DescribePipelineExecution": [execution],
        "sagemaker:ListPipelineExecutionSteps": [execution],
        "sagemaker:StartPipelineExecution": [pipeline("flight-delay")],
        "sts:GetCallerIdentity": [],  # allowed to everybody
    }
    # `make test-sdk` compares the list with what the notebook really calls
    called = json.loads(NOTEBOOK_CALLS.read_text())
    assert set(called) == set(on)
    # what calls of boto3 don't show: MLflow's client signs its own, and reading decrypts
    on |= {"sagemaker:CallMlflowAppApi": ["arn:sagemaker:::mlflow-app/app"], "kms:Decrypt": ["key/environment"]}
    for action in on:
        for resource in on[action]:
            assert delays.allows(action, resource), (action, resource)


def test_team_touches_no_other_team_s_model(delays: Permissions, full: Templates) -> None:
    blocks = permissions_of(full[STACK], "StudioBlocksRole", NAMES)
    for team, model, name in ((delays, "block-time", "block_time"), (blocks, "flight-delay", "flight_delay")):
        for action in sorted(team.actions()):
            for resource in (
                pipeline(model),
                f"{pipeline(model)}/execution/abc",
                version(model),
                f"arn:sagemaker:::model-package-group/full-{model}",
                s3(f"artifacts/{name}/1/model.tar.gz"),
                "role/blocks-jobs" if team is delays else "role/delays-jobs",
                s3(f"artifacts/experiments/{'blocks' if team is delays else 'delays'}/code.py"),
            ):
                # lists of Studio know no resources
                if not action.startswith("sagemaker:List") or action in {
                    "sagemaker:ListModelPackages",
                    "sagemaker:ListPipelineExecutions",
                    "sagemaker:ListPipelineExecutionSteps",
                }:
                    assert not team.allows(action, resource, TO_SAGEMAKER), (action, resource)


def test_a_team_of_both_models_has_both(full: Templates) -> None:
    both = permissions_of(full[STACK], "StudioAllRole", NAMES)
    for model in ("block-time", "flight-delay"):
        assert both.allows("sagemaker:StartPipelineExecution", pipeline(model))


def test_team_reads_versions_and_neither_approves_registers_nor_deletes_them(delays: Permissions) -> None:
    assert delays.allows("sagemaker:DescribeModelPackage", version("flight-delay"))
    assert delays.allows("sagemaker:ListModelPackages", "arn:sagemaker:::model-package-group/full-flight-delay")
    for action in ("UpdateModelPackage", "CreateModelPackage", "DeleteModelPackage", "AddTags"):
        assert not delays.allows(f"sagemaker:{action}", version("flight-delay"))


def test_no_team_deploys_changes_pipelines_or_becomes_another_role(full: Templates) -> None:
    denied = {
        *(f"sagemaker:{verb}{kind}" for verb in ("Create", "Update") for kind in ("Endpoint", "Model", "ModelPackage")),
        "sagemaker:CreateEndpointConfig", "sagemaker:CreatePipeline", "sagemaker:UpdatePipeline",
        "sagemaker:UpdatePipelineExecution", "sagemaker:UpdateUserProfile", "sagemaker:UpdateDomain",
        "sagemaker:CreateUserProfile", "sagemaker:CreateSpace", "sagemaker:DeleteSpace",
    }  # fmt: skip
    for team in ("Delays", "Blocks", "All"):
        permissions = permissions_of(full[STACK], f"Studio{team}Role", NAMES)
        assert not denied & permissions.actions()
        services = {action.partition(":")[0] for action in permissions.actions()}
        assert services == {"iam", "kms", "logs", "s3", "sagemaker"}
        assert {action for action in permissions.actions() if action.startswith("iam:")} == {"iam:PassRole"}


def test_team_passes_the_role_of_its_own_jobs_to_sagemaker_and_nothing_else(delays: Permissions) -> None:
    assert delays.allows("iam:PassRole", "role/delays-jobs", TO_SAGEMAKER)
    assert not delays.allows("iam:PassRole", "role/delays-jobs", {"iam:PassedToService": "glue.amazonaws.com"})
    assert not delays.allows("iam:PassRole", "role/delays-jobs")
    others = ("role/blocks-jobs", "<StudioDelaysRole436C75B3>", "<StudioDefaultRole3880D10C>", "role/flight_delay-jobs")
    for other in others:
        assert not delays.allows("iam:PassRole", other, TO_SAGEMAKER)


@pytest.mark.parametrize("team", ["Delays", "Blocks", "All"])
def test_no_role_that_a_team_works_in_or_passes_can_replace_what_was_judged(team: str, full: Templates) -> None:
    name = team.lower()
    for role in (f"Studio{team}Role", f"Jobs{team}Role"):
        permissions = permissions_of(full[STACK], role, NAMES)
        for action in ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"):
            assert permissions.allows(action, s3(f"artifacts/experiments/{name}/try-1/model.tar.gz"))
            for key in (
                "artifacts/flight_delay/abc/model/pipelines-abc-Train-x/output/model.tar.gz",
                "artifacts/block_time/abc/evaluation/evaluation.json",
                "artifacts/flight_delay/checkpoints/x",
                "artifacts/experiments/others/try-1/model.tar.gz",
                "artifacts/queries/x",
                "curated/flights/manifest.json",
                "capture/full-flight-delay/x.jsonl",
            ):
                assert not permissions.allows(action, s3(key)), (role, action, key)
        written = {
            resource
            for statement in permissions.statements
            if "s3:PutObject" in as_list(statement["Action"])
            for resource in map(permissions.read, as_list(statement["Resource"]))
        }
        folders = {s3(f"artifacts/experiments/{name}"), s3("artifacts/mlflow")}
        assert written == {f"{folder}{end}" for folder in folders for end in ("/*", "", "_$folder$")}


def test_jobs_of_a_team_read_its_data_and_call_nothing_but_mlflow(full: Templates) -> None:
    jobs = permissions_of(full[STACK], "JobsDelaysRole", NAMES)
    assert jobs.allows("s3:GetObject", s3("curated/flights/manifest.json"))
    assert not jobs.allows("s3:GetObject", s3("artifacts/flight_delay/1/model.tar.gz"))
    assert not jobs.allows("s3:GetObject", s3("curated/predictions/x"))
    assert {each for each in jobs.actions() if each.startswith(("iam:", "sagemaker:", "sts:"))} == {
        "sagemaker:CallMlflowAppApi"
    }


def test_nothing_of_the_platform_reads_what_teams_try(full: Templates) -> None:
    for stack in ("data", "studio", "flight-delay-training", "block-time-training", "flight-delay-serving"):
        template = full[f"full/{stack}"]
        for role in [key for key, each in template["Resources"].items() if each["Type"] == "AWS::IAM::Role"]:
            permissions = permissions_of(template, role, NAMES)
            for action in ("s3:GetObject", "s3:PutObject"):
                assert not permissions.allows(action, s3("artifacts/experiments/delays/code.py")), (stack, role)


@pytest.mark.parametrize("kind", ["Training", "Processing"])
def test_team_s_own_jobs_are_told_by_their_names(kind: str, delays: Permissions) -> None:
    for verb in ("Create", "Describe", "Stop"):
        action, resource = f"sagemaker:{verb}{kind}Job", f"arn:sagemaker:::{kind.lower()}-job"
        assert delays.allows(action, f"{resource}/full-delays-try-1", PLACE)
        for other in ("pipelines-abc-Train-x", "full-blocks-try-1", "dev-delays-try-1"):
            assert not delays.allows(action, f"{resource}/{other}", PLACE)


@pytest.mark.parametrize("kind", ["Training", "Processing"])
@pytest.mark.parametrize(
    "change",
    [
        {"VpcSubnets": None},
        {"VpcSecurityGroupIds": None},
        {"InstanceTypes": None},
        {"VpcSubnets": ["subnet-0000000a", "subnet-0000000f"]},
        {"VpcSecurityGroupIds": ["sg-0000000f"]},
        {"InstanceTypes": ["ml.p4d.24xlarge"]},
        {"InstanceTypes": ["ml.m5.xlarge", "ml.p4d.24xlarge"]},
    ],
    ids=str,
)
def test_team_s_own_jobs_leave_neither_the_network_nor_the_machines(
    change: dict[str, list[str] | None], kind: str, delays: Permissions
) -> None:
    action, job = f"sagemaker:Create{kind}Job", f"arn:sagemaker:::{kind.lower()}-job/full-delays-try-1"
    changed = PLACE | {f"sagemaker:{key}": value for key, value in change.items()}
    context = {key: value for key, value in changed.items() if value is not None}
    assert delays.allows(action, job, PLACE)
    assert not delays.allows(action, job, context)


def test_team_s_own_jobs_run_on_the_machines_that_are_listed(full: Templates) -> None:
    blocks, job = permissions_of(full[STACK], "StudioBlocksRole", NAMES), "arn:sagemaker:::training-job/full-blocks-1"
    listed = PLACE | {"sagemaker:InstanceTypes": ["ml.c5.xlarge"]}
    assert blocks.allows("sagemaker:CreateTrainingJob", job, listed)
    # neither the model's own nor the team's, once there is a list
    for machine in ("ml.m5.xlarge", "ml.m5.large"):
        other = PLACE | {"sagemaker:InstanceTypes": [machine]}
        assert not blocks.allows("sagemaker:CreateTrainingJob", job, other)


def test_team_tracks_experiments_and_opens_the_app(delays: Permissions) -> None:
    for action in ("CallMlflowAppApi", "CreatePresignedMlflowAppUrl", "DescribeMlflowApp"):
        assert delays.allows(f"sagemaker:{action}", "arn:sagemaker:::mlflow-app/app")
        assert not delays.allows(f"sagemaker:{action}", "arn:sagemaker:::mlflow-app/other")
    assert delays.allows("s3:PutObject", s3("artifacts/mlflow/1/run/model"))


def test_a_member_opens_the_own_space_on_the_team_s_machine(delays: Permissions) -> None:
    app = f"arn:sagemaker:::app/{DOMAIN}/delays-ada/jupyterlab/default"
    assert delays.allows("sagemaker:CreateApp", app, own("ada", InstanceTypes="ml.t3.medium"))
    assert delays.allows("sagemaker:DeleteApp", app, own("ada"))
    assert not delays.allows("sagemaker:CreateApp", app, own("ada", InstanceTypes="ml.p4d.24xlarge"))
    assert not delays.allows("sagemaker:CreateApp", app, own("ada", SpaceSharingType="Shared"))
    for action in ("CreateApp", "DeleteApp"):
        context = own("ada") | {"sagemaker:UserProfileName": "delays-grace"}
        assert not delays.allows(f"sagemaker:{action}", app, context)
        assert not delays.allows(f"sagemaker:{action}", app.replace(DOMAIN, "d-other"), own("ada"))


def test_whoever_has_no_team_may_do_nothing(full: Templates) -> None:
    assert permissions_of(full[STACK], "StudioDefaultRole").statements == []
    (domain,) = [each for each in full[STACK]["Resources"].values() if each["Type"] == "AWS::SageMaker::Domain"]
    settings = domain["Properties"]["DefaultUserSettings"]
    assert settings["ExecutionRole"]["Fn::GetAtt"][0].startswith("StudioDefaultRole")


def test_an_environment_without_a_domain_has_no_stack_for_it(templates: Templates) -> None:
    assert not [name for name in templates if name.endswith("studio-domain")]


@pytest.fixture
def dev(repository: Repository) -> Path:
    """The configuration of dev, with a studio, in a copy of the repository."""
    file = repository.config / "dev.yaml"
    file.write_text(re.sub(r"^studio:\n(.*\n)+?(?=datasets:)", NEEDS, file.read_text(), flags=re.MULTILINE))
    assert load(repository).environments[0].environment.studio is not None
    return file


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  vpc_id: vpc-0000000d\n", "", ["studio.domain: needs the VPC of the subnets; add network.vpc_id"]),
        ("vpc-0000000d", "vpc-1", ["network.vpc_id must be as vpc-0123456789abcdef0, got 'vpc-1'"]),
        ("  domain:\n    idle_minutes: 90\n", "", ["studio.teams: need a domain to work in; add studio.domain"]),
        ("idle_minutes: 90", "idle_minutes: 30", ["studio.domain.idle_minutes must be at least 60, got 30"]),
        ("[flight_delay]", "[flight_delya]", ["models[0]: 'flight_delya' is no model", "did you mean 'flight_delay'?"]),
        ("[flight_delay]", "[flight_delay, flight_delay]", ["models[1]: 'flight_delay' is listed twice; remove one"]),
        ("[ada]", "[ada, ada]", ["users[1]: 'ada' is listed twice; remove one"]),
        ("[ada]", "[ada, Ada]", ["users[1]: 'Ada' and 'ada' differ in capitals only; rename one"]),
        ("[ada]", "[a_b]", ["users[0] must be as ada or ada-lovelace", "got 'a_b'"]),
        ("[ada]", "[]", ["users must have at least 1 entries, got an empty list"]),
        ("    delays:", "    Delays:", ["studio.teams.Delays must be as delays or flight-delays"]),
        (
            "[ada]",
            "[ada]\n      instance_type: ml.t3.medum",
            ["'ml.t3.medum' is no machine of Studio", "'ml.t3.medium'?"],
        ),
        (
            "[ada]",
            "[ada]\n      job_instance_types: [ml.m5.xlarge, ml.m5.xlrge]",
            ["job_instance_types[1]: 'ml.m5.xlrge' is no machine of jobs; did you mean 'ml.m5.xlarge'?"],
        ),
        ("[ada]", "[ada]\n      job_instance_types: []", ["job_instance_types must have at least 1 entries"]),
        ("[ada]", "[ada]\n      volume_gb: 4", ["volume_gb must be at least 5, got 4"]),
        ("[ada]", "[ada]\n      modles: []", ["modles is not a known key; did you mean 'models'?"]),
        (
            "    delays:",
            "    delays-eu: {users: [ada], models: [block_time]}\n    delays:",
            ["studio.teams.delays-eu: begins as 'delays' does"],
        ),
    ],
)
def test_a_studio_that_can_t_be_is_refused(
    old: str, new: str, told: list[str], dev: Path, repository: Repository
) -> None:
    text = dev.read_text()
    assert text.count(old) == 1
    dev.write_text(text.replace(old, new))
    (found,) = problems(repository)
    assert found.startswith("config/dev.yaml:")
    for each in told:
        assert each in found


def test_a_domain_without_any_network_says_what_is_missing(dev: Path, repository: Repository, change: Change) -> None:
    change("config/dev.yaml", r"^network:\n(  .*\n)+", "")
    (found,) = problems(repository)
    assert "studio.domain: needs a VPC; add network with vpc_id, subnet_ids (private ones)" in found
