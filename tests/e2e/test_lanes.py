"""Lanes: another Region, and another account by the role of docs/lane-role.yaml, swept by one stack."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Iterator

import boto3
import pytest
from botocore.exceptions import ClientError
from conftest import ROOT
from test_least_privilege import denied, wear  # noqa: F401
from test_sweeps import Sweeps, known, scheduled
from world import Made, World, wait_until

# To the emulator, twelve digits are the root of the account of that number.
ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/jobwarden-lane"
NOBODYS = f"arn:aws:iam::{ACCOUNT}:role/nobodys"
LANES = f"us=us-east-1:live,plant=eu-central-1@{ROLE}:live,shut=eu-north-1@{NOBODYS}:live,new=us-west-2"

_names = itertools.count(1)


class Elsewhere(World):
    """Another Region, or another account: admin access to its AWS IoT, and to the stack's bucket and queues."""

    def __init__(self, stack, region: str, account: str | None = None) -> None:
        super().__init__(stack)
        session = boto3.Session(account, "test", region_name=region) if account else None
        client = session.client if session else stack.client
        self.iot, self.devices = (
            client(service, region_name=region, endpoint_url=stack.endpoint) for service in ("iot", "iot-jobs-data")
        )
        self.arn = f"arn:aws:iot:{region}:{account or self.arn.split(':')[4]}"


@dataclasses.dataclass
class Lane:
    """A lane, with an execution that is due for deletion, one that is stale, and one that stays."""

    name: str | None
    world: World
    due: Made
    stale: Made
    kept: Made

    @property
    def members(self) -> dict:
        return {"lane": self.name} if self.name else {}

    def statuses(self) -> list[str | None]:
        return [self.world.status(m) for m in (self.due, self.stale, self.kept)]


UNTOUCHED = ["SUCCEEDED", "QUEUED", "SUCCEEDED"]


def _lane_role(stack, account) -> None:
    """The role of the other account, as its owner deploys it."""
    outputs = {name: stack.outputs[name] for name in ("DeleteExpiredRoleArn", "CancelStaleRoleArn")}
    cloudformation = account.client("cloudformation", endpoint_url=stack.endpoint)
    cloudformation.create_stack(
        StackName="jobwarden-lane",
        TemplateBody=(ROOT / "docs" / "lane-role.yaml").read_text(),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in outputs.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName="jobwarden-lane", WaiterConfig={"Delay": 1})
    made = cloudformation.describe_stacks(StackName="jobwarden-lane")["Stacks"][0]["Outputs"]
    assert made[0]["OutputValue"] == ROLE


@pytest.fixture(scope="module")
def places(stack) -> Iterator[dict[str | None, World]]:
    """The stack's own account and Region, and those of its further lanes."""
    _lane_role(stack, boto3.Session(ACCOUNT, "test", region_name=stack.region))
    stack.deploy({"Lanes": LANES, "LaneRoles": f"{ROLE},{NOBODYS}"})
    yield {None: World(stack), "us": Elsewhere(stack, "us-east-1"), "plant": Elsewhere(stack, "eu-central-1", ACCOUNT)}
    stack.deploy({"Lanes": "", "LaneRoles": ""})


@pytest.fixture
def lanes(places) -> list[Lane]:
    """The same names in every lane."""
    home = places[None]
    home.end_sweeps()
    for world in places.values():
        world.wipe()
    jobs = [f"lane-{next(_names)}" for _ in range(3)]

    def make(world: World, which: int, status: str) -> Made:
        return world.executions([status], thing="pump", jobId=jobs[which])[0]

    lanes = [Lane(name, world, None, None, None) for name, world in places.items()]
    home.set_time_offset("-100d")
    try:
        for lane in lanes:
            lane.due, lane.stale = make(lane.world, 0, "SUCCEEDED"), make(lane.world, 1, "QUEUED")
    finally:
        home.set_time_offset("+0d")
    for lane in lanes:
        lane.kept = make(lane.world, 2, "SUCCEEDED")
    return lanes


