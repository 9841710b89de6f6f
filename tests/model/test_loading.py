"""Checkpoints in the published layout, whole and broken, for each family of language models."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.generation.engines import fast, reference
from libra_bench.generation.protocols import Decoding
from libra_bench.generation.study import Study
from libra_bench.model import zoo
from libra_bench.model.loading import LoadedModel, load_model

FAMILIES = ("libra", "libra_mistral", "libra_qwen2", "libra_qwen3", "libra_phi3", "libra_gemma")
TINY = Path(zoo.__file__).parent / "libra_tiny"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A copy of the packaged checkpoint, to be broken."""
    return Path(shutil.copytree(TINY, tmp_path / "tiny"))


def change(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def random_study(loaded: LoadedModel, seed: int, length: int = 12) -> Study:
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 400, (length,), generator=draw)
    ids[length // 2] = -200
    image = torch.randn(2, 3, 112, 112, generator=draw)
    return Study(str(seed), ids, image[0], image[1] if seed % 2 else None)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_loads_and_both_engines_agree(tiny: Path, family: str) -> None:
    change(tiny, model_type=family, num_key_value_heads=2, head_dim=32, sliding_window=None)
    loaded = load_model(tiny, random_weights=True)
    assert not loaded.trained
    studies = [random_study(loaded, seed) for seed in range(3)]
    for decoding in (
        Decoding("greedy", max_new_tokens=8),
        Decoding("beam", num_beams=3, no_repeat_ngram_size=3, max_new_tokens=8),
    ):
        answers = [
            engine.generate(loaded.model, studies, decoding, eos_token_ids=[2], pad_token_id=0)
            for engine in (reference, fast)
        ]
        assert answers[0] == answers[1]
        assert all(1 <= len(ids) <= 8 for ids in answers[0])


LLAMA_3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LONG = {"type": "longrope", "short_factor": [1.0] * 16, "long_factor": [2.0] * 16}


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("libra_llama", {"rope_scaling": LLAMA_3, "tie_word_embeddings": True}),
        ("libra_mistral", {"sliding_window": 1024, "rope_theta": 1e6}),
        ("libra_phi3", {"rope_scaling": LONG, "original_max_position_embeddings": 512}),
        ("libra_phi3", {"rope_scaling": LONG, "original_max_position_embeddings": 16}),
        ("libra_qwen2", {"sliding_window": 1024, "tie_word_embeddings": True}),
        ("libra_qwen3", {"attention_bias": True}),
    ],
)
@pytest.mark.filterwarnings("error:the fast engine decodes study by study")
def test_what_families_differ_in_is_served_by_the_shared_prefix(
    tiny: Path, family: str, settings: dict
) -> None:
    change(tiny, model_type=family, num_key_value_heads=2, head_dim=32, **settings)
    loaded = load_model(tiny, random_weights=True)
    # As spread as a trained one's, so that rounding does not decide.
    with torch.no_grad():
        loaded.model.language_model.get_output_embeddings().weight.mul_(20)
    studies = [random_study(loaded, seed, 8 + 5 * seed) for seed in range(3)]
    decoding = Decoding("beam", num_beams=3, no_repeat_ngram_size=3, max_new_tokens=12)
    answers = [
        engine.generate(loaded.model, studies, decoding, eos_token_ids=[2], pad_token_id=0)
        for engine in (reference, fast)
    ]
    assert answers[0] == answers[1]
    assert len({tuple(ids) for ids in answers[0]}) > 1


def test_sampling_depends_on_the_study_and_the_seed_alone(tiny: Path) -> None:
    loaded = load_model(tiny)
    studies = [random_study(loaded, seed) for seed in range(3)]

    def sample(chosen: list[Study], seed: int) -> list[list[int]]:
        decoding = Decoding("s", do_sample=True, max_new_tokens=8, seed=seed, temperature=3.0)
        return fast.generate(loaded.model, chosen, decoding, eos_token_ids=[2], pad_token_id=0)

    together = sample(studies, 0)
    assert [sample([study], 0)[0] for study in reversed(studies)] == together[::-1]
    assert sample(studies, 1) != together


