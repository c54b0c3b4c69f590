"""The main job of Jobwarden, shown on this machine: `make demo`.

Deploys the real template to an emulator, makes a fleet with ninety days of history, and goes through
what an operator would: cancel, be refused, rehearse a sweep, run it, look at what is left and why.
Every number it prints is checked against the fleet's own story; a wrong one ends it with status 1.
"""

from __future__ import annotations

import collections
import contextlib
import gzip
import json
import pathlib
import sys
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "dev"), str(ROOT / "clients")]

import fleet as fleet_module  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from jobwarden_client import Sweeps, sign_for_api_gateway  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.markup import escape  # noqa: E402
from rich.padding import Padding  # noqa: E402
from rich.table import Table  # noqa: E402
from stack import Stack, StackError  # noqa: E402

# Above AWS's default quota of ten, which the emulator does not have: a demo should not wait for it.
CALLS_PER_SECOND = 60
OBJECTS_SHOWN = 4
# Fewer than the story has due: the breaker stops the first real sweep.
CAUTIOUS_MAX_ACTIONS = 150
STATUSES = (*fleet_module.ACTIVE, *fleet_module.TERMINAL)

console = Console(highlight=False)


class DemoError(Exception):
    """Something came out otherwise than the story says."""


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemoError(otherwise)


def chapter(number: int, title: str) -> None:
    console.print()
    console.rule(f"[bold]{number}  {title}[/bold]", align="left", style="cyan")


def say(text: str) -> None:
    console.print(Padding(text, (0, 0, 0, 2)))


@contextlib.contextmanager
def working(what: str) -> Iterator[list[str]]:
    """A spinner while it lasts, a line with its duration afterwards; the list may be given a closing remark."""
    remark: list[str] = []
    started = time.monotonic()
    with console.status(f"  {what}"):
        yield remark
    took = f"[dim]{time.monotonic() - started:.1f} s[/dim]"
    say(f"[green]✓[/green] {what}{' ' + remark[0] if remark else ''}  {took}")


def shipped(stack: Stack, caller: str, **options):
    """boto3's own IoT client, pointed at Jobwarden."""
    return sign_for_api_gateway(stack.client("iot", caller=caller, endpoint_url=stack.api_url), **options)


def code(*lines: str) -> None:
    for number, line in enumerate(lines):
        say(f"[bold]{'...' if number else '>>>'}[/bold] [cyan]{escape(line)}[/cyan]")


def code_call(call: str, execution: fleet_module.Execution, *, more: str) -> None:
    code(f"{call}(", f'    jobId="{execution.job}", thingName="{execution.thing}", {more})')


def answer(error: ClientError) -> None:
    say(f"[red]{error.response['Error']['Code']}[/red]: {escape(error.response['Error']['Message'])}")


def refusal(call, wanted: str, **arguments) -> ClientError:
    try:
        call(**arguments)
    except ClientError as error:
        answer(error)
        check(error.response["Error"]["Code"] == wanted, f"expected {wanted}")
        return error
    raise DemoError(f"expected {wanted}, but the call went through")


HEADINGS = ("queued", "runs", "succ.", "failed", "timed", "rej.", "rem.", "canc.")


def counts_table(fleet: fleet_module.Fleet) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("  job", no_wrap=True)
    table.add_column("days", justify="right")
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for job in fleet.jobs.values():
        rows = collections.Counter(e.status for e in fleet.executions if e.job == job.id)
        kept = job.protected or job.kept_forever
        cells = (str(rows[s]) if rows[s] else "[dim]·[/dim]" for s in STATUSES)
        table.add_row(f"{'*' if kept else ' '} {job.id}", f"{job.day:.0f}", *cells, style="yellow" if kept else "")
    return table


def footnotes(fleet: fleet_module.Fleet) -> None:
    notes = [
        f"{j.id}: {j.protected or 'kept by its rule'}" for j in fleet.jobs.values() if j.protected or j.kept_forever
    ]
    say(f"[yellow]*[/yellow] [dim]{'; '.join(notes)}[/dim]")