@pytest.fixture
def sweeps(operator) -> Sweeps:
    return Sweeps(operator)


@contextlib.contextmanager
def held_back(world, function: str) -> Iterator[None]:
    """Keeps a worker from its queue."""
    name = world.stack.function_name(function)
    (mapping,) = world.functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    world.functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        world.functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


def test_each_lane_is_swept_by_itself_and_its_records_say_which_it_is(lanes, sweeps):
    for operation, after in (
        ("delete-expired", [None, "QUEUED", "SUCCEEDED"]),
        ("cancel-stale", [None, "CANCELED", "SUCCEEDED"]),
    ):
        swept = set()
        for lane in lanes:
            report = sweeps.run(operation, dryRun=False, **lane.members)
            swept.add(lane.name)
            assert report.get("lane") == lane.name
            assert report["outcomes"] == {"deleted" if operation == "delete-expired" else "canceled": 1}
            for other in lanes:
                before = UNTOUCHED if operation == "delete-expired" else [None, "QUEUED", "SUCCEEDED"]
                assert other.statuses() == (after if other.name in swept else before), (lane.name, other.name)
            (record,) = lane.world.archived(report["sweepId"])
            assert record["job"]["arn"].startswith(f"{lane.world.arn}:job/lane-")
            outcomes = [k for k in lane.world.objects("outcomes/") if f"sweep={report['sweepId']}/" in k]
            assert len(outcomes) == 1


def test_a_schedule_starts_one_sweep_in_each_lane(places, lanes, sweeps):
    home = places[None]
    before = known(sweeps, "delete-expired")
    event = scheduled(home, "delete-expired")
    for _ in range(2):
        home.stack.invoke("StartSweep", event)
    started = known(sweeps, "delete-expired") - before
    ended = [sweeps.ended(sweep) for sweep in started]
    found = sorted((state.get("lane", ""), state["status"], state["dryRun"]) for state in ended)
    assert found == [
        ("", "SUCCEEDED", False),
        # Whose sweeps may not act yet.
        ("new", "SUCCEEDED", True),
        ("plant", "SUCCEEDED", False),
        ("shut", "FAILED", False),
        ("us", "SUCCEEDED", False),
    ]
    assert [lane.statuses() for lane in lanes] == [[None, "QUEUED", "SUCCEEDED"]] * 3


def test_each_lane_has_a_message_group_of_its_own(places, lanes, sweeps):
    home = places[None]
    queue = home.stack.outputs["DeleteExpiredQueueUrl"]
    with held_back(home, "DeleteExpired"):
        started = {lane.name: sweeps.start("delete-expired", dryRun=False, **lane.members) for lane in lanes}
        groups: dict[str, str] = {}

        def all_seen() -> bool:
            found = home.sqs.receive_message(
                QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0, AttributeNames=["MessageGroupId"]
            )
            for message in found.get("Messages", []):
                groups[json.loads(message["Body"])["sweepId"]] = message["Attributes"]["MessageGroupId"]
            return len(groups) == len(lanes)

        wait_until("a message of each lane", all_seen, 20)
    assert groups == {
        started[None]: "delete-expired",
        started["us"]: "delete-expired.us",
        started["plant"]: "delete-expired.plant",
    }
    for sweep in started.values():
        assert sweeps.ended(sweep)["status"] == "SUCCEEDED"


def test_a_role_that_cannot_be_assumed_fails_its_sweep_and_says_so(lanes, sweeps):
    state = sweeps.ended(sweeps.start("delete-expired", dryRun=False, lane="shut"))
    assert state["status"] == "FAILED"
    assert f"the function may not assume the lane's role `{NOBODYS}`" in state["failure"]
    assert [lane.statuses() for lane in lanes] == [UNTOUCHED] * 3


