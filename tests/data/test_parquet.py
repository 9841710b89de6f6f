"""Local copies of Hugging Face sets: texts read without images, images unpacked when asked for."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from libra_bench.core import cache
from libra_bench.core.cache import cache_dir
from libra_bench.core.errors import InputError, Notice, OutputError
from libra_bench.data import packed
from libra_bench.data.corpora import load
from libra_bench.data.images import load_image, resolve_image
from libra_bench.data.prompts import QUESTION

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(grey: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 6), grey, np.uint8)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": f"{grey}.png"}


def write(path: Path, columns: dict[str, Any], images: dict[str, pa.DataType]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: pa.array(values, images.get(name)) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), path, row_group_size=2)


@pytest.fixture
def rrg24(tmp_path: Path) -> Path:
    """The shared task's columns: several images a study, sections that may be empty."""
    columns = {
        "source": ["MIMIC-CXR", "CheXpert", "MIMIC-CXR", "PadChest"],
        "findings": ["Clear.", None, "Effusion.", "Nodule."],
        "impression": ["Normal.", "Normal.", "", None],
        "images": [[png(10), png(20)], [png(30)], [png(40)], []],
        "images_path": [["a", "b"], ["c"], ["d"], []],
    }
    write(tmp_path / "data" / "train-00000-of-00001.parquet", columns, {"images": pa.list_(IMAGE)})
    columns["findings"] = ["Other."] * 4
    write(
        tmp_path / "data" / "validation-00000-of-00001.parquet",
        columns,
        {"images": pa.list_(IMAGE)},
    )
    return tmp_path


def grey(root: Path | None, name: str) -> int:
    assert root is not None
    return int(np.asarray(load_image(resolve_image(root, name)))[0, 0, 0])


@pytest.mark.parametrize("column", ["findings", "impression", "indication", "question"])
def test_numbers_are_no_texts(tmp_path: Path, column: str) -> None:
    """A column of numbers called as one of texts is refused by name; one of nothing but NaN is
    how pandas writes a column of nothing."""
    columns: dict[str, Any] = {
        "id": [7, 8],
        "findings": ["Clear.", "Effusion."],
        "history": [float("nan")] * 2,
        "image": [png(10), png(20)],
    }
    write(tmp_path / "test.parquet", columns, {"image": IMAGE})
    assert [one.reference for one in load(f"parquet:{tmp_path}").examples] == columns["findings"]
    write(tmp_path / "test.parquet", {**columns, column: [1.5, 2.0]}, {"image": IMAGE})
    ours = "text" if column == "question" else column
    with pytest.raises(InputError, match=rf"row 0: {ours}: a text was expected, not 1.5"):
        load(f"parquet:{tmp_path}")


def test_shared_task(rrg24: Path) -> None:
    cohort = load(f"parquet:{rrg24}", split="train")
    assert [one.reference for one in cohort.examples] == ["Clear.", "Effusion."]
    assert {one.reason for one in cohort.dropped} == {"no findings", "no image"}
    assert cohort.examples[0].extra("source") == "MIMIC-CXR"
    assert [grey(cohort.image_root, one.image[0]) for one in cohort.examples] == [10, 40]
    assert any("several images" in note for note in cohort.notes)
    assert "image=images" in cohort.settings["columns"]
    assert {one.split for one in load(f"parquet:{rrg24}", split="validate").examples} == {
        "validate"
    }
    assert len(load(f"parquet:{rrg24}", section="impression").examples) == 4
    with pytest.raises(InputError, match=r"no Parquet files of split test; it has train-00000"):
        load(f"parquet:{rrg24}", split="test")