def guarded(stack: Stack, fleet: fleet_module.Fleet) -> fleet_module.Execution:
    """Chapter two: what boto3 may and may not do. Gives the execution that was cancelled."""
    admin = stack.client("iot")

    def pick(job: str, status: str) -> fleet_module.Execution:
        return next(e for e in fleet.executions if e.job == job and e.status == status)

    iot = shipped(stack, "operator")
    say("an operator, with nothing but boto3:")
    code('iot = sign_for_api_gateway(boto3.client("iot", endpoint_url=API_URL))')

    waiting = pick("firmware-1-6-0", "QUEUED")
    target = {"jobId": waiting.job, "thingName": waiting.thing}
    console.print()
    code_call("iot.cancel_job_execution", waiting, more="expectedVersion=7")
    refusal(iot.cancel_job_execution, "VersionConflictException", **target, expectedVersion=7)
    code_call("iot.cancel_job_execution", waiting, more="expectedVersion=1")
    iot.cancel_job_execution(**target, expectedVersion=1)
    now = admin.describe_job_execution(**target)["execution"]
    check(now["status"] == "CANCELED", f"{waiting.thing} is {now['status']}")
    say(f"[green]done[/green]: QUEUED is now {now['status']}, version {now['versionNumber']}")

    running = pick("firmware-1-6-0", "IN_PROGRESS")
    target = {"jobId": running.job, "thingName": running.thing}
    console.print()
    say("IAM cannot see the force flag. Jobwarden can, and says which policy refused:")
    code_call("iot.cancel_job_execution", running, more="force=True")
    refusal(iot.cancel_job_execution, "AccessDeniedException", **target, force=True)
    now = admin.describe_job_execution(**target)["execution"]
    check(now["status"] == "IN_PROGRESS", "a refused call changed something")

    held = pick("legal-hold-2207", "SUCCEEDED")
    console.print()
    say("some things nobody may do, the force group included:")
    code_call("force_member.delete_job_execution", held, more="executionNumber=1")
    refusal(
        shipped(stack, "force").delete_job_execution,
        "AccessDeniedException",
        jobId=held.job,
        thingName=held.thing,
        executionNumber=1,
    )
    return waiting


def run_sweep(
    stack: Stack,
    sweeps: Sweeps,
    what: str,
    deleting: int = 0,
    ends: str = "SUCCEEDED",
    operation: str = "delete-expired",
    **members,
) -> dict:
    """Starts a sweep, shows how far it is, gives its report."""
    admin = stack.client("iot")
    started = time.monotonic()
    sweep = sweeps.start(operation, **members)["sweepId"]
    before = len(fleet_module.observe(admin)) if deleting else 0
    with console.status(f"  {what}") as status:
        while True:
            state = sweeps.get(sweep)
            if state["status"] not in ("QUEUED", "SCANNING", "APPLYING"):
                break
            check(time.monotonic() - started < 120, f"sweep {sweep} is still {state['status']} after two minutes")
            done = f", {before - len(fleet_module.observe(admin))} of {deleting} deleted" if deleting else ""
            status.update(f"  {what}: {state['status'].lower()}{done}")
            time.sleep(0.3)
    check(state["status"] == ends, f"the sweep ended as {state['status']}: {json.dumps(state)}")
    say(f"[green]✓[/green] {what}: sweep {sweep}  [dim]{time.monotonic() - started:.1f} s[/dim]")
    return sweeps.report(sweep)


def grouped(title: str, lines: list[dict], verdict: str) -> Table:
    table = Table(title=f"  {title}", title_justify="left", title_style="bold", box=None, padding=(0, 2))
    table.add_column("executions", header_style="dim", justify="right")
    for column in ("status", "rule"):
        table.add_column(column, header_style="dim", no_wrap=True)
    table.add_column(verdict, header_style="dim", overflow="fold")
    for line in sorted(lines, key=lambda line: (line["verdict"], line["rule"], line["status"])):
        table.add_row(str(line["count"]), line["status"], line["rule"], escape(line["verdict"]))
    return table


def archive(stack: Stack, sweep: str) -> tuple[int, list[dict]]:
    """The objects and records of a sweep in the archive."""
    s3, bucket = stack.client("s3"), stack.outputs["BucketName"]
    objects, records, shown = 0, [], ""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="archive/"):
        for row in page.get("Contents", []):
            folder, _, name = row["Key"].rpartition("/")
            if not folder.endswith(f"/sweep={sweep}"):
                continue
            lines = gzip.decompress(s3.get_object(Bucket=bucket, Key=row["Key"])["Body"].read()).splitlines()
            records += [json.loads(line) for line in lines]
            if folder != shown:
                say(f"s3://{bucket}/")
                say(f"  {folder}/")
                shown = folder
            if objects < OBJECTS_SHOWN:
                say(f"    {name}  [dim]{len(lines)} records, {row['Size']} bytes[/dim]")
            objects += 1
    if objects > OBJECTS_SHOWN:
        say(f"    [dim]and {objects - OBJECTS_SHOWN} more[/dim]")
    return objects, records