def test_sharded_and_bin_weights_load_like_whole_ones(tiny: Path) -> None:
    whole = load_model(tiny).model.state_dict()
    state = load_file(tiny / "model.safetensors")
    names = sorted(state)
    (tiny / "model.safetensors").unlink()
    parts = {"a.bin": names[::2], "b.bin": names[1::2]}
    for file, part in parts.items():
        torch.save({name: state[name] for name in part}, tiny / file)
    index = {name: file for file, part in parts.items() for name in part}
    (tiny / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    sharded = load_model(tiny).model.state_dict()
    assert all(torch.equal(whole[name], sharded[name]) for name in whole)
    (tiny / "b.bin").unlink()
    with pytest.raises(InputError, match=r"weights are missing: b\.bin"):
        load_model(tiny)


def test_missing_and_unexpected_keys_are_listed(tiny: Path) -> None:
    state = load_file(tiny / "model.safetensors")
    norm = state.pop("model.mm_projector.norm1.weight")
    save_file({**state, "model.mm_projector.norm9.weight": norm}, tiny / "model.safetensors")
    with pytest.raises(InputError) as caught:
        load_model(tiny)
    assert "missing: norm1.weight" in str(caught.value)
    assert "unexpected: norm9.weight" in str(caught.value)
    state["model.mm_projector.norm1.weight"] = norm
    head = state.pop("lm_head.weight")
    save_file(state, tiny / "model.safetensors")
    with pytest.raises(InputError, match=r"missing: lm_head\.weight"):
        load_model(tiny)
    save_file({**state, "lm_head.weight": head[:, :-1].clone()}, tiny / "model.safetensors")
    with pytest.raises(InputError, match=r"lm_head\.weight"):
        load_model(tiny)


def test_broken_files_are_named(tiny: Path) -> None:
    weights = tiny / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    with pytest.raises(InputError, match=r"model\.safetensors: broken or cut off"):
        load_model(tiny)
    (tiny / "tokenizer.model").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"tokenizer\.model: not a SentencePiece model"):
        load_model(tiny, random_weights=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "libra_lama"}, "Did you mean 'libra_llama'"),
        ({"mm_hidden_size": 64}, "the vision tower is 48 wide"),
        ({"mm_projector_type": "tac"}, "unknown connector 'tac'"),
        ({"mm_vision_select_feature": "cls"}, "patch or cls_patch"),
        ({"mm_projector_type": "mlp2x_gelu"}, "reads one layer of the vision tower, .* gives 12"),
        ({"mm_projector_type": "linear"}, "reads one layer of the vision tower, .* gives 12"),
        ({"mm_vision_select_layer": -2}, "TAC reads 4 or more layers .* gives 1"),
        ({"mm_vision_select_layer": 13}, "mm_vision_select_layer 13: the vision tower has 13 hid"),
        ({"mm_vision_select_layer": -14}, "mm_vision_select_layer -14: the vision tower has 13"),
        ({"mm_vision_select_layer": 1.5}, "mm_vision_select_layer is 1.5: `all` or a number"),
        ({"mm_vision_select_layer": None}, "mm_vision_select_layer is None: `all` or a number"),
    ],
)
def test_configurations_that_do_not_fit(tiny: Path, fields: dict, message: str) -> None:
    """One message, which names the file."""
    change(tiny, **fields)
    with pytest.raises(InputError, match=message) as found:
        load_model(tiny)
    assert str(tiny / "config.json") in str(found.value)