def test_a_lane_that_is_not_there_any_more_fails_its_sweep(places, lanes, sweeps):
    with places[None].configured("DeleteExpired", JOBWARDEN_LANES=""):
        state = sweeps.ended(sweeps.start("delete-expired", dryRun=False, lane="us"))
    assert state["status"] == "FAILED"
    assert state["failure"] == "the lane `us` of us-east-1 is not among this deployment's Lanes any more"
    assert [lane.statuses() for lane in lanes] == [UNTOUCHED] * 3


def test_a_lane_that_there_is_not_is_refused_with_those_that_there_are(places, operator):
    answer = operator.wire.send("POST", "/sweeps", body={"operation": "delete-expired", "lane": "eu"})
    assert (answer.status, answer.error) == (400, "InvalidRequestException")
    assert "`us`, `plant`, `shut`, `new`" in answer.message


def test_a_lane_that_is_not_live_is_not_swept_for_real(places, operator):
    answer = operator.wire.send("POST", "/sweeps", body={"operation": "delete-expired", "lane": "new", "dryRun": False})
    assert (answer.status, answer.error) == (400, "InvalidRequestException")
    assert "the lane `new` allows dry runs only" in answer.message


def test_neither_worker_can_do_the_others_part_in_a_lanes_role(places, lanes, wear):  # noqa: F811
    """Whatever a worker asks of AWS STS: the role of the other account sees to it."""
    stack = places[None].stack
    plant = next(lane for lane in lanes if lane.name == "plant")
    parts = {"DeleteExpired": "jobwarden-delete-expired", "CancelStale": "jobwarden-cancel-stale"}
    for function, part in parts.items():
        sts = wear(function, "sts")
        for name in (*parts.values(), "another"):
            if name != part:
                assert denied(sts.assume_role, RoleArn=ROLE, RoleSessionName=name), (function, name)
        keys = sts.assume_role(RoleArn=ROLE, RoleSessionName=part)["Credentials"]
        session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], "eu-central-1")
        iot = session.client("iot", endpoint_url=stack.endpoint)
        deletes = function == "DeleteExpired"
        assert denied(iot.cancel_job_execution, **plant.stale.cancel) is deletes
        assert denied(iot.delete_job_execution, **plant.due.delete) is not deletes
        assert denied(iot.delete_job, jobId=plant.kept.job)
    assert plant.statuses() == [None, "CANCELED", "SUCCEEDED"]
    # And nobody else has any business there.
    for function in ("StartSweep", "ReadSweeps", "DeleteExecution", "CancelExecution"):
        assert denied(wear(function, "sts").assume_role, RoleArn=ROLE, RoleSessionName="jobwarden-delete-expired")


def test_the_home_roles_may_do_the_same_in_other_regions(places):
    home = places[None]
    iam = home.stack.client("iam")
    for function in ("DeleteExpired", "CancelStale"):
        configuration = home.functions.get_function_configuration(FunctionName=home.stack.function_name(function))
        role = configuration["Role"].rpartition("/")[2]

        def actions(policy: str, role=role) -> set[str]:
            statements = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]["Statement"]
            listed = [s["Action"] if isinstance(s["Action"], list) else [s["Action"]] for s in statements]
            return {action for some in listed for action in some if action.startswith("iot:")}

        assert actions("executions") == actions("executions-in-other-regions") | {"iot:ListJobs"}


def test_the_home_roles_reach_other_regions_only_with_lanes(places, lanes, wear):  # noqa: F811
    us = next(lane for lane in lanes if lane.name == "us")

    def sees(function: str) -> bool:
        iot = wear(function, "iot").meta
        keys = wear(function, "iot")._request_signer._credentials
        session = boto3.Session(keys.access_key, keys.secret_key, keys.token, "us-east-1")
        client = session.client("iot", endpoint_url=iot.endpoint_url)
        with contextlib.suppress(ClientError):
            client.describe_job_execution(**us.due.delete)
            return True
        return False

    assert {f for f in ("DeleteExpired", "CancelStale", "DeleteExecution", "ReadDecision") if sees(f)} == {
        "DeleteExpired",
        "CancelStale",
    }
