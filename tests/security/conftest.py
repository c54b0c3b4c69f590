"""What these tests share: each judge is started once."""

from __future__ import annotations

import pathlib

import judges
import pytest
import rendering


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return judges.cfn_guard(tmp_path_factory.mktemp("cfn-guard"))


@pytest.fixture
def template() -> rendering.Template:
    return rendering.translated()
