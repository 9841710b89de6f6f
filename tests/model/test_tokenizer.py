"""SentencePiece as the published code runs it, in both behaviours of transformers 4."""

import json
import shutil
from pathlib import Path

import pytest

from libra_bench.model import zoo
from libra_bench.model.tokenizer import SentencePieceTokenizer, encode_with_image, load_tokenizer

TINY = Path(zoo.__file__).parent / "libra_tiny"


def tokenizer(folder: Path, **settings: object) -> SentencePieceTokenizer:
    shutil.copy(TINY / "tokenizer.model", folder)
    raw = json.loads((TINY / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**raw, **settings}))
    loaded = load_tokenizer(folder)
    assert isinstance(loaded, SentencePieceTokenizer)
    return loaded


@pytest.mark.parametrize("legacy", [True, False])
def test_special_tokens_are_cut_out_and_texts_come_back(tmp_path: Path, legacy: bool) -> None:
    made = tokenizer(tmp_path, legacy=legacy)
    ids = made.encode("The lungs are clear.</s>")
    assert (ids[0], ids[-1]) == (made.bos_token_id, made.eos_token_id)
    assert made.decode(ids) == "The lungs are clear."


def test_only_the_legacy_behaviour_puts_a_space_behind_a_special_token(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    text = "clear</s>lungs"
    behind = [
        tokenizer(tmp_path / name, legacy=legacy, add_bos_token=False).encode(text)
        for name, legacy in (("a", True), ("b", False))
    ]
    assert behind[0] != behind[1]
    made = load_tokenizer(tmp_path / "a")
    assert made.decode(behind[0]) == "clear lungs"
    assert made.decode(behind[1]) == "clearlungs"


def test_each_image_is_one_id_and_only_the_first_part_begins(tmp_path: Path) -> None:
    made = tokenizer(tmp_path)
    ids = encode_with_image("The <image>\nheart", made)
    assert ids.count(-200) == 1
    assert ids.count(1) == 1
    assert ids == [*made.encode("The "), -200, *made.encode("\nheart")[1:]]
