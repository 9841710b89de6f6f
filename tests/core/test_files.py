from pathlib import Path

import pytest

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json, read_records, write_atomic, write_json
from libra_bench.core.records import Example


def lines(path: Path, *texts: str) -> Path:
    path.write_text("\n".join(texts))
    return path


def test_all_faults_of_a_file_are_reported_together(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "examples.jsonl",
        '{"question_id": "a", "text": "q", "image": ["1.png"]}',
        '{"question_id": "b", "image": ["1.png", "2.png", "3.png"], "text": "q"}',
        '{"question_id": "a", "text": "q"}',
        '{"question_id": "c"}',
    )
    with pytest.raises(InputError) as caught:
        read_records(path, Example)
    message = str(caught.value)
    assert str(path) in message
    assert "line 2 (id 'b'): image" in message
    assert "line 3: duplicate id 'a', first on line 1" in message
    assert "line 4 (id 'c'): text" in message


def test_a_line_cut_in_half_is_named(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "cut.jsonl", '{"question_id": "a", "text": "q"}', '{"question_id": "b", "te'
    )
    with pytest.raises(InputError, match=r"cut\.jsonl, line 2: not JSON .*cut off"):
        read_records(path, Example)


def test_missing_file_and_text_in_another_encoding(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.jsonl: cannot be read"):
        read_records(tmp_path / "absent.jsonl", Example)
    path = tmp_path / "latin.jsonl"
    path.write_bytes('{"question_id": "é"}'.encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_records(path, Example)


def test_ids_as_numbers_and_missing_references(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "numbers.jsonl",
        '{"question_id": 7, "text": "q", "image": "1.png", "reference": NaN, "indication": "pain"}',
    )
    (example,) = read_records(path, Example)
    assert example.question_id == "7"
    assert example.image == ["1.png"]
    assert example.reference == ""
    assert example.extra("indication") == "pain"
    assert example.extra("history") == ""


@pytest.mark.parametrize(
    ("image", "has_prior"), [(["a"], False), (["a", "a"], False), (["a", "b"], True), ([], False)]
)
def test_a_repeated_current_image_is_no_prior(image: list[str], has_prior: bool) -> None:
    assert Example(question_id="1", image=image, text="q").has_prior is has_prior


def test_atomic_write_leaves_the_old_file_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"value": float("nan"), "list": [1.5, float("nan")]})
    assert read_json(path) == {"value": None, "list": [1.5, None]}

    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert read_json(path)["value"] is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "bom.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"question_id": "a", "text": "q"}\n')
    assert read_records(path, Example)[0].question_id == "a"
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(path) == [1]


@pytest.mark.parametrize(
    "text", ["[" * 50_000 + "]" * 50_000, '{"a":' * 50_000, "1" * 5000, '{"a": ' + "9" * 5000 + "}"]
)
def test_json_beyond_all_measure_is_one_message(tmp_path: Path, text: str) -> None:
    path = lines(tmp_path / "x.json", text)
    for read in (read_json, lambda one: read_records(one, Example)):
        with pytest.raises(InputError, match=r"x\.json.*(JSON|object)") as caught:
            read(path)
        assert len(str(caught.value)) < 300


def test_half_a_character_is_read_as_its_replacement(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "half.jsonl",
        r'{"question_id": "a", "text": "q \ud83d", "n": ["\udc00", {"\ud800": "\ud83d\ude00"}]}',
    )
    (example,) = read_records(path, Example)
    assert example.text == "q \ufffd"
    assert (example.model_extra or {})["n"] == ["\ufffd", {"\ufffd": "\U0001f600"}]
