"""The part of docs/costs.md that tells what a million deletions cost, and what a month of three fleets does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from environments import ROOT

from .costs import CALLS_PER_SECOND, FUNCTION_GB, MILLION, REQUESTS_OF_A_MESSAGE, SLICE_SECONDS
from .table import BEGIN, END, number

Json = dict[str, Any]

# What costs.py has no need of, in dollars, for us-east-1, the first tier, without what is free each month.
AS_OF = "2026-06"
ALARM_A_MONTH = 0.10
METRIC_A_MONTH = 0.30
FREE_ALARMS = 10
FREE_METRICS = 10
FREE_DASHBOARDS = 3
API_PER_MILLION_REQUESTS = 3.50
LOGS_PER_GB = 0.50
FREE_LOGS_GB = 5

ROWS_OF_A_PAGE = 250
SWEEPS_A_MONTH = 30
SECONDS_OF_A_DAY = 86_400
# Of the line `aws_call` that a deletion by a sweep leaves: 463 in the log of the benchmark, 56 for AWS's request id,
# which its endpoint has not, and the 26 that CloudWatch adds to each.
BYTES_OF_A_LINE = 545


@dataclass(frozen=True)
class Fleet:
    """A fleet whose executions stay for a month, so that it keeps as many as it makes in one."""

    words: str
    things: int
    executions: int

    @property
    def deletions(self) -> int:
        return self.things * self.executions


FLEETS = (
    Fleet("a pilot", 1_000, 8),
    Fleet("a product", 50_000, 8),
    Fleet("a million things", 1_000_000, 4),
)


def rendered(results: Json) -> str:
    """The text between the two markers, and they."""
    medians = {figure["name"]: figure["median"] for figure in results["figures"]}
    prices = results["prices"]
    if "million deletions, GB-seconds/delete-expired" not in medians:
        return f"{BEGIN}\n\nNot measured.\n\n{END}"
    parts = [
        BEGIN,
        "### A million deletions by a sweep",
        million(medians, prices),
        derived(medians, prices),
        "### A million deletions by calls of the API",
        calls(medians, prices),
        "### A month of three fleets",
        months(medians, prices),
        assumed(prices),
        "### What watching costs",
        watching(),
        END,
    ]
    return "\n\n".join(parts)


def million(medians: Json, prices: Json) -> str:
    """Line by line, at the shipped pace."""
    waiting = medians["million deletions, GB-seconds/delete-expired"]
    requests = medians["million deletions, invocations/delete-expired"]
    puts = medians["million deletions, puts/delete-expired"]
    messages = requests * REQUESTS_OF_A_MESSAGE
    arm64, x86 = (waiting * prices[name] for name in ("lambdaArm64PerGbSecond", "lambdaX86PerGbSecond"))
    lines = [
        ("Lambda: time, in GB-seconds", waiting, arm64, x86),
        ("Lambda: requests", requests, *[requests / MILLION * prices["lambdaPerMillionRequests"]] * 2),
        ("S3: PUT requests, of records, outcomes and state", puts, *[puts / 1e3 * prices["s3PerThousandPuts"]] * 2),
        ("SQS: FIFO requests", messages, *[messages / MILLION * prices["sqsFifoPerMillionRequests"]] * 2),
    ]
    rows = [f"| {told} | {number(count)} | {dollars(a)} | {dollars(b)} |" for told, count, a, b in lines]
    sums = [medians[f"million deletions, {name}/delete-expired"] for name in ("arm64", "x86_64")]
    written, logs = MILLION * BYTES_OF_A_LINE / 1e9, dollars(MILLION * logged())
    head = ["| | How many | arm64 | x86_64 |", "|---|---:|---:|---:|"]
    rows += [
        f"| together, as in the README | | {dollars(sums[0])} | {dollars(sums[1])} |",
        f"| CloudWatch Logs: a line for each deletion, in GB | {number(written)} | {logs} | {logs} |",
        "| **together** | | " + " | ".join(f"**{dollars(told + MILLION * logged())}**" for told in sums) + " |",
    ]
    return "\n".join([*head, *rows])


def logged() -> float:
    """What the line of a deletion costs."""
    return BYTES_OF_A_LINE / 1e9 * LOGS_PER_GB


def derived(medians: Json, prices: Json) -> str:
    work = medians["million deletions, GB-seconds of work/delete-expired"]
    whole = [dollars(medians[f"million deletions as work, {name}/delete-expired"]) for name in ("arm64", "x86_64")]
    hours = MILLION / CALLS_PER_SECOND / 3600
    return (
        f"At {CALLS_PER_SECOND} calls a second, as shipped, a million deletions take {hours:.1f} hours, in slices "
        f"of {SLICE_SECONDS} seconds of a function of {FUNCTION_GB * 1024:.0f} MB. Nearly all of that time is "
        f"waiting for the quota: the work itself is {number(work)} GB-seconds, and with it alone the first sum would "
        f"be {whole[0]} on arm64 and {whole[1]} on x86_64. So a higher quota and `CallsPerSecond` make it faster and "
        f"cheaper at once. {FREE_LOGS_GB} GB of logs are free each month in an account. Prices are those that AWS "
        f"published for {prices['region']} as of {prices['asOf']}."
    )


def calls(medians: Json, prices: Json) -> str:
    rows = [
        ("`delete-execution`, with its reads and its record", "delete-execution"),
        ("a boto3 function that reads and archives the same", "boto3 delete reading"),
        ("a boto3 function that deletes unseen, without a record", "boto3 delete"),
    ]
    lines = ["| A million calls, without API Gateway | arm64 | x86_64 |", "|---|---:|---:|"]
    for told, name in rows:
        arm64, x86 = (medians.get(f"million calls, {architecture}/{name}") for architecture in ("arm64", "x86_64"))
        if arm64 is not None and x86 is not None:
            lines.append(f"| {told} | {dollars(arm64)} | {dollars(x86)} |")
    put = MILLION / 1e3 * prices["s3PerThousandPuts"]
    lines.append(
        f"\nOne PUT for each record is {dollars(put)} of it, because a call has a page of one. API Gateway adds "
        f"{dollars(API_PER_MILLION_REQUESTS)} for a million requests of a REST API. As fast as on the machine of "
        f"the measurement, where AWS IoT answers at once: time spent waiting for AWS IoT comes on top, and so do the "
        f"lines in the log."
    )
    return "\n".join(lines)


def months(medians: Json, prices: Json) -> str:
    deletion = medians["million deletions, arm64/delete-expired"] / MILLION + logged()
    head = "| Fleet | Things | Executions of each | Deletions | Deleting | Looking | Together | Days at work |"
    lines = [head, "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for fleet in FLEETS:
        pages = fleet.deletions / ROWS_OF_A_PAGE * SWEEPS_A_MONTH
        looking = pages / CALLS_PER_SECOND * FUNCTION_GB * prices["lambdaArm64PerGbSecond"]
        deleting = fleet.deletions * deletion
        days = (fleet.deletions + pages) / CALLS_PER_SECOND / SECONDS_OF_A_DAY
        sums = f"{dollars(deleting)} | {dollars(looking)} | {dollars(deleting + looking)} | {number(days)}"
        lines.append(f"| {fleet.words} | {fleet.things:,} | {fleet.executions} | {fleet.deletions:,} | {sums} |")
    return "\n".join(lines)


def assumed(prices: Json) -> str:
    return (
        f"On arm64, at {CALLS_PER_SECOND} calls a second and the prices above ({prices['region']}), with what is "
        f"free each month left out. Executions stay for a month, so that as many are kept as come in one, and a "
        f"sweep looks at all of them {SWEEPS_A_MONTH} times, {ROWS_OF_A_PAGE} in a call, though jobs that are too "
        f"young cost it none."
    )


def watching() -> str:
    text = (ROOT / "template.yaml").read_text()
    alarms = text.count("Type: AWS::CloudWatch::Alarm\n")
    paid = max(alarms - FREE_ALARMS, 0) * ALARM_A_MONTH
    return (
        f"CloudWatch comes on top, and for a small fleet it is the larger part. The template has {alarms} alarms, "
        f"at most; at {dollars(ALARM_A_MONTH)} a month for each beyond the {FREE_ALARMS} that are free in an "
        f"account, that is up to {dollars(paid)}, or {dollars(alarms * ALARM_A_MONTH)} where others have used "
        f"these up. A metric costs {dollars(METRIC_A_MONTH)} for a month in which something is counted in every "
        f"hour, and accordingly less where a sweep counts for an hour each night; {FREE_METRICS} are free, and "
        f"[metrics](metrics.md) says which there are. The dashboard is one of the {FREE_DASHBOARDS} that are free, "
        f"of up to 50 metrics each. As AWS published it for us-east-1 as of "
        f"{AS_OF}."
    )


def dollars(value: float) -> str:
    """To the cent, or to a digit that says something."""
    if value >= 0.1:
        return f"${value:,.2f}"
    return f"${value:.2g}" if value >= 0.0001 else "less than $0.0001"
