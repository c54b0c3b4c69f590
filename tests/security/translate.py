"""Prints template.yaml as CloudFormation would get it: translated by SAM on this machine, as JSON.

Runs in the environment `sam`, so that it is the translator that `sam` itself would use.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

ROOT = pathlib.Path(__file__).resolve().parents[2]


class NoManagedPolicies:
    """Policies by name would be looked up at AWS. The template names none."""

    def load(self) -> dict[str, str]:
        return {}


def main() -> None:
    template = yaml_parse((ROOT / "template.yaml").read_text())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # What `sam package` would put there.
            resource["Properties"]["CodeUri"] = "s3://somewhere/code.zip"
    json.dump(transform(template, {}, NoManagedPolicies()), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
