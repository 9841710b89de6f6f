"""Fixtures for all tests: where the parity kits and the public data lie."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _folder(variable: str, default: Path) -> Path:
    path = Path(os.environ.get(variable, default))
    if not path.is_dir():
        pytest.skip(f"needs {path}; set {variable} to the folder that holds it")
    return path


@pytest.fixture
def parity() -> Path:
    """The published implementations' answers."""
    return _folder("LIBRA_BENCH_PARITY", ROOT.parent / "shared" / "parity")


@pytest.fixture
def public_data() -> Path:
    """Public reports and images of real patients."""
    return _folder("LIBRA_BENCH_DATA", ROOT.parent / "shared" / "data")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests neither read nor fill the user's cache; one cache serves a whole session."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("LIBRA_BENCH_CACHE", str(cache))
