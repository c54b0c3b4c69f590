"""What alarms, dashboard and queries name is what the functions log, and each alarm has its page of what to do."""

from __future__ import annotations

import json
import re

import pytest
from rendering import EVERYTHING, OPTIONS, ROOT, rendered

NAMESPACE = "Jobwarden/${AWS::StackName}"
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ("\n**What it means.** ", "\n**Who is affected.** ", "\n## Look\n", "\n## Do\n", "\n## When it clears\n")
SEARCH = re.compile(r"SEARCH\('\{\"(.*?)\",([\w,]+)\} MetricName=\"(\w+)\"', '\w+', 300\)")


@pytest.fixture
def deployed(template) -> dict:
    return rendered(template, EVERYTHING | {"DryRun": "false"})["Resources"]


def of_type(deployed: dict, kind: str) -> dict[str, dict]:
    return {name: part["Properties"] for name, part in deployed.items() if part["Type"] == kind}


def listed() -> set[tuple[str, frozenset[str]]]:
    """The metrics that the functions count, each with its dimensions; the tests in Rust hold the page against them."""
    rows = [line.split("|") for line in (ROOT / "docs/metrics.md").read_text().splitlines() if line.startswith("| `")]
    return {
        (row[1].strip(" `"), frozenset() if names == "none" else frozenset(names.split(" + ")))
        for row in rows
        for names in row[3].strip().split(", ")
    }


def of_filters(deployed: dict) -> set[tuple[str, frozenset[str]]]:
    """Those that CloudWatch makes of log lines."""
    return {
        (made["MetricName"], frozenset(dimension["Key"] for dimension in made["Dimensions"]))
        for part in of_type(deployed, "AWS::Logs::MetricFilter").values()
        for made in part["MetricTransformations"]
    }


def text(part: object) -> str:
    """What is said, whether or not a name is put into it."""
    return part["Fn::Sub"] if isinstance(part, dict) else part


def test_every_metric_of_an_alarm_is_one_that_is_counted(deployed):
    known = listed() | of_filters(deployed)
    ours = {
        name: (alarm["MetricName"], frozenset(dimension["Name"] for dimension in alarm.get("Dimensions", [])))
        for name, alarm in of_type(deployed, "AWS::CloudWatch::Alarm").items()
        if text(alarm["Namespace"]).startswith("Jobwarden")
    }
    assert len(ours) >= 11
    assert {name: metric for name, metric in ours.items() if metric not in known} == {}
    namespaces = {text(alarm["Namespace"]) for alarm in of_type(deployed, "AWS::CloudWatch::Alarm").values()}
    assert namespaces == {NAMESPACE, "AWS/SQS", "AWS/ApiGateway"}


def test_every_metric_of_the_dashboard_is_one_that_is_counted_and_all_of_them_are_there(deployed):
    (dashboard,) = of_type(deployed, "AWS::CloudWatch::Dashboard").values()
    widgets = json.loads(text(dashboard["DashboardBody"]))["widgets"]
    shown = set()
    for metric, *more in (metric for widget in widgets for metric in widget["properties"]["metrics"]):
        if isinstance(metric, dict):
            namespace, names, name = SEARCH.fullmatch(metric["expression"]).groups()
            shown.add((name, frozenset(names.split(","))))
        else:
            namespace = metric
            shown.add((more[0], frozenset(more[1::2])))
        assert namespace == NAMESPACE
    known = listed() | of_filters(deployed)
    assert shown <= known, shown - known
    assert {name for name, _ in shown} == {name for name, _ in known}
    # None lies over another.
    places = [(widget["x"], widget["y"]) for widget in widgets]
    assert len(set(places)) == len(places)


def test_the_functions_count_into_the_namespace_that_is_watched(deployed):
    functions = of_type(deployed, "AWS::Lambda::Function")
    namespaces = {text(part["Environment"]["Variables"]["METRICS_NAMESPACE"]) for part in functions.values()}
    assert (len(functions), namespaces) == (9, {NAMESPACE})


def sources() -> str:
    paths = [path for folder in ("shared/src", "aws/src", "functions") for path in (ROOT / folder).rglob("*.rs")]
    return "\n".join(path.read_text() for path in paths)


def logged_fields() -> set[str]:
    """The fields of all lines: `name = value`, `%name`, `?name`, or the name alone."""
    code, found = sources(), set()
    for start in re.finditer(r"\b(?:info|warn|error)!\(", code):
        depth, end = 1, start.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            end += 1
        line = code[start.end() : end - 1]
        found |= set(re.findall(r"(?:^|,)\s*[%?]?(\w+)\s*(?=[=,]|$)", line))
    return found


def test_every_field_and_event_of_a_query_or_a_page_is_one_that_is_logged(deployed):
    code, fields = sources(), logged_fields()
    queries = [query["QueryString"] for query in of_type(deployed, "AWS::Logs::QueryDefinition").values()]
    assert len(queries) == 8
    queries += [part for page in RUNBOOKS.glob("*.md") for part in page.read_text().split("```")[1::2]]
    for query in queries:
        unknown = set(re.findall(r"fields\.(\w+)", query)) - fields
        assert not unknown, (unknown, query)
        told = [name for listed in re.findall(r"fields\.event (?:=|in) (\"\w+\"|\[[^]]*\])", query)
                for name in re.findall(r"\"(\w+)\"", listed)]  # fmt: skip
        for event in told:
            assert f'"{event}"' in code, (event, query)


def test_every_event_of_a_filter_is_one_that_is_logged(deployed):
    code = sources()
    for part in of_type(deployed, "AWS::Logs::MetricFilter").values():
        for event in re.findall(r"\$\.fields\.event = \"(\w+)\"", part["FilterPattern"]):
            assert f'event = "{event}"' in code, event


def test_each_alarm_has_its_page_and_each_page_its_alarm(deployed):
    alarms = of_type(deployed, "AWS::CloudWatch::Alarm")
    named = {}
    for name, alarm in alarms.items():
        (named[name],) = re.findall(r"docs/runbooks/([\w-]+)\.md", text(alarm["AlarmDescription"]))
    assert set(named.values()) == {page.stem for page in RUNBOOKS.glob("*.md")}


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_each_page_says_what_to_look_at_and_what_to_do(page):
    told = page.read_text()
    places = [told.index(section) for section in SECTIONS]
    assert places == sorted(places)
    assert "```" in told
    for linked in re.findall(r"\]\(([\w./-]+\.md)\)", told):
        assert (page.parent / linked).exists(), linked


@pytest.mark.parametrize("options", [{}, *OPTIONS.values(), {"LogQueries": "false"}], ids=str)
def test_what_is_not_deployed_is_not_watched(template, options):
    """An alarm on a queue or a schedule that is not there would be one for ever."""
    deployed = rendered(template, options)["Resources"]
    missing = re.findall(r'"(?:Ref|Fn::GetAtt)": \[?"(\w+)"', json.dumps(of_type(deployed, "AWS::CloudWatch::Alarm")))
    assert [name for name in missing if name not in deployed and name not in template["Parameters"]] == []
    queries = of_type(deployed, "AWS::Logs::QueryDefinition")
    assert len(queries) == (0 if options.get("LogQueries") == "false" else 8)
