"""Faults that are planted in made-up pages have to be found, or those of the documentation might be missed, too."""

from __future__ import annotations

import pathlib
import shlex

import arguments
import elsewhere
import form
import pytest
import recipes
import session
from pages import Page, reachable


@pytest.fixture
def write(tmp_path: pathlib.Path):
    def page(text: str, name: str = "docs/page.md") -> Page:
        path = tmp_path / "planted" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return Page(name, tmp_path / "planted")

    return page


@pytest.mark.parametrize("text", ["```\ntrue\n```\n", "# Indented\n\n    true\n", "```bash\ntrue\n```\n"])
def test_a_block_without_a_known_language(write, text):
    assert len(form.blocks_without_language(write(text))) == 1


def test_links_that_lead_nowhere(write):
    write("# Here, `and` there\n\n## Twice\n\n## Twice\n", "docs/other.md")
    good = "[a](other.md#here-and-there) [b](other.md#twice-1) [c](https://example.com/nowhere) [d](#e)\n\n# E\n"
    assert form.broken_links(write(good)) == []
    broken = write("[a](another.md)\n[b](other.md#elsewhere)\n[c](#elsewhere)\n![d](picture.png)\n")
    assert [told.split(": ")[1] for told in form.broken_links(broken)] == [
        "another.md", "other.md#elsewhere", "#elsewhere", "picture.png",
    ]  # fmt: skip


def test_a_page_to_which_no_link_leads():
    assert reachable("LICENSE") == set()
    assert "docs/runbooks/throttles.md" in reachable("README.md")


def test_words_to_fill_in(write):
    block = '```sh\nQUEUE=x # SOMETHING\nls QUEUE_URL "$QUEUE" SUCCEEDED s3://BUCKETS/\n```\n'
    console = "```console\n$ ls NAME\nMORE\n```\n"
    told = form.placeholders(write(block + console))
    assert [line.split(": ")[1] for line in told] == ["BUCKETS", "QUEUE_URL", "NAME"]


def test_functions_without_their_origin(write):
    assert form.unexplained_functions(write("```sh\nNAME=$(output Name)\nas operator true\n```\n")) == [
        "docs/page.md: output", "docs/page.md: as",
    ]  # fmt: skip


def test_commands_in_the_text_that_are_none(write):
    text = "`make demo`, `make nothing`, `jobwarden sweep start|stop`, `jobwarden decide cancel`, `python3 dev/no.py`"
    told = form.unknown_commands(write(text), {"sweep start", "decide"})
    assert [line.split(": ")[1] for line in told] == ["make nothing", "jobwarden sweep start|stop", "python3 dev/no.py"]


@pytest.fixture
def run(write, tmp_path):
    def page(text: str, name: str = "docs/page.md") -> list[str]:
        read = write(text, name)
        (tmp_path / "session").mkdir()
        reading = session.Session(read, tmp_path / "session", {}, "", pathlib.Path("/bin/true"))
        reading.run(read.of("sh", "console"))
        return reading.complaints()

    return page


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("```sh\ntrue\n```\n\n```sh\ntrue\nfalse\n```\n", "docs/page.md:6 ended with code 1"),
        ("```sh\nfalse | true\n```\n", "docs/page.md:2 ended with code 1"),
        ("```sh\necho $NEVER_SET\n```\n", "line 2: NEVER_SET: unbound variable"),
        ("```console\n$ echo one\none\n$ echo two\nthree\n```\n", "docs/page.md:4: echo two"),
        ("```console\n$ echo one\n```\n", "docs/page.md:2: echo one"),
        ("```sh\nmake demo\n```\n", "make demo: not run here, and not in tests/docs/elsewhere.toml"),
        ("```sh\n.local/venv-sam/bin/sam deploy\n```\n", "sam deploy: not run here"),
    ],
)
def test_commands_that_do_not_do_what_the_page_says(run, text, told):
    with pytest.raises(pytest.fail.Exception) as failed:
        run(text)
    assert told in str(failed.value)


def test_a_page_whose_blocks_are_one_session(run):
    block = '```sh\nNAME=one\nsay() { echo "$NAME"; }\n```\n\n'
    assert run(block + "```console\n$ say; pwd; ls README.md\none\n…\nREAD…\n```\n") == []


def test_entries_that_no_page_needs(run):
    (entry,) = elsewhere.entries("docs/retention.md")
    (stale,) = run("```sh\ntrue\n```\n", "docs/retention.md")
    assert stale == f"elsewhere.toml: docs/retention.md does not run `{entry.run}` any more"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("aws iot describe-job --job j", None),
        ("aws iot describe-job", "--job-id"),
        ("aws iot describe-job --job-id", "expected one argument"),
        ("aws iot describe-the-job --job-id j", "nvalid choice"),
        ("aws iot cancel-job-execution --job-id j --thing-name t --expected-version one", "invalid int value"),
        ("aws iot describe-job --job-id j --query job.jobName", "the answer has no jobName"),
        ("make up", None),
        ("make upp", "No rule to make target"),
        ("sam deploy --guided --parameter-overrides DryRun=false Lanes=us=us-east-1", None),
        ("sam deploy --guide", "`sam deploy` has no --guide"),
        ("sam deploy --parameter-overrides DryRun=no", "`DryRun` is one of true, false"),
        ("sam deploy --parameter-overrides DryRuns=true", "the template has no parameter `DryRuns`"),
        ("sam deploy --parameter-overrides Lanes=?", "`Lanes` has to match"),
        ("sam deploy --parameter-overrides 'DeleteExpiredSchedule=\"rate(1 hour)\"'", None),
        ("sam deploy --parameter-overrides 'DeleteExpiredSchedule=rate(1 hour)'", "needs double quotes"),
    ],
)
def test_arguments_of_what_is_not_run(call, told, tmp_path):
    environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "eu-west-1"}
    wrong = arguments.wrong(shlex.split(call), {**environment, "HOME": str(tmp_path)}, arguments.ROOT, is_run=False)
    assert (wrong is None) if told is None else (told in wrong)


def test_a_rule_with_a_table_that_there_is_not(write, tmp_path):
    (fence,) = recipes.rules(write("```toml\n[braker]\nmax_actions = 1\n```\n"))
    with pytest.raises(AssertionError, match="braker"):
        recipes.rules_folder(fence, tmp_path / "rules")
