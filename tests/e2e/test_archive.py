"""The archive as documented: what docs/archive.md says of its objects, and the table for Athena."""

from __future__ import annotations

import gzip
import json
import re

import pytest
from conftest import ROOT
from test_sweeps import Sweeps

PAGE = (ROOT / "docs" / "archive.md").read_text()


def split(text: str, separator: str = ",") -> list[str]:
    """The parts of a list, whose items may have angle brackets with lists of their own."""
    parts, depth = [""], 0
    for character in text:
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def columns() -> dict[str, str]:
    """The table's columns with their types."""
    written = PAGE[PAGE.index("CREATE EXTERNAL TABLE") : PAGE.index("PARTITIONED BY")]
    return dict(column.split(maxsplit=1) for column in split(written.partition("(")[2].rpartition(")")[0]))


def complaints(value, kind: str, place: str) -> list[str]:
    """Where a value is not of a type of Athena's. The SerDe takes names in any case."""
    inner = kind[kind.index("<") + 1 : -1] if "<" in kind else ""
    if kind.startswith("array<"):
        return [c for i, item in enumerate(value) for c in complaints(item, inner, f"{place}[{i}]")]
    if kind.startswith("map<"):
        return [c for key, item in value.items() for c in complaints(item, split(inner)[1], f"{place}.{key}")]
    if kind.startswith("struct<"):
        fields = dict(field.split(":", 1) for field in split(inner))
        missing = [f"{place}.{name} has no column" for name in value if name.lower() not in fields]
        known = {name: item for name, item in value.items() if name.lower() in fields}
        return missing + [c for name, item in known.items() for c in complaints(item, fields[name.lower()], name)]
    types = {"string": str, "int": int, "bigint": int, "boolean": bool}
    return [] if type(value) is types[kind] else [f"{place} is {value!r}, not {kind}"]


@pytest.fixture
def objects(world, operator) -> dict[str, bytes]:
    """What a sweep and a caller leave in the archive."""
    world.end_sweeps()
    world.wipe()
    world.set_time_offset("-100d")
    try:
        world.executions(["SUCCEEDED", "CANCELED", "REMOVED"], tags=[{"Key": "ring", "Value": "canary"}])
    finally:
        world.set_time_offset("+0d")
    before = set(world.objects("archive/"))
    report = Sweeps(operator).run("delete-expired")
    assert report["outcomes"] == {"deleted": 3}, report
    iot = operator.boto3()
    iot.delete_job_execution(**world.execution("FAILED").delete)
    return {key: body for key, body in world.objects("archive/").items() if key not in before}


def test_every_member_of_every_record_has_its_column(objects):
    table = f"struct<{','.join(f'{name}:{kind}' for name, kind in columns().items())}>"
    records = [json.loads(line) for body in objects.values() for line in gzip.decompress(body).splitlines()]
    assert len(records) == 4
    assert {record["archive"] for record in records} == {"full", "summary"}
    for record in records:
        assert complaints(record, table, "record") == []
    # And the table in the page names every member that a record has.
    described = set(re.findall(r"`([A-Za-z]+)`", "".join(line for line in PAGE.splitlines() if line.startswith("| `"))))
    assert {name for record in records for name in record} <= described


def test_objects_lie_where_the_partitions_are(objects):
    pattern = re.compile(r"archive/date=(\d{4}-\d\d-\d\d)/sweep=([^/]+)/[^/]+\.jsonl\.gz")
    found = [pattern.fullmatch(key) for key in objects]
    assert all(found), objects.keys()
    assert "api" in {match[2] for match in found}
    template = re.search(r"'storage.location.template' = 's3://BUCKET/(.*)'", PAGE)[1]
    for match in found:
        assert match[0].startswith(template.replace("${day}", match[1]))