def forecast(planned: dict, fleet: fleet_module.Fleet) -> None:
    """What comes due in the next thirty days, in weeks."""
    days = [day["due"] for day in planned["forecast"]]
    expected = len(fleet.comes_due(len(days)))
    check(sum(days) == expected, f"{sum(days)} are forecast, where the story has {expected} come due")
    table = Table(title="  what comes due next", title_justify="left", title_style="bold", box=None, padding=(0, 2))
    table.add_column("from", header_style="dim")
    table.add_column("executions", header_style="dim", justify="right")
    table.add_column("")
    for first in range(0, len(days), 7):
        week = sum(days[first : first + 7])
        table.add_row(planned["forecast"][first]["date"], str(week), f"[cyan]{'▪' * week}[/cyan]")
    console.print(table)


def blocked(stack: Stack, sweeps: Sweeps, started: dict) -> None:
    """Who holds up most, as a dry run of the other sweep tells it."""
    waiting = collections.Counter(thing for (_, thing, *_), status in started.items() if status == "QUEUED")
    blockers = run_sweep(stack, sweeps, "dry run of cancel-stale", operation="cancel-stale", dryRun=True)["blockers"]
    for told in blockers:
        behind = waiting[told["thingName"]] - (told["status"] == "QUEUED")
        check(told["behind"] == behind, f"{told} is told to hold up others, where {behind} wait behind it")
    check(bool(blockers), "nothing holds anything up, where the story has devices that are offline")
    first = blockers[0]
    say(
        f"{len(blockers)} executions hold up what is behind them; on {first['thingName']}, {first['jobId']} "
        f"({first['status']} since {first['since'][:10]}) holds up {first['behind']} others"
    )


def rehearsal(stack: Stack, sweeps: Sweeps, fleet: fleet_module.Fleet, started: dict) -> None:
    """Chapter three: a stack in dry run refuses more, and shows what it would do."""
    due = len(fleet.deletable())
    chapter(3, "A rehearsal: nothing is deleted until somebody says so")
    say("this stack was deployed with DryRun=true, the default; asking for more is refused:")
    code('sweeps.start("delete-expired", dryRun=False)')
    try:
        sweeps.start("delete-expired", dryRun=False)
    except ClientError as error:
        answer(error)
    else:
        raise DemoError("a real sweep was accepted by a stack in dry run")
    console.print()
    planned = run_sweep(stack, sweeps, "dry run of delete-expired")
    console.print(grouped("what it would do", planned["plan"], "verdict"))
    check(planned["due"] == due, f"{planned['due']} due, where the story says {due}")
    check(fleet_module.observe(stack.client("iot")) == started, "the dry run changed something")
    unseen = len(started) - planned["rowsSeen"]
    young, never = planned["jobs"]["tooYoung"], planned["jobs"]["never"]
    say(
        f"[bold]{planned['due']}[/bold] of {planned['rowsSeen']} are due; {unseen} more cost no call: "
        f"{young} jobs are too young to hold anything due, and {never} are kept for ever by their rule"
    )
    forecast(planned, fleet)
    calls = sum(planned["estimate"]["calls"].values())
    seconds = planned["estimate"]["seconds"]
    say(f"carrying it out takes at most {calls} calls to AWS IoT, and {seconds} s at {CALLS_PER_SECOND} calls a second")
    blocked(stack, sweeps, started)


def stopped(stack: Stack, sweeps: Sweeps, started: dict) -> str:
    """Chapter four: the breaker stops a plan that is too large. Gives the plan's digest."""
    chapter(4, "A plan that is too large is stopped before anything is done")
    rules = (ROOT / "policies" / "retention.toml").read_text()
    cautious = rules.replace("max_actions = 10000", f"max_actions = {CAUTIOUS_MAX_ACTIONS}")
    check(cautious != rules, "policies/retention.toml has another max_actions")
    say(f"the rules may lie in the bucket; this version of them stops more than {CAUTIOUS_MAX_ACTIONS} at once:")
    versions = {
        "AccessPolicyVersion": version(stack, "access.cedar", (ROOT / "policies" / "access.cedar").read_text()),
        "RetentionRulesVersion": version(stack, "retention.toml", cautious),
    }
    with working("sam deploy with PolicySource=bucket, its versions, and DryRun=false"):
        stack.deploy({"DryRun": "false", "PolicySource": "bucket", **versions})
    report = run_sweep(stack, sweeps, "delete-expired", ends="STOPPED_BY_BREAKER", dryRun=False)
    say(f"[red]{report['status']}[/red]: {escape(report['failure'])}")
    check(fleet_module.observe(stack.client("iot")) == started, "a sweep that was stopped changed something")
    return report["planDigest"]


