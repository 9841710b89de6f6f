"""Fixtures for all tests: where the published implementations' answers and the public data lie."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CARRIED = ROOT / "tests" / "kits"
"""The kits that a clone holds; see its README."""


class Kits:
    """Kits by name, `kits / "radgraph"`: of the folder that was named, else those of the clone."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders

    def __truediv__(self, name: str) -> Path:
        for folder in self._folders:
            if (folder / name).exists():
                return folder / name
        pytest.skip(f"needs the kit {name}; set LIBRA_BENCH_PARITY to the folder that holds it")


def _folder(variable: str, default: Path) -> Path:
    return Path(os.environ.get(variable, default))


@pytest.fixture
def parity() -> Kits:
    """The published implementations' answers."""
    return Kits(_folder("LIBRA_BENCH_PARITY", ROOT.parent / "shared" / "parity"), CARRIED)


@pytest.fixture
def public_data() -> Path:
    """Public reports and images of real patients."""
    path = _folder("LIBRA_BENCH_DATA", ROOT.parent / "shared" / "data")
    if not path.is_dir() or not any(path.iterdir()):
        pytest.skip(f"needs {path}; set LIBRA_BENCH_DATA to the folder that holds it")
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests neither read nor fill the user's cache; one cache serves a whole session."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("LIBRA_BENCH_CACHE", str(cache))
