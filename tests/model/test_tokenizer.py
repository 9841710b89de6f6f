"""SentencePiece as the published code runs it, in both behaviours of transformers 4."""

import json
import shutil
from pathlib import Path

import pytest

from libra_bench.core.errors import InputError
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


def test_tokens_of_an_older_folder_stand_in_their_own_files(tmp_path: Path) -> None:
    """`added_tokens.json` and `special_tokens_map.json`, where the settings name no tokens."""
    shutil.copy(TINY / "tokenizer.model", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    (tmp_path / "added_tokens.json").write_text('{"heart": 1024, "[PAD]": 1025}')
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": "[PAD]"}')
    made = load_tokenizer(tmp_path)
    assert len(made) == 1026 and made.pad_token_id == 1025
    ids = made.encode("The heart is normal.[PAD]")
    assert 1024 in ids and ids[-1] == 1025
    # A special token is left out; one that was only added stands between spaces.
    assert made.decode(ids) == "The  heart is normal."
    # With tokens in the settings the older files are not looked at.
    (tmp_path / "tokenizer_config.json").write_text('{"added_tokens_decoder": {}}')
    assert len(load_tokenizer(tmp_path)) == 1024


def test_added_tokens_take_white_space_along(tmp_path: Path) -> None:
    decoder = {
        "1024": {"content": "<|end|>", "rstrip": True, "special": True},
        "1025": {"content": "<x>", "lstrip": True, "special": False},
        "1026": {"content": "lung", "single_word": True, "special": False},
    }
    made = tokenizer(tmp_path, legacy=False, added_tokens_decoder=decoder)
    assert made.encode("clear<|end|>\n\nThe") == made.encode("clear<|end|>The")
    assert made.encode("clear \n<x>The") == made.encode("clear<x>The")
    # Only between spaces, or at an end.
    assert 1026 in made.encode("the lung is") and 1026 not in made.encode("the lungs")
    # In the settings it is special, but no role names it: the older class writes it.
    assert made.decode([1024]) == "<|end|>"


def test_bytes_that_are_no_text_are_one_sign_each_or_a_text_as_a_whole(tmp_path: Path) -> None:
    made = tokenizer(tmp_path)
    e_acute = [made._model.piece_to_id(piece) for piece in ("<0xC3>", "<0xA9>")]
    broken = [*e_acute, e_acute[0]]
    assert made.decode(e_acute) == "é" and made.decode(broken) == "é\ufffd"
    # The newer class, which the published code makes of Mistral's model, reads runs as a whole.
    newer = load_tokenizer(tmp_path, "libra_mistral")
    assert newer.decode(e_acute) == "é" and newer.decode(broken) == "\ufffd" * 3
    with pytest.raises(InputError, match="outside the tokenizer's 1024 tokens"):
        made.decode([4000])


def test_clean_up_takes_spaces_from_punctuation(tmp_path: Path) -> None:
    for clean, expected in ((True, "clear, normal."), (False, "clear , normal .")):
        made = tokenizer(tmp_path, clean_up_tokenization_spaces=clean)
        assert made.decode(made.encode("clear , normal .")) == expected


def gemmas(folder: Path) -> None:
    """Gemma's tokenizer as an older folder has it: `tokenizer.model` alone."""
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["The lungs are clear.\n\n", "No  pleural effusion."] * 3),
        model_writer=model,
        model_type="bpe",
        vocab_size=300,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
        unk_piece="<unk>",
        user_defined_symbols=["<start_of_turn>", "\n\n"],
        num_threads=1,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    added = {"4": {"content": "<start_of_turn>", "special": True}}
    settings = {"tokenizer_class": "GemmaTokenizer", "added_tokens_decoder": added}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize("training", [False, True])
def test_gemmas_model_alone_is_read_without_a_space_before_a_text(
    tmp_path: Path, training: bool
) -> None:
    """Checked with transformers 4.51.3, whose newer class is made of the same file."""
    gemmas(tmp_path)
    made = load_tokenizer(tmp_path, "libra_gemma", training=training)
    assert (made.bos_token_id, made.eos_token_id, made.pad_token_id) == (2, 1, 0)
    assert made.legacy is None  # In training no class of Llama's kind.
    ids = made.encode("<start_of_turn>clear\n\n lungs")
    assert ids[:2] == [2, 4] and 5 in ids
    assert made.decode(ids[2:]) == "clear\n\n lungs"
    assert made.decode(made.encode(" lungs")) == " lungs"
    # Pieces 6 to 261 are the bytes; made anew, the ninth is the sign itself, not a byte.
    assert made.decode([6 + 9]) == "\t"
    if not training:
        assert made.decode([6 + 9, 6 + 0xE2, 6 + 0x82]) == "\t\ufffd\ufffd"


def test_made_anew_a_tokenizer_writes_added_tokens_without_spaces(tmp_path: Path) -> None:
    """And leaves out what is marked special, with a role or without; the older class does not."""
    added = json.loads((TINY / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    added["1024"] = {"content": "[REF]", "special": False}
    added["1025"] = {"content": "<|x|>", "special": True}
    older = tokenizer(tmp_path, added_tokens_decoder=added, legacy=False)
    newer = load_tokenizer(tmp_path, "libra_mistral")
    ids = [*older.encode("clear")[1:], 1024, 1025, 9999]
    assert newer.decode(ids) == "clear[REF]"
    assert older.decode(ids[:-1]) == "clear [REF] <|x|>"
    # It adds no space to one that is there.
    assert newer.encode(" clear") == newer.encode("clear") != older.encode(" clear")