def test_of_two_connectors_with_one_layer_the_weights_say_which(tiny: Path) -> None:
    """The names of the tensors that are missing and left over are listed."""
    change(tiny, mm_projector_type="mlp2x_gelu", mm_vision_select_layer=-2)
    with pytest.raises(InputError, match="the connector does not fit its weights") as found:
        load_model(tiny)
    assert "missing: projector.0.weight" in str(found.value)
    assert "unexpected: LFE.0.fc1.weight" in str(found.value)


def test_a_tied_head_is_the_table_whatever_else_was_saved(tiny: Path) -> None:
    """As in the published code's release; transformers 5 unties two that differ."""
    change(tiny, tie_word_embeddings=True)
    model = load_model(tiny).model.language_model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    table = load_file(tiny / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.equal(model.get_input_embeddings().weight, table.float())


def test_wrong_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'libra-7b'"):
        load_model("libra-7B")
    with pytest.raises(InputError, match="Did you mean 'libra_v1'"):
        load_model("libra-tiny", conv_mode="libra_v2")
    with pytest.raises(InputError, match="it has no config"):
        load_model(tmp_path)
    with pytest.raises(InputError, match="Did you mean 'float16'"):
        load_model("libra-tiny", dtype="floatt16")


def test_weights_that_are_not_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("LIBRA_BENCH_MODELS", str(tmp_path))
    with pytest.raises(MissingResourceError, match=r"X-iZhang/libra-v1\.0-7b") as caught:
        load_model("libra-7b")
    assert "libra-bench fetch libra-7b" in caught.value.mend
    # A folder of that name under LIBRA_BENCH_MODELS is found, and is not taken for something else.
    shutil.copytree(TINY, tmp_path / "libra-v1.0-7b")
    assert load_model("libra-7b").model_id == "libra-7b"


def test_a_folder_without_a_tokenizer_is_refused(tiny: Path) -> None:
    # transformers would build one that knows no word.
    (tiny / "tokenizer.model").unlink()
    with pytest.raises(InputError, match=r"no tokenizer in it \(tokenizer\.json"):
        load_model(tiny, random_weights=True)


def test_a_wrong_width_says_both_shapes(tiny: Path) -> None:
    hidden = json.loads((tiny / "config.json").read_text())["hidden_size"]
    change(tiny, hidden_size=hidden // 2)
    with pytest.raises(InputError, match=rf"{hidden}.* in the file, .*{hidden // 2}.* expected"):
        load_model(tiny)


def test_a_whole_file_goes_before_an_index_that_was_left_over(tiny: Path) -> None:
    whole = load_model(tiny).model.state_dict()
    old = {name: one * 0 for name, one in load_file(tiny / "model.safetensors").items()}
    save_file(old, tiny / "model-00001-of-00001.safetensors")
    table = dict.fromkeys(old, "model-00001-of-00001.safetensors")
    (tiny / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    again = load_model(tiny).model.state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"weight_map": {"a": "../elsewhere.safetensors"}}, "must lie in its own folder"),
        ({"weight_map": {"a": "/etc/passwd"}}, "must lie in its own folder"),
        ({"weight_map": {"a": ".."}}, "must lie in its own folder"),
        ({"weight_map": {"a": 3}}, "no weight_map of tensors"),
        ({"weight_map": []}, "no weight_map of tensors"),
        ([], "no weight_map of tensors"),
    ],
)
def test_an_index_names_shards_in_its_own_folder(tiny: Path, table: object, message: str) -> None:
    (tiny / "model.safetensors").unlink()
    (tiny / "model.safetensors.index.json").write_text(json.dumps(table))
    with pytest.raises(InputError, match=message):
        load_model(tiny)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda one: one * float("nan"), r"lm_head\.weight has \d+ of \d+ values that are not fin"),
        (lambda one: one.index_fill(0, torch.tensor([5]), float("inf")), "not finite"),
        (lambda one: one.to(torch.int64), "lm_head.weight holds int64, not weights"),
        (lambda one: one[:, :-1].clone(), "wrong shape: lm_head.weight"),
    ],
)
def test_damaged_weights_are_named_at_loading(tiny: Path, damage: object, message: str) -> None:
    state = load_file(tiny / "model.safetensors")
    state["lm_head.weight"] = damage(state["lm_head.weight"])  # type: ignore[operator]
    save_file(state, tiny / "model.safetensors")
    with pytest.raises(InputError, match=message):
        load_model(tiny)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "[]"),
        ("config.json", "{"),
        ("config.json", '{"model_type": ["libra"]}'),
        ("vision_tower/config.json", '{"model_type": "dinov2", "hidden_size": "wide"}'),
        ("vision_tower/config.json", '{"model_type": "no-such-tower"}'),
        ("vision_tower/config.json", '{"model_type": "llama"}'),
        ("vision_tower/preprocessor_config.json", '{"size": -3}'),
        ("vision_tower/preprocessor_config.json", "[1]"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"x": {}}}'),
        ("tokenizer_config.json", '{"eos_token": null, "added_tokens_decoder": {}}'),
        ("tokenizer_config.json", "3"),
        ("generation_config.json", '{"eos_token_id": "</s>"}'),
    ],
)
def test_damaged_settings_are_named(tiny: Path, file: str, content: str) -> None:
    (tiny / file).write_text(content)
    with pytest.raises(InputError) as caught:
        load_model(tiny)
    assert str(tiny) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vocab_size", 7),
        ("hidden_size", 64),
        ("hidden_size", 0),
        ("num_hidden_layers", 10**6),
        ("num_attention_heads", None),
        ("intermediate_size", 10**12),
        ("hidden_act", "no-such-function"),
        ("rope_scaling", {"rope_type": "spiral"}),
        ("mm_vision_select_layer", "last"),
    ],
)
def test_configurations_that_do_not_fit_their_weights(
    tiny: Path, field: str, value: object
) -> None:
    change(tiny, **{field: value})
    with pytest.raises(InputError):
        load_model(tiny)


