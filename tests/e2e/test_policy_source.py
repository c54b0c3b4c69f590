"""Policies and rules from AppConfig and from the bucket: what is deployed there decides, without a new build."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time
import uuid

import pytest
from conftest import ROOT
from test_cold_start import SETTINGS, start
from test_sweeps import Sweeps
from world import wait_until

POLICIES = (ROOT / "policies" / "access.cedar").read_text()
RULES = (ROOT / "policies" / "retention.toml").read_text()

# A change of what is deployed is in force after half a minute at most, and the next request looks.
IN_FORCE_SECONDS = 45

FREEZE = """
@id("a-freeze")
@reason("nobody cancels while the new firmware is looked at")
forbid (principal is Jobwarden::User, action == Jobwarden::Action::"CancelJobExecution", resource);
"""

# Each of these facts costs a call of its own, or comes with one.
FACTS = """
@id("a-fact")
@reason("not this one")
forbid (principal is Jobwarden::User, action == Jobwarden::Action::"CancelJobExecution", resource)
when {
  resource.thingGroups.contains("line-2")
  || resource.thingAttributes.contains("site=berlin")
  || resource.statusDetails.contains("step=flashing")
  || resource.retryAttempt > 0
};
"""


@dataclasses.dataclass
class AppConfig:
    """The stack's two configuration profiles, as an operator deploys to them."""

    client: object
    outputs: dict[str, str]
    strategy: str

    def deploy(self, profile: str, text: str) -> str:
        """Deploys a text to all at once, and gives the version's label."""
        label = f"{profile}-{uuid.uuid4().hex[:8]}"
        ids = {"ApplicationId": self.outputs["PolicyApplicationId"]}
        ids["ConfigurationProfileId"] = self.outputs[f"{profile}ProfileId"]
        version = self.client.create_hosted_configuration_version(
            **ids, Content=text.encode(), ContentType="text/plain", VersionLabel=label
        )["VersionNumber"]
        environment = self.outputs["PolicyEnvironmentId"]
        started = self.client.start_deployment(
            **ids,
            EnvironmentId=environment,
            DeploymentStrategyId=self.strategy,
            ConfigurationVersion=str(version),
        )
        deployment = {"ApplicationId": ids["ApplicationId"], "EnvironmentId": environment}
        deployment["DeploymentNumber"] = started["DeploymentNumber"]
        wait_until(
            f"the deployment of {label}", lambda: self.client.get_deployment(**deployment)["State"] == "COMPLETE", 20
        )
        return label


@pytest.fixture(scope="module")
def appconfig(world):
    """The stack with PolicySource=appconfig, for the length of this module, and the shipped documents deployed."""
    client = world.stack.client("appconfig")
    strategy = client.create_deployment_strategy(
        Name="at-once", DeploymentDurationInMinutes=0, FinalBakeTimeInMinutes=0, GrowthFactor=100, ReplicateTo="NONE"
    )["Id"]
    deployer = AppConfig(client, world.stack.outputs, strategy)
    deployer.deploy("AccessPolicy", POLICIES)
    deployer.deploy("RetentionRules", RULES)
    world.stack.deploy({"PolicySource": "appconfig"})
    yield deployer
    world.stack.deploy({"PolicySource": "compiled"})


def asked(world, caller, m=None) -> tuple[str, dict]:
    """What comes of asking to cancel a waiting execution: the outcome and the whole decision."""
    m = m or world.execution()
    answer = caller.wire.send("PUT", f"/things/{m.thing}/jobs/{m.job}/cancel", query="dryRun=true")
    assert answer.status in (200, 403), answer
    decision = answer.json["decision"]
    return decision["outcome"], decision


def in_force(world, caller, label: str) -> float:
    """Waits until a version decides, and says how long that took."""
    began = time.monotonic()
    m = world.execution()
    wait_until(
        f"{label} to be in force",
        lambda: asked(world, caller, m)[1]["policySource"].endswith(f" {label}"),
        IN_FORCE_SECONDS,
        every=1,
    )
    return time.monotonic() - began


