"""The documentation: every command, policy, rule and request on its pages, run or read as whoever copies it would.

What each language of a fenced block means is told by CONTRIBUTING.md. A page's commands run in one shell, in a copy of
the tree, after those of docs/start.md, beside the deployed stack. What cannot run here is in tests/docs/elsewhere.toml.
"""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
from itertools import product

import elsewhere
import jsonschema
import pytest
import recipes
import session
import yaml
from conftest import ROOT
from pages import LANGUAGES, Fence, Page, led_to, page, pages, reachable
from wire import DOCUMENT, Answer
from world import STATES, World

EVERY = pytest.mark.parametrize("read", pages(), ids=str)
RUN = [one for one in pages() if one.of("sh", "console") and one.name != session.START]
PYTHON = [fence for one in pages() for fence in one.of("python")]
JSON = [fence for one in pages() for fence in one.of("json")]
POLICIES = [recipe for one in pages() for recipe in recipes.policies(one)]
RULES = [fence for one in pages() for fence in recipes.rules(one)]

# Words in capitals that commands are made of, besides variables and the statuses of executions.
WORDS = {"CAPABILITY_NAMED_IAM", "DELETE", "END", "HEAD", "JOB_EXECUTION", "NR", "POST", "PUT"}

EXECUTION = "/things/pump-7/jobs/firmware-1-6-0"
# Parts of answers that pages show by themselves, by their names in docs/openapi.yaml.
SHOWN = ("Blocker",)


@EVERY
def test_every_block_says_what_it_is(read: Page):
    assert [str(fence) for fence in read.fences if fence.language not in LANGUAGES] == []


@EVERY
def test_every_link_leads_to_a_file_and_a_heading(read: Page):
    broken = []
    for link in read.links:
        place, anchor = led_to(link)
        inside = [one for one in pages() if one.path == place]
        if not place.exists() or (anchor and inside and anchor not in inside[0].anchors):
            broken.append(str(link))
    assert broken == []


@EVERY
def test_every_command_in_the_text_is_there(read: Page, commands):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    there = {
        "make": lambda words: {word for word in words if "=" not in word} <= targets,
        "jobwarden": lambda words: any(words == c.split()[: len(words)] or words[: len(c.split())] == c.split() for c in commands),
        "python3": lambda words: (ROOT / words[0]).is_file(),
    }
    unknown = []
    for line, code in read.code:
        program, *words = code.split()
        # `a|b` stands for a command with each.
        if program in there and words and not all(there[program](list(c)) for c in product(*(w.split("|") for w in words))):
            unknown.append(f"{read}:{line}: {code}")
    assert unknown == []


def test_every_page_can_be_found():
    found = reachable("README.md") | reachable("docs/README.md")
    assert [str(one) for one in pages() if one.name not in found] == []


@EVERY
def test_no_command_has_a_placeholder_in_capitals(read: Page):
    found = []
    known = {*WORDS, *STATES, *variables(session.start_block().text)}
    for step in session.steps(read.of("sh", "console")):
        known |= variables(step.text)
        text = re.sub(r"(^|\s)#.*$", "", step.text, flags=re.MULTILINE)
        words = set(re.findall(r"(?<![\w${])[A-Z][A-Z0-9_]*[A-Z0-9]\b(?!=)", text))
        found += [f"{step}: {word}" for word in sorted(words - known)]
    assert found == []


def variables(text: str) -> set[str]:
    """The names that commands give values to."""
    return set(re.findall(r"\b(?:for|read) +([A-Z_]+)", text)) | set(re.findall(r"\b([A-Z_]+)=", text))


def test_every_parameter_is_explained_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`|none) \|", page("docs/configuration.md").path.read_text(), re.MULTILINE)
    assert dict(rows) == {name: str(known.get("Default", "")) for name, known in elsewhere.parameters().items()}


@pytest.fixture(scope="session")
def commands(binary) -> list[str]:
    """Every command of `jobwarden`, as its help lists them."""

    def below(*words: str) -> list[str]:
        told = subprocess.run([binary, *words, "--help"], capture_output=True, text=True, check=True, timeout=20).stdout
        listed = told.partition("Commands:\n")[2].partition("\n\n")[0]
        names = [name for name in re.findall(r"^  ([a-z]+)", listed, re.MULTILINE) if name != "help"]
        return [found for name in names for found in below(*words, name)] if names else [" ".join(words)]

    return below()


def test_every_command_of_the_command_line_is_on_its_page(commands):
    assert len(commands) > 8
    told = page("docs/cli.md").path.read_text()
    assert [command for command in commands if f"jobwarden {command}" not in told] == []


def test_every_entry_of_what_does_not_run_is_of_a_page_that_runs():
    names = {session.START, *(one.name for one in RUN)}
    assert [entry for entry in elsewhere.entries() if entry.page not in names or not entry.reason] == []


# Running them


@pytest.fixture(scope="session")
def open_session(stack, world: World, binary, tmp_path_factory):
    """Makes the session of a page; what stands in for other services is told by variables."""
    strategy = stack.client("appconfig").create_deployment_strategy(
        Name="docs", DeploymentDurationInMinutes=0, FinalBakeTimeInMinutes=0, GrowthFactor=100, ReplicateTo="NONE"
    )["Id"]

    def of(read: Page) -> session.Session:
        directory = tmp_path_factory.mktemp("docs")
        settings = {**stack.settings(), "DOCS_STRATEGY": strategy, "DOCS_BUCKET": "docs-of-a-stack-that-is-gone"}
        return session.Session(read, directory, settings, stack.profiles(), binary)

    return of


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


def refresh(world: World) -> None:
    """The executions that the pages name: one that ended long ago, and one that waits."""
    for job, thing, status, offset in (
        ("firmware-1-5-0", "pump-1", "SUCCEEDED", "-100d"),
        ("firmware-1-6-0", "pump-7", "QUEUED", "+0d"),
    ):
        if any(row["jobId"] == job for row in world.iot.list_jobs()["jobs"]):
            world.iot.delete_job(jobId=job, force=True)
        world.set_time_offset(offset)
        try:
            world.execution(status, thing=thing, jobId=job)
        finally:
            world.set_time_offset("+0d")


def test_the_start_page_runs(started):
    if started:
        pytest.fail(started, pytrace=False)


@pytest.mark.parametrize("read", RUN, ids=str)
def test_a_page_runs(read: Page, started, world: World, open_session):
    world.end_sweeps()
    refresh(world)
    reading = open_session(read)
    reading.run([session.start_block(), *read.of("sh", "console")])
    assert reading.complaints() == []


@pytest.mark.parametrize("fence", PYTHON, ids=str)
def test_a_block_of_python_runs(fence: Fence, started, world: World, open_session, operator):
    world.end_sweeps()
    refresh(world)
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


@pytest.mark.parametrize("fence", [f for one in pages() for f in one.of("yaml")], ids=str)
def test_a_block_of_yaml_is_some(fence: Fence):
    assert yaml.safe_load(fence.text)


@pytest.mark.parametrize("fence", JSON, ids=str)
def test_a_block_of_json_is_what_the_api_knows(fence: Fence, started, world: World, operator):
    body = json.loads(fence.text)
    if "operation" in body:
        check_start(operator.wire.send("POST", "/sweeps", body=body), body)
        world.end_sweeps()
    elif "action" in body:
        answer = operator.wire.send("POST", "/decisions", body=body)
        assert answer.status == 200, answer
    elif "__type" in body:
        refresh(world)
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
