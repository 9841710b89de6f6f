"""The name of a model names it whatever lies in the working directory."""

import shutil
import warnings
from pathlib import Path

import pytest

import libra_bench
from libra_bench.core.errors import InputError, MissingResourceError, Notice
from libra_bench.generation.factory import SystemSettings
from libra_bench.model import zoo
from libra_bench.model.places import find_checkpoint


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with folders called as models are."""
    monkeypatch.chdir(tmp_path)
    for name in ("libra-tiny", "libra-7b", "normal-template", "mine"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_a_folder_of_a_models_name_is_no_model(beside: Path) -> None:
    with pytest.warns(Notice, match=r"\./libra-tiny names the folder"):
        folder, entry = find_checkpoint("libra-tiny")
    assert entry is zoo.ZOO["libra-tiny"] and folder.name == "libra_tiny"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_checkpoint("./libra-tiny") == (Path("libra-tiny"), None)
        assert find_checkpoint(Path("libra-tiny")) == (Path("libra-tiny"), None)
        assert find_checkpoint("mine") == (Path("mine"), None)
    with pytest.warns(Notice), pytest.raises(MissingResourceError, match="libra-7b"):
        find_checkpoint("libra-7b")
    with pytest.raises(InputError, match="unknown model"):
        find_checkpoint("absent")


def test_settings_read_names_alike(beside: Path) -> None:
    assert SystemSettings(model="normal-template").is_baseline
    assert not SystemSettings(model="./normal-template").is_baseline
    tiny = zoo.find("libra-tiny").protocol
    assert SystemSettings(model="libra-tiny").decoding().name == (tiny or "libra-paper")


def test_python_takes_a_folder_as_a_path(beside: Path) -> None:
    tiny = zoo.is_present(zoo.find("libra-tiny"))
    assert tiny is not None
    shutil.rmtree("mine")
    shutil.copytree(tiny, "libra-tiny", dirs_exist_ok=True, copy_function=shutil.copyfile)
    (Path("libra-tiny") / "config.json").write_text("no JSON")
    with pytest.raises(InputError, match="config"):
        libra_bench.load_model(Path("libra-tiny"))