def test_a_deployment_in_appconfig_flips_a_decision_and_flips_it_back(world, operator, appconfig):
    shipped = appconfig.deploy("AccessPolicy", POLICIES)
    in_force(world, operator, shipped)
    outcome, before = asked(world, operator)
    assert outcome == "allow"

    frozen = appconfig.deploy("AccessPolicy", POLICIES + FREEZE)
    in_force(world, operator, frozen)
    outcome, decision = asked(world, operator)
    assert outcome == "forbidden"
    assert [policy["id"] for policy in decision["policies"]] == ["a-freeze"]
    assert decision["policyDigest"] != before["policyDigest"]
    m = world.execution()
    iot = operator.boto3()
    with pytest.raises(iot.exceptions.ClientError, match="nobody cancels while the new firmware is looked at"):
        iot.cancel_job_execution(**m.cancel)
    assert world.status(m) == "QUEUED"

    again = appconfig.deploy("AccessPolicy", POLICIES)
    in_force(world, operator, again)
    iot.cancel_job_execution(**m.cancel)
    assert world.status(m) == "CANCELED"
    lines = [line["fields"] for line in world.stack.events("CancelExecution")]
    audited = {line["policy_source"].rpartition(" ")[2] for line in lines if line.get("event") == "decision"}
    assert {shipped, frozen, again} <= audited


def test_facts_about_things_are_read_where_a_deployed_policy_asks(world, operator, appconfig):
    in_force(world, operator, appconfig.deploy("AccessPolicy", POLICIES + FACTS))
    plain = world.execution()
    grouped, located, flashing = world.executions(["QUEUED", "QUEUED", "IN_PROGRESS"])
    world.iot.create_thing_group(thingGroupName="line-2")
    world.iot.add_thing_to_thing_group(thingGroupName="line-2", thingName=grouped.thing)
    world.iot.update_thing(thingName=located.thing, attributePayload={"attributes": {"site": "berlin"}})
    world.devices.update_job_execution(
        jobId=flashing.job, thingName=flashing.thing, status="IN_PROGRESS", statusDetails={"step": "flashing"}
    )
    assert asked(world, operator, plain)[0] == "allow"
    for m in (grouped, located, flashing):
        outcome, decision = asked(world, operator, m)
        assert outcome == "forbidden", m
        assert "a-fact" in [policy["id"] for policy in decision["policies"]], m
        # What people and devices wrote stays out of the answer.
        assert "berlin" not in json.dumps(decision) and "flashing" not in json.dumps(decision)


def test_a_version_that_is_not_valid_never_comes_into_force(world, operator, appconfig):
    good = appconfig.deploy("AccessPolicy", POLICIES)
    in_force(world, operator, good)
    # AWS asks the validator first and does not deploy this. The emulator does not ask.
    bad = appconfig.deploy("AccessPolicy", POLICIES.replace("context.force", "context.farce"))

    def rejected() -> list[dict]:
        assert asked(world, operator)[1]["policySource"].endswith(f" {good}")
        lines = [line["fields"] for line in world.stack.events("CancelExecution")]
        return [line for line in lines if line.get("event") == "document_rejected"]

    line = wait_until("the version to be rejected", rejected, IN_FORCE_SECONDS, every=1)[-1]
    assert line["source"].endswith(f" {bad}")
    assert "farce" in line["error"]
    in_force(world, operator, appconfig.deploy("AccessPolicy", POLICIES))


@pytest.mark.parametrize(
    ("function", "text", "told"),
    [
        ("ValidateAccessPolicy", POLICIES, None),
        ("ValidateAccessPolicy", POLICIES.replace("context.force", "context.farce"), "farce"),
        ("ValidateAccessPolicy", RULES, "appconfig:"),
        ("ValidateAccessPolicy", "", "has no policy"),
        ("ValidateRetentionRules", RULES, None),
        ("ValidateRetentionRules", RULES.replace("TIMED_OUT", "TIMEOUT"), "TIMEOUT"),
        ("ValidateRetentionRules", POLICIES, "appconfig:"),
    ],
)
def test_the_validators_say_what_appconfig_may_deploy(world, function, text, told):
    event = {
        "applicationId": "abc1234",
        "configurationProfileId": "def5678",
        "configurationVersion": "7",
        "content": base64.b64encode(text.encode()).decode(),
        "uri": "hosted",
    }
    answer = world.functions.invoke(
        FunctionName=world.stack.function_name(function), Payload=json.dumps(event).encode()
    )
    body = json.loads(answer["Payload"].read())
    if told is None:
        assert "FunctionError" not in answer, body
        assert len(body["digest"]) == 64
    else:
        # AppConfig takes the invocation's failure for a no.
        assert answer["FunctionError"], body
        assert told in body["errorMessage"]


