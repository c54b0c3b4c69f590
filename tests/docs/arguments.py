"""What can be said of a command without running it: whether its program has these options, targets and parameters."""

from __future__ import annotations

import functools
import pathlib
import re
import subprocess
from collections.abc import Iterator

import botocore.model
import botocore.session
import jmespath
import yaml
from botocore import xform_name
from pages import ROOT

LOCAL = ROOT / ".local"
# The AWS CLI of the environment, by its interpreter: environments may have been moved.
AWS = [str(LOCAL / "venv-clients" / "bin" / name) for name in ("python", "aws")]
NOBODY = "http://127.0.0.1:9"


def wrong(call: list[str], environment: dict[str, str], tree: pathlib.Path, *, is_run: bool) -> str | None:
    """What speaks against a call. Of one that was run only that is asked of which its success says nothing."""
    program, *given = call
    if program == "aws":
        return wrong_query(given) or (None if is_run else wrong_for_aws(given, environment))
    if program == "make":
        done = _ran(["make", "--dry-run", *given], cwd=tree)
        return done.stderr.strip() if done.returncode else None
    if program == "sam":
        return wrong_for_sam(given)
    return None


def _ran(command: list[str | pathlib.Path], **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **settings)


def wrong_for_aws(given: list[str], environment: dict[str, str]) -> str | None:
    """What the AWS CLI has against the arguments: it goes by its models before it finds that nobody answers."""
    done = _ran([*AWS, *given, "--endpoint-url", NOBODY], env={**environment, "AWS_MAX_ATTEMPTS": "1"})
    return None if f'Could not connect to the endpoint URL: "{NOBODY}' in done.stderr else done.stderr.strip() or "?"


def wrong_query(given: list[str]) -> str | None:
    """Names in `--query` that the answer does not have: they would give nothing, and no error."""
    output = _output(given[0], given[1]) if "--query" in given else None
    if output is None:
        return None
    asked = set(_fields(jmespath.compile(given[given.index("--query") + 1]).parsed))
    unknown = asked - _members(output)
    return f"the answer has no {', '.join(sorted(unknown))}" if unknown else None


def _output(service: str, operation: str) -> botocore.model.Shape | None:
    """What an operation answers; None of what the CLI has of its own."""
    session = botocore.session.get_session()
    if service not in session.get_available_services():
        return None
    model = session.get_service_model(service)
    named = {xform_name(name, "-"): name for name in model.operation_names}
    return model.operation_model(named[operation]).output_shape if operation in named else None


def _fields(parsed: dict) -> Iterator[str]:
    if parsed["type"] == "field":
        yield parsed["value"]
    for child in parsed.get("children", ()):
        yield from _fields(child)


def _members(shape: botocore.model.Shape, above: tuple[str, ...] = ()) -> set[str]:
    found: set[str] = set()
    if shape.name in above:
        return found
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            found |= {name} | _members(member, (*above, shape.name))
    elif shape.type_name == "list":
        found |= _members(shape.member, (*above, shape.name))
    elif shape.type_name == "map":
        found |= set(getattr(shape.key, "enum", ())) | _members(shape.value, (*above, shape.name))
    return found


def wrong_for_sam(given: list[str]) -> str | None:
    """Options that `sam` does not have, and parameters that the template does not."""
    command, *rest = given
    options = _options_of_sam(command)
    unknown = [word for word in rest if word.startswith("--") and word not in options]
    if unknown:
        return f"`sam {command}` has no {', '.join(unknown)}"
    named = [word.split("=", 1) for word in rest if not word.startswith("--") and "=" in word]
    return next(filter(None, (wrong_parameter(name, value) for name, value in named)), None)


@functools.cache
def _options_of_sam(command: str) -> set[str]:
    listing = f"from samcli.commands.{command}.command import cli; print(*(o for p in cli.params for o in p.opts))"
    return set(_ran([LOCAL / "venv-sam" / "bin" / "python", "-c", listing]).stdout.split())


class _Template(yaml.SafeLoader):
    """CloudFormation's short forms are of no interest here."""


_Template.add_multi_constructor("!", lambda loader, suffix, node: None)


@functools.cache
def parameters() -> dict[str, dict]:
    """The template's parameters."""
    return yaml.load((ROOT / "template.yaml").read_text(), _Template)["Parameters"]


def wrong_parameter(name: str, value: str) -> str | None:
    """Why CloudFormation would not take the value, as far as the template says. `sam` takes a value with blanks in
    double quotes only, which it removes."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    elif " " in value:
        return f"`{name}` needs double quotes around a value with blanks"
    known = parameters().get(name)
    if known is None:
        return f"the template has no parameter `{name}`"
    allowed, pattern = known.get("AllowedValues"), known.get("AllowedPattern")
    if allowed and value not in map(str, allowed):
        return f"`{name}` is one of {', '.join(map(str, allowed))}"
    if pattern and not re.fullmatch(pattern, value):
        return f"`{name}` has to match {pattern}"
    return None