def version(stack: Stack, name: str, text: str) -> str:
    """Puts a document into the bucket, and gives its version."""
    key = f"policies/{name}"
    put = stack.client("s3").put_object(Bucket=stack.outputs["BucketName"], Key=key, Body=text.encode())
    return put["VersionId"]


def demo() -> None:
    began = time.monotonic()
    console.print()
    console.print("[bold cyan]Jobwarden[/bold cyan]  job-control policy for AWS IoT Jobs, on this machine")

    chapter(1, "The real template, deployed; a fleet with ninety days of history")
    parameters = {"DryRun": "true", "CallsPerSecond": str(CALLS_PER_SECOND)}
    with Stack.start(parameters, say=lambda line: say(f"[green]·[/green] {escape(line)}")) as stack:
        show(stack, began)


def show(stack: Stack, began: float) -> None:
    with working("a fleet, its devices and ninety days of jobs") as remark:
        fleet = fleet_module.make(stack)
        remark.append(f"({len(fleet.executions)} executions of {len(fleet.jobs)} jobs on {len(fleet.things)} things)")
    console.print()
    console.print(counts_table(fleet))
    footnotes(fleet)

    chapter(2, "Guarded operations, with boto3 as the client")
    canceled = guarded(stack, fleet)
    started = fleet_module.observe(stack.client("iot"))

    sweeps = Sweeps(stack.session("operator"), stack.api_url)
    due = {e.key for e in fleet.deletable()}
    rehearsal(stack, sweeps, fleet, started)
    digest = stopped(stack, sweeps, started)

    chapter(5, "The real sweep: that plan, released by its digest")
    code(f'sweeps.start("delete-expired", dryRun=False, releasePlan="{digest[:12]}...")')
    report = run_sweep(stack, sweeps, "delete-expired", deleting=len(due), dryRun=False, releasePlan=digest)
    left = fleet_module.observe(stack.client("iot"))
    gone = started.keys() - left.keys()
    check(gone == due, f"{len(gone ^ due)} executions differ from what was due")
    check({k: v for k, v in started.items() if k not in gone} == left, "a kept execution changed")
    console.print(grouped("what is left of them, and why", report["kept"], "why"))

    chapter(6, "The archive, written before each deletion")
    objects, records = archive(stack, report["sweepId"])
    archived = {fleet_module.identity(r) for r in records}
    check(archived == due, f"{len(archived ^ due)} executions differ between archive and deletions")
    say("one record of them:")
    say(f"[dim]{escape(json.dumps(records[0]))}[/dim]")

    console.print()
    summary = Table(title="In short", title_justify="left", title_style="bold", padding=(0, 1), show_header=False)
    summary.add_column()
    summary.add_column(justify="right")
    calls = sum(report["calls"].values())
    protected = sum(1 for e in fleet.past_retention() if fleet.jobs[e.job].protected)
    for what, value in (
        ("executions there were", len(started)),
        ("past their retention, and free to go", len(due)),
        ("deleted", len(gone)),
        ("archived first", f"{len(records)} in {objects} objects"),
        ("past their retention, but protected by policy", protected),
        ("active, recent or kept by rule", len(left) - protected),
        ("deleted that should have stayed", 0),
        ("kept that should have gone", 0),
        ("calls to AWS IoT, for each deletion", f"{calls} ({calls / max(1, len(gone)):.2f})"),
        ("cancelled by hand", f"{canceled.job} on {canceled.thing}"),
        ("from start to end", f"{time.monotonic() - began:.0f} s"),
    ):
        summary.add_row(what, str(value))
    console.print(summary)
    console.print("  Next: [bold]make up[/bold] keeps such a stack running; docs/start.md goes on to a real account.\n")


def main() -> int:
    try:
        demo()
    except (DemoError, StackError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; nothing is left running")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
