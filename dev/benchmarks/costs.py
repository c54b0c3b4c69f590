"""What a million deletions cost, from what was measured and from AWS's published prices."""

from __future__ import annotations

from .figures import Figures
from .summaries import summary

# In dollars, for us-east-1, the first tier, without what is free each month.
PRICES = {
    "asOf": "2026-06",
    "region": "us-east-1",
    "lambdaArm64PerGbSecond": 0.0000133334,
    "lambdaX86PerGbSecond": 0.0000166667,
    "lambdaPerMillionRequests": 0.20,
    "s3PerThousandPuts": 0.005,
    "sqsFifoPerMillionRequests": 0.50,
}
ARCHITECTURES = {"arm64": PRICES["lambdaArm64PerGbSecond"], "x86_64": PRICES["lambdaX86PerGbSecond"]}

MILLION = 1_000_000
SCRIPT = "boto3 script, standard"
# As shipped: template.yaml.
FUNCTION_GB = 256 / 1024
CALLS_PER_SECOND = 8
SLICE_SECONDS = 300
# Each message is sent, received and deleted.
REQUESTS_OF_A_MESSAGE = 3
# AWS Lambda gives a whole processor at 1,769 MB, and below that a share.
GB_OF_A_PROCESSOR = 1769 / 1024


def add(figures: Figures) -> None:
    """Adds the costs that can be told of what was measured."""
    if cpu := figures.values("cpu per deletion/delete-expired"):
        by_sweep(figures, summary(cpu).median / 1e3)
    if cpu := figures.values(f"cpu per deletion/{SCRIPT}"):
        for architecture, price in ARCHITECTURES.items():
            worked = summary(cpu).median / 1e3 * MILLION * GB_OF_A_PROCESSOR
            told = "the processor's time alone, in a function"
            figures.add(f"million deletions as work, {architecture}/{SCRIPT}", "$", worked * price, told)
    for name in ("delete-execution", "boto3 delete", "boto3 delete reading"):
        if warm := figures.values(f"warm p50/{name}"):
            by_calls(figures, name, summary(warm).median / 1e3)


def by_sweep(figures: Figures, cpu_seconds: float) -> None:
    """At the shipped pace most of the time is waiting, which is paid for; how much of it is work is told apart."""
    seconds = MILLION / CALLS_PER_SECOND
    paced = seconds * FUNCTION_GB
    worked = cpu_seconds * MILLION * GB_OF_A_PROCESSOR
    slices = seconds / SLICE_SECONDS
    puts = summary(figures.values("writes per deletion/delete-expired")).median * MILLION
    bucket = puts / 1e3 * _price("s3PerThousandPuts")
    queue = slices * REQUESTS_OF_A_MESSAGE / MILLION * _price("sqsFifoPerMillionRequests")
    requests = slices / MILLION * _price("lambdaPerMillionRequests")
    told = f"at {CALLS_PER_SECOND} a second, 256 MB"
    figures.add("million deletions, GB-seconds/delete-expired", "GB-s", paced, told)
    figures.add("million deletions, GB-seconds of work/delete-expired", "GB-s", worked, "the processor's time alone")
    figures.add("million deletions, invocations/delete-expired", "requests", slices, f"of {SLICE_SECONDS} s")
    figures.add("million deletions, puts/delete-expired", "requests", puts)
    for architecture, price in ARCHITECTURES.items():
        rest = bucket + queue + requests
        figures.add(f"million deletions, {architecture}/delete-expired", "$", paced * price + rest, told)
        figures.add(f"million deletions as work, {architecture}/delete-expired", "$", worked * price + rest)


def by_calls(figures: Figures, name: str, seconds: float) -> None:
    """A million calls of a function that deletes one execution; API Gateway comes on top, the same for all."""
    gigabytes = seconds * MILLION * FUNCTION_GB
    requests = _price("lambdaPerMillionRequests")
    puts = 0 if name == "boto3 delete" else MILLION / 1e3 * _price("s3PerThousandPuts")
    for architecture, price in ARCHITECTURES.items():
        note = "as fast as on this machine; API Gateway apart"
        figures.add(f"million calls, {architecture}/{name}", "$", gigabytes * price + requests + puts, note)


def _price(name: str) -> float:
    price = PRICES[name]
    assert isinstance(price, float)
    return price
