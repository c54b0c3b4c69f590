"""The bills of materials: what is linked, and valid by CycloneDX's schema."""

from __future__ import annotations

import copy

import pytest
import rendering  # noqa: F401  (it finds the folder dev)
import sbom


@pytest.fixture(scope="module")
def bill():
    return sbom.bill("delete-execution", sbom.TRIPLES["arm64"])


def test_a_bill_names_what_is_linked_and_is_valid(bill):
    assert sbom.problems(bill) == []
    names = {component["name"] for component in bill["components"]}
    assert {"shared", "aws", "cedar-policy", "ring", "rustls", "object_store", "rust"} <= names
    # Neither what tests, nor what only runs while something is built.
    assert not names & {"tests", "proptest", "stateright", "serde_derive", "cc", "cli"}
    for component in bill["components"]:
        assert component["licenses"], component["name"]
        ours = component["name"] in ("shared", "aws", "crc-fast", "regex", "rust")
        assert ours or component["hashes"][0]["alg"] == "SHA-256", component["name"]


def test_the_same_tree_gives_the_same_bill(bill):
    assert sbom.bill("delete-execution", sbom.TRIPLES["arm64"]) == bill


@pytest.mark.parametrize(
    "spoil",
    [
        lambda bill: bill.update(specVersion=16),
        lambda bill: bill.update(serialNumber="1"),
        lambda bill: bill["components"][0].pop("name"),
        lambda bill: bill["components"][0].update(colour="red"),
        lambda bill: bill["components"].pop(0),
    ],
)
def test_a_bill_that_is_not_valid_is_found(bill, spoil):
    spoiled = copy.deepcopy(bill)
    spoil(spoiled)
    assert sbom.problems(spoiled) != []
