"""The documentation: every command, policy, rule and request on its pages, run or read as whoever copies it would.

What each language of a fenced block means is told by CONTRIBUTING.md. A page's commands run in one shell, in a copy of
the tree, after those of docs/start.md, beside the deployed stack. What cannot run here is in tests/docs/elsewhere.toml.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import pathlib
import re
import subprocess

import jsonschema
import pytest
import recipes
import session
import yaml
from conftest import ROOT
from pages import Fence, Page, page, pages
from wire import DOCUMENT, Answer
from world import World

RUN = [one for one in pages() if one.of("sh", "console") and one.name != session.START]
PYTHON = [fence for one in pages() for fence in one.of("python")]
JSON = [fence for one in pages() for fence in one.of("json")]
POLICIES = [recipe for one in pages() for recipe in recipes.policies(one)]
RULES = [fence for one in pages() for fence in recipes.rules(one)]

EXECUTION = "/things/pump-7/jobs/firmware-1-6-0"
# Parts of answers that pages show by themselves, by their names in docs/openapi.yaml.
SHOWN = ("Blocker",)
LEFT_BEHIND = "docs-left-behind"
# To the emulator, twelve digits are the root of the account of that number.
PLANT2 = """
[profile plant2]
region = eu-west-1
aws_access_key_id = 222233334444
aws_secret_access_key = test
"""


# Running them


@pytest.fixture(scope="module")
def open_session(stack, world: World, binary, tmp_path_factory):
    """Makes the session of a page. What is somewhere else for the pages, variables tell to what stands in for it."""
    strategy = stack.client("appconfig").create_deployment_strategy(
        Name="docs", DeploymentDurationInMinutes=0, FinalBakeTimeInMinutes=0, GrowthFactor=100, ReplicateTo="NONE"
    )["Id"]
    left_behind(world)
    settings = {**stack.settings(), "DOCS_STRATEGY": strategy, "DOCS_BUCKET": LEFT_BEHIND}

    def of(read: Page) -> session.Session:
        return session.Session(read, tmp_path_factory.mktemp("docs"), settings, stack.profiles() + PLANT2, binary)

    return of


def left_behind(world: World) -> None:
    """The bucket of a stack that is gone, with an object of the archive and its older version."""
    where = {"LocationConstraint": world.stack.region}
    world.s3.create_bucket(Bucket=LEFT_BEHIND, CreateBucketConfiguration=where)
    world.s3.put_bucket_versioning(Bucket=LEFT_BEHIND, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        key = "archive/date=2026-11-22/sweep=api/1.jsonl.gz"
        world.s3.put_object(Bucket=LEFT_BEHIND, Key=key, Body=gzip.compress(b""))


@pytest.fixture(scope="module")
def started(world: World, open_session):
    """The start page, read to its end: what it leaves is there for all others. Gives what went wrong."""
    world.end_sweeps()
    world.wipe()
    reading = open_session(page(session.START))
    failure = None
    try:
        reading.run(page(session.START).of("sh", "console"))
    except pytest.fail.Exception as failed:
        failure = str(failed)
    finally:
        world.set_time_offset("+0d")
    yield failure or "\n".join(reading.complaints())
    world.end_sweeps()
    world.wipe()


@pytest.fixture
def account(started, world: World):
    """The account with what the pages name: an execution that ended long ago, and one that waits."""
    world.end_sweeps()
    for job, thing, status, offset in (
        ("firmware-1-5-0", "pump-1", "SUCCEEDED", "-100d"),
        ("firmware-1-6-0", "pump-7", "QUEUED", "+0d"),
    ):
        with contextlib.suppress(world.iot.exceptions.ResourceNotFoundException):
            world.iot.delete_job(jobId=job, force=True)
        world.set_time_offset(offset)
        try:
            world.execution(status, thing=thing, jobId=job)
        finally:
            world.set_time_offset("+0d")
    yield world


def test_the_start_page_runs(started):
    if started:
        pytest.fail(started, pytrace=False)


@pytest.mark.parametrize("read", RUN, ids=str)
def test_a_page_runs(read: Page, account, open_session):
    reading = open_session(read)
    reading.run([session.start_block(), *read.of("sh", "console")])
    assert reading.complaints() == []


@pytest.mark.parametrize("fence", PYTHON, ids=str)
def test_a_block_of_python_runs(fence: Fence, account, open_session, operator):
    open_session(page(fence.page)).python(fence, operator.environment)


# Reading them


def jobwarden(binary: pathlib.Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("recipe", POLICIES, ids=str)
def test_a_policy_decides_as_its_cases_say(recipe: recipes.Recipe, binary, tmp_path):
    assert recipe.cases, "a policy comes with cases"
    done = jobwarden(binary, "policy", "test", recipes.policy_folder(recipe, tmp_path / "with"))
    assert done.returncode == 0, done.stdout + done.stderr
    ids = re.findall(r'@id\("([^"]+)"\)', recipe.policy.text)
    idle = re.findall(r"note: policy `([^`]+)` decides no case", done.stdout)
    assert set(ids).isdisjoint(idle), "a policy without a case that it decides"
    # Without the policy its cases come out otherwise.
    done = jobwarden(binary, "policy", "test", recipes.policy_folder(recipe, tmp_path / "without", with_policy=False))
    assert done.returncode == 1, done.stdout + done.stderr


@pytest.mark.parametrize("fence", RULES, ids=str)
def test_a_rule_is_one(fence: Fence, binary, tmp_path):
    done = jobwarden(binary, "policy", "check", recipes.rules_folder(fence, tmp_path / "rules"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_blocks_of_yaml_are_some():
    for fence in (fence for one in pages() for fence in one.of("yaml")):
        assert yaml.safe_load(fence.text), fence


@pytest.mark.parametrize("fence", JSON, ids=str)
def test_a_block_of_json_is_what_the_api_knows(fence: Fence, account, operator):
    body = json.loads(fence.text)
    if "operation" in body:
        check_start(operator.wire.send("POST", "/sweeps", body=body), body)
    elif "action" in body:
        answer = operator.wire.send("POST", "/decisions", body=body)
        assert answer.status == 200, answer
    elif "__type" in body:
        answer = operator.wire.send("DELETE", f"{EXECUTION}/executionNumber/1", query="force=true")
        assert {name: answer.json[name] for name in body} == body
    elif "fields" in body:
        jsonschema.validate(body, json.loads((ROOT / "docs" / "audit.schema.json").read_text()))
    else:
        assert any(DOCUMENT.problems(body, {"$ref": f"#/components/schemas/{part}"}) == [] for part in SHOWN), fence


def check_start(answer: Answer, body: dict) -> None:
    """It starts a sweep, but for a plan whose digest is made up: that is all that is wrong with it."""
    if "releasePlan" in body:
        assert answer.status == 400 and "no stopped sweep has a plan with the digest" in answer.message, answer
    else:
        assert answer.status == 202, answer