def test_a_vocabulary_smaller_than_the_tokenizer_is_refused(tiny: Path) -> None:
    state = load_file(tiny / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        state[name] = state[name][:1000].clone()
    save_file(state, tiny / "model.safetensors")
    change(tiny, vocab_size=1000)
    with pytest.raises(InputError, match="has 1024 tokens, its vocabulary 1000 rows"):
        load_model(tiny)


def test_rows_beyond_the_tokenizer_are_cut_and_missing_ones_are_the_mean(tiny: Path) -> None:
    state = load_file(tiny / "model.safetensors")
    table = state["model.embed_tokens.weight"]
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        state[name] = torch.cat([state[name], torch.full_like(state[name][:8], 50.0)])
    save_file(state, tiny / "model.safetensors")
    change(tiny, vocab_size=1032)
    language = load_model(tiny, dtype="float32").model.language_model
    assert language.get_input_embeddings().weight.shape[0] == 1024
    assert language.get_output_embeddings().weight.shape[0] == language.config.vocab_size == 1024
    # The published trainer leaves them as they are.
    assert load_model(tiny, training=True).model.language_model.config.vocab_size == 1032
    # `<im_start>` and `<im_end>` are added on loading, each with a row of its own.
    shutil.copy(TINY / "model.safetensors", tiny)
    change(tiny, vocab_size=1024, mm_use_im_start_end=True)
    loaded = load_model(tiny, dtype="float32")
    rows = loaded.model.language_model.get_input_embeddings().weight
    assert len(loaded.tokenizer) == len(rows) == 1026
    torch.testing.assert_close(rows[-1], table.float().mean(0), atol=1e-3, rtol=0)


def test_a_template_that_the_model_does_not_have_is_refused(tiny: Path) -> None:
    with pytest.raises(InputError, match=r"'qwen' does not fit .* no <\|im_start\|>"):
        load_model(tiny, conv_mode="qwen")
    with pytest.raises(InputError, match="unknown conversation mode ''"):
        load_model(tiny, conv_mode="")