def test_a_sweep_goes_by_the_deployed_rules_and_says_which(world, operator, appconfig):
    world.end_sweeps()
    world.wipe()
    sweeps = Sweeps(operator)
    world.set_time_offset("-3d")
    try:
        m = world.execution("SUCCEEDED")
    finally:
        world.set_time_offset("+0d")
    report = sweeps.run("delete-expired", dryRun=True)
    assert report["due"] == 0
    assert report["rulesSource"].startswith("appconfig:") and report["policySource"].startswith("appconfig:")

    shorter = appconfig.deploy("RetentionRules", RULES.replace('SUCCEEDED = "30d"', 'SUCCEEDED = "2d"'))

    def due() -> bool:
        found = sweeps.run("delete-expired", dryRun=True)
        return found["rulesSource"].endswith(f" {shorter}") and found["due"] == 1

    wait_until("the shorter retention", due, IN_FORCE_SECONDS, every=2)
    done = sweeps.run("delete-expired")
    assert world.status(m) is None
    assert [record["job"]["jobId"] for record in world.archived(done["sweepId"])] == [m.job]
    appconfig.deploy("RetentionRules", RULES)


def test_the_cookbook_publishes_as_it_says(world, operator, appconfig, tmp_path):
    cookbook = (ROOT / "docs" / "policies.md").read_text()
    publish = cookbook[cookbook.index("APPLICATION=$(output") :].partition("```")[0]
    start = (ROOT / "docs" / "start.md").read_text()
    output = start[start.index("output() {") :].partition("}")[0] + "}"
    # The strategy of the page has AppConfig watch for ten minutes, and the client looks twice a minute.
    publish = publish.replace("AppConfig.AllAtOnce", appconfig.strategy).replace("2026-11-23", "from-the-cookbook")
    commands = tmp_path / "publish.sh"
    commands.write_text(f"set -euo pipefail\n{output}\n{publish}")
    tools = pathlib.Path(sys.executable).parent
    environment = {**world.stack.environment(), "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "AWS_PAGER": ""}
    done = subprocess.run(
        ["bash", commands], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    in_force(world, operator, "from-the-cookbook")


def version_of(world, key: str, text: str) -> str:
    return world.s3.put_object(Bucket=world.bucket, Key=key, Body=text.encode())["VersionId"]


def test_versions_in_the_bucket_decide_where_they_are_named(world, operator):
    rules = version_of(world, "policies/retention.toml", RULES)
    shipped = version_of(world, "policies/access.cedar", POLICIES)
    frozen = version_of(world, "policies/access.cedar", POLICIES + FREEZE)
    parameters = {"PolicySource": "bucket", "RetentionRulesVersion": rules}
    try:
        # The older version is asked for, and the newer one in its place changes nothing.
        world.stack.deploy({**parameters, "AccessPolicyVersion": shipped})
        outcome, decision = asked(world, operator)
        source = f"s3://{world.bucket}/policies/access.cedar?versionId="
        assert (outcome, decision["policySource"]) == ("allow", source + shipped)
        report = Sweeps(operator).run("cancel-stale", dryRun=True)
        assert report["rulesSource"] == f"s3://{world.bucket}/policies/retention.toml?versionId={rules}"

        world.stack.deploy({**parameters, "AccessPolicyVersion": frozen})
        outcome, decision = asked(world, operator)
        assert (outcome, decision["policySource"]) == ("forbidden", source + frozen)
    finally:
        world.stack.deploy({"PolicySource": "compiled", "AccessPolicyVersion": "", "RetentionRulesVersion": ""})
    assert asked(world, operator)[1]["policySource"] == "policies/access.cedar"


def not_started(world, function: str, **settings: str) -> str:
    """Why a function did not start with these settings. It may read what the account's root may."""
    code, line = start(function, SETTINGS[function] | settings, endpoint=world.stack.endpoint)
    assert code == 1
    assert line["fields"]["event"] == "start_failed"
    return line["fields"]["error"]


def test_a_document_that_is_broken_or_not_there_stops_the_start(world):
    broken = version_of(world, "policies/access.cedar", POLICIES.replace("context.force", "context.farce"))
    place = f"s3://{world.bucket}/policies/access.cedar?versionId="
    assert f"{place}{broken}:" in not_started(world, "CancelExecution", ACCESS_POLICY=place + broken)
    assert "cannot be read" in not_started(world, "CancelExecution", ACCESS_POLICY=f"{place}{uuid.uuid4()}")
    broken = version_of(world, "policies/retention.toml", RULES.replace("TIMED_OUT", "TIMEOUT", 1))
    place = f"s3://{world.bucket}/policies/retention.toml?versionId="
    assert "TIMEOUT" in not_started(world, "DeleteExpired", RETENTION_RULES=place + broken)
    error = not_started(world, "ReadSweeps", ACCESS_POLICY="appconfig:nobody/knows/this")
    assert error.startswith("the access policy cannot be had: ")
