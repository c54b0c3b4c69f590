"""Writes what each function is made of, as CycloneDX: target/sbom/FUNCTION.cdx.json, valid by CycloneDX's own schema.

    python3 dev/sbom.py [arm64|x86_64]

A component is what cargo links into the function's binary, with the licence of its manifest and the checksum of the
lock file, and Rust's standard library. The same tree gives the same files, whenever they are written.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from typing import Any

from environments import ROOT, ensure, program

TRIPLES = {"arm64": "aarch64-unknown-linux-gnu", "x86_64": "x86_64-unknown-linux-gnu"}
OUT = ROOT / "target" / "sbom"
# Said of what is written below; the schema of that version comes with checkov's library for CycloneDX.
SPECIFICATION = "1.6"

Component = dict[str, Any]


def output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


@functools.cache
def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    packages = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1"))["packages"]
    return {(package["name"], package["version"]): package for package in packages}


@functools.cache
def checksums() -> dict[tuple[str, str], str]:
    packages = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    return {(p["name"], p["version"]): p["checksum"] for p in packages if "checksum" in p}


def linked(function: str, triple: str) -> dict[tuple[str, str], set[tuple[str, str]]]:
    """What is linked into a function, each with what it depends on itself; the function comes first."""
    tree = output(
        *("cargo", "tree", "--locked", "--package", function, "--target", triple),
        *("--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", " {p}"),
    )
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    above: list[tuple[str, str]] = []
    for line in tree.splitlines():
        depth, name, version = re.match(r"(\d+) (\S+) v(\S+)", line).groups()
        package = (name, version)
        found.setdefault(package, set())
        del above[int(depth) :]
        if above:
            found[above[-1]].add(package)
        above.append(package)
    return found


def reference(package: tuple[str, str]) -> str:
    return f"pkg:cargo/{package[0]}@{package[1]}"


def component(package: tuple[str, str]) -> Component:
    name, version = package
    manifest = manifests()[package]
    told: Component = {"type": "library", "bom-ref": reference(package), "name": name, "version": version}
    if manifest["license"]:
        # What was written before SPDX had expressions.
        told["licenses"] = [{"expression": manifest["license"].replace("/", " OR ")}]
    told["purl"] = reference(package)
    if package in checksums():
        told["hashes"] = [{"alg": "SHA-256", "content": checksums()[package]}]
    if manifest["repository"]:
        told["externalReferences"] = [{"type": "vcs", "url": manifest["repository"]}]
    return told


def standard_library() -> Component:
    version = output("rustc", "--version").split()[1]
    told = {"type": "framework", "bom-ref": f"pkg:generic/rust@{version}", "name": "rust", "version": version}
    return {**told, "licenses": [{"expression": "MIT OR Apache-2.0"}], "purl": f"pkg:generic/rust@{version}"}


def bill(function: str, triple: str) -> dict[str, Any]:
    """The bill of materials of a function."""
    packages = linked(function, triple)
    itself, *others = packages
    rust = standard_library()
    told = {
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {
            "timestamp": output("git", "log", "-1", "--format=%cI").strip(),
            "tools": {
                "components": [
                    {"type": "application", "name": "cargo", "version": output("cargo", "--version").split()[1]}
                ]
            },
            "component": {
                **component(itself),
                "type": "application",
                "properties": [
                    {"name": "jobwarden:commit", "value": output("git", "rev-parse", "HEAD").strip()},
                    {"name": "jobwarden:target", "value": triple},
                ],
            },
        },
        "components": [*(component(package) for package in sorted(others)), rust],
        "dependencies": [
            {"ref": reference(package), "dependsOn": sorted(map(reference, needed))}
            for package, needed in sorted(packages.items())
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(told, sort_keys=True))
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "serialNumber": f"urn:uuid:{serial}",
        **told,
    }


def problems(told: dict[str, Any]) -> list[str]:
    """What CycloneDX's schema has against a bill. Runs in the environment `security`."""
    from importlib.resources import files

    import jsonschema
    import referencing

    schemas = files("cyclonedx.schema") / "_res"

    def schema(name: str) -> Any:
        return json.loads((schemas / f"{name}.SNAPSHOT.schema.json").read_text())

    whole = schema(f"bom-{SPECIFICATION}")
    parts = [
        (f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json", schema(name)) for name in ("spdx", "jsf-0.82")
    ]
    registry = referencing.Registry().with_resources(
        (uri, referencing.Resource.from_contents(part, default_specification=referencing.jsonschema.DRAFT7))
        for uri, part in parts
    )
    validator = jsonschema.Draft7Validator(whole, registry=registry)
    found = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(told)]
    known = {told["metadata"]["component"]["bom-ref"], *(component["bom-ref"] for component in told["components"])}
    named = {ref for entry in told["dependencies"] for ref in (entry["ref"], *entry["dependsOn"])}
    return found + [f"{ref} is not among the components" for ref in sorted(named - known)]


def main() -> None:
    architecture = sys.argv[1] if len(sys.argv) > 1 else "arm64"
    if architecture not in TRIPLES:
        raise SystemExit(f"no architecture {architecture}; there are {', '.join(TRIPLES)}")
    ensure("security")
    python = program("security", "python")
    if sys.prefix != str(python.parent.parent):
        os.execv(python, [str(python), __file__, architecture])
    OUT.mkdir(parents=True, exist_ok=True)
    for folder in sorted((ROOT / "functions").iterdir()):
        told = bill(folder.name, TRIPLES[architecture])
        if found := problems(told):
            raise SystemExit(f"{folder.name}: {found[0]}")
        path = OUT / f"{folder.name}.cdx.json"
        path.write_text(json.dumps(told, indent=1) + "\n")
        print(f"{len(told['components']):>5} components  {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