def test_prior_images_and_a_folder_for_each_section(tmp_path: Path) -> None:
    columns = {
        "dicom_id": ["x", "y"],
        "study_id": [501, 502],
        "subject_id": [10, 10],
        "findings_section": ["Clear.", "Worse."],
        "indication": ["Cough.", None],
        "main_image": [png(1), png(2)],
        "prior_image": [None, png(1)],
        "default_prompt": ["What is seen?", None],
    }
    images = {"main_image": IMAGE, "prior_image": IMAGE}
    write(tmp_path / "findings_section" / "test-00000-of-00001.parquet", columns, images)
    other = {**columns, "impression_section": columns.pop("findings_section")}
    write(tmp_path / "impression_section" / "test-00000-of-00001.parquet", other, images)
    cohort = load(f"parquet:{tmp_path}", split="test")
    first, second = cohort.examples
    assert (first.question_id, first.study_id, first.subject_id) == ("x", "501", "10")
    assert first.text == "What is seen?" and second.text == QUESTION.format(section="findings")
    assert first.extra("indication") == "Cough."
    assert (first.has_prior, second.has_prior) == (False, True)
    assert [grey(cohort.image_root, name) for name in second.image] == [2, 1]
    assert "findings_section" in first.image[0]
    alone = load(f"parquet:{tmp_path}", prior_policy="none").examples
    assert not any(one.has_prior for one in alone)
    with pytest.raises(InputError, match="only `none` can be chosen"):
        load(f"parquet:{tmp_path}", prior_policy="libra")


def test_images_are_unpacked_a_row_group_at_a_time(rrg24: Path) -> None:
    before = set(cache_dir("packed").rglob("[0-9]-[0-9]"))
    cohort = load(f"parquet:{rrg24}", split="train")
    assert set(cache_dir("packed").rglob("[0-9]-[0-9]")) == before, "loading unpacks nothing"
    grey(cohort.image_root, cohort.examples[0].image[0])
    new = {path.name for path in set(cache_dir("packed").rglob("[0-9]-[0-9]")) - before}
    assert new == {"0-0", "0-1", "1-0"}
    root = cohort.image_root
    for row, message in (("9-0", "row 9 of 4"), ("0-7", "no image 7")):
        with pytest.raises(InputError, match=message):
            resolve_image(root, f"data/train-00000-of-00001.parquet/images/{row}")
    with pytest.raises(InputError, match="no column pictures"):
        resolve_image(root, "data/train-00000-of-00001.parquet/pictures/0-0")


@pytest.mark.parametrize("damage", ["cut", "another's", "another's with its sum", "no sum"])
def test_a_damaged_image_of_the_cache_is_unpacked_again(
    rrg24: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """An image that stands under another's name would be read without an error."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    root, folder = rrg24, "data/train-00000-of-00001.parquet/images"
    first, second = (resolve_image(root, f"{folder}/{name}") for name in ("0-0", "1-0"))
    before = first.read_bytes()
    assert before != second.read_bytes()
    sums = [one.with_name(f"{one.name}.sha256") for one in (first, second)]
    if damage == "cut":
        first.write_bytes(before[:-9])
    elif damage == "no sum":
        sums[0].unlink()
    else:
        first.write_bytes(second.read_bytes())
        if damage != "another's":
            sums[0].write_bytes(sums[1].read_bytes())
    with pytest.warns(Notice, match="0-0: the cache is damaged and is made again"):
        assert resolve_image(root, f"{folder}/0-0").read_bytes() == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_image(root, f"{folder}/0-0").read_bytes() == before


def test_a_full_cache_costs_no_image(
    rrg24: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "full"))
    monkeypatch.setattr(cache.tempfile, "mkdtemp", lambda prefix: str(tmp_path / prefix))

    def write(path: Path, content: bytes) -> None:
        if path.is_relative_to(tmp_path / "full"):
            raise OutputError(f"{path}: cannot be written (No space left on device)")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    monkeypatch.setattr(packed, "write_atomic", write)
    with pytest.warns(Notice, match="cannot be used .*No space left"):
        found = resolve_image(rrg24, "data/train-00000-of-00001.parquet/images/0-0")
    assert found.is_file() and not found.is_relative_to(tmp_path / "full")


def test_sets_of_another_form_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"report": ["x"], "image": [png(1)]}, {"image": IMAGE})
    with pytest.raises(InputError, match=r"no column known as findings; it has report, image"):
        load(f"parquet:{tmp_path}")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(InputError) as caught:
        load(f"parquet:{tmp_path}")
    assert "a.parquet" in str(caught.value) and "b.parquet: not a Parquet file" in str(caught.value)
    columns = {"id": ["1", "1"], "findings": ["a", "b"], "image": [png(1), png(1)]}
    write(tmp_path / "twice" / "c.parquet", columns, {"image": IMAGE})
    with pytest.raises(InputError, match="id '1' stands in 2 rows"):
        load(f"parquet:{tmp_path / 'twice'}")
