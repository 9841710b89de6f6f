"""Helpers beside these tests, and a corpus written once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training file of a small corpus."""
    from corpus import write

    return write(tmp_path_factory.mktemp("corpus"))
