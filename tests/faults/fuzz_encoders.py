"""Damaged models of metrics: a figure is the whole model's, or there is none and a reason.

By hand, over the published kits:

    python tests/faults/fuzz_encoders.py --kits DIR --count 150 --seed 1
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Options = Mapping[str, Mapping[str, str]]
Damage = Callable[[Path, random.Random], None]


def kits(folder: Path) -> dict[str, Options]:
    """The metrics of the published kits, by name, with their options."""
    return {
        "bertscore": {"bertscore": {"model": str(folder / "bertscore/encoder"), "layer": "2"}},
        "chexbert": {
            "chexbert": {
                "checkpoint": str(folder / "chexbert/chexbert.pth"),
                "encoder": str(folder / "chexbert/bert"),
            }
        },
        "ratescore": {
            "ratescore": {
                "ner": str(folder / "ratescore/ner"),
                "encoder": str(folder / "ratescore/encoder"),
            }
        },
        "radgraph": {
            "radgraph": {
                "archive": str(folder / "radgraph/radgraph-xl"),
                "encoder": str(folder / "radgraph/bert"),
            }
        },
    }


def texts_of(folder: Path, count: int = 4) -> tuple[list[str], list[str]]:
    """Predictions and references of the kits."""
    pairs = json.loads((folder / "ratescore/expected.json").read_text())["pairs"][:count]
    return [pair["prediction"] for pair in pairs], [pair["reference"] for pair in pairs]


def _remove(path: Path, dice: random.Random) -> None:
    path.unlink()


def _cut(path: Path, dice: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: dice.randrange(len(data))])


def _empty(path: Path, dice: random.Random) -> None:
    path.write_bytes(b"")


def _garbage(path: Path, dice: random.Random) -> None:
    path.write_bytes(dice.randbytes(dice.choice((1, 50, 3000))))


def _wrong_json(path: Path, dice: random.Random) -> None:
    """Valid JSON that says something else."""
    value = json.loads(path.read_text())
    key = dice.choice(sorted(value))
    value[key] = dice.choice([None, [], -1, {}, 10**9])
    path.write_text(dice.choice([json.dumps(value), "[]", "null", "3", '"text"', "{}"]))


def _change(path: Path, dice: random.Random, change: Callable[[Any, random.Random], Any]) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    if path.suffix == ".safetensors":
        save_file(_changed(load_file(path), dice, change), path, metadata={"format": "pt"})
        return
    state = torch.load(path, weights_only=True)
    packed = "model_state_dict" in state
    inner = _changed(state.get("model_state_dict", state), dice, change)
    torch.save({"model_state_dict": inner} if packed else inner, path)


def _changed(
    state: dict[str, Any], dice: random.Random, change: Callable[[Any, random.Random], Any]
) -> dict[str, Any]:
    # Poolers are read by no metric, so that damage to them is none.
    names = [name for name, value in state.items() if value.is_floating_point()]
    name = dice.choice([name for name in names if "pooler" not in name])
    tensor = change(state[name].clone(), dice)
    rest = {key: value for key, value in state.items() if key != name}
    return rest if tensor is None else {**rest, name: tensor.contiguous()}


def _not_finite(path: Path, dice: random.Random) -> None:
    def change(tensor: Any, dice: random.Random) -> Any:
        tensor.view(-1)[dice.randrange(tensor.numel())] = dice.choice([float("nan"), float("inf")])
        return tensor

    _change(path, dice, change)


def _lost(path: Path, dice: random.Random) -> None:
    _change(path, dice, lambda tensor, dice: None)


def _misshapen(path: Path, dice: random.Random) -> None:
    def change(tensor: Any, dice: random.Random) -> Any:
        if dice.random() < 0.3:
            return tensor.reshape(1, *tensor.shape)
        return tensor[: max(1, len(tensor) - dice.choice((1, len(tensor) // 2)))]

    _change(path, dice, change)


WEIGHTS: tuple[Damage, ...] = (_remove, _cut, _empty, _garbage, _not_finite, _lost, _misshapen)
TEXTS: tuple[Damage, ...] = (_remove, _cut, _empty, _garbage)
# What these hold is not read, or is the same as another file's.
UNREAD = ("special_tokens_map.json", "non_padded_namespaces.txt")


def damage(files: list[Path], dice: random.Random) -> str:
    """Damage one file of a model; what was done to which."""
    path = dice.choice([file for file in files if file.name not in UNREAD])
    kinds = WEIGHTS if path.suffix in (".safetensors", ".pth", ".th") else TEXTS
    if path.suffix == ".json":
        kinds = (*TEXTS, _wrong_json)
    chosen = dice.choice(kinds)
    if chosen in (_misshapen, _not_finite, _lost):
        while True:
            before = path.read_bytes()
            chosen(path, dice)
            if path.read_bytes() != before:
                break
    else:
        chosen(path, dice)
    return f"{path.parent.name}/{path.name} {chosen.__name__.lstrip('_')}"


def figures(
    metric: str, options: Options, predictions: list[str], references: list[str]
) -> dict[str, float] | str:
    """The figures of a metric, or why it is not scored."""
    from libra_bench.metrics import registry
    from libra_bench.metrics.scoring import score_texts

    made = registry.create_all([metric], "libra", options)
    scores = score_texts(predictions, references, made, trials=10)
    if metric in scores.not_scored:
        return scores.not_scored[metric]["reason"]
    return {name: figure.value for name, figure in scores.figures.items()}


def copied(options: Options, folder: Path) -> tuple[Options, list[Path]]:
    """A metric's models in `folder`, and all of their files."""
    mine: dict[str, dict[str, str]] = {}
    files: list[Path] = []
    for metric, chosen in options.items():
        mine[metric] = dict(chosen)
        for key, value in chosen.items():
            source = Path(value)
            if os.sep not in value or not source.exists():
                continue
            target = folder / source.name
            if source.is_dir():
                shutil.copytree(source, target, copy_function=shutil.copyfile)
            else:
                shutil.copyfile(source, target)
            mine[metric][key] = str(target)
            files += [target] if target.is_file() else [f for f in target.rglob("*") if f.is_file()]
    for place in [folder, *folder.rglob("*")]:
        place.chmod(0o700 if place.is_dir() else 0o600)
    return mine, sorted(files)


def campaign(
    models: Mapping[str, Options],
    texts: tuple[list[str], list[str]],
    count: int,
    seed: int,
    scratch: Path,
) -> Iterator[tuple[str, str]]:
    """What was done, and `same`, `not scored`, or what went wrong; one after the other."""
    dice = random.Random(seed)
    whole = {metric: figures(metric, options, *texts) for metric, options in models.items()}
    for metric, found in whole.items():
        assert isinstance(found, dict), f"{metric} cannot be scored: {found}"
    names = sorted(models)
    for number in range(count):
        metric = names[number % len(names)]
        folder = scratch / f"{number}"
        folder.mkdir()
        options, files = copied(models[metric], folder)
        done = f"{number} {metric}: {damage(files, dice)}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = figures(metric, options, *texts)
        except Exception as error:  # noqa: BLE001  (this is what is looked for)
            yield done, f"raised {type(error).__name__}: {error}"
        else:
            if isinstance(found, str):
                yield done, "not scored"
            else:
                same = found == whole[metric]
                yield done, "same" if same else f"other figures: {found} for {whole[metric]}"
        shutil.rmtree(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kits", type=Path, required=True)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LIBRA_BENCH_CACHE"] = str(Path(folder) / "cache")
        models, texts = kits(chosen.kits), texts_of(chosen.kits)
        found = campaign(models, texts, chosen.count, chosen.seed, Path(folder))
        for done, result in found:
            kind = result if result in ("same", "not scored") else "wrong"
            counts[kind] += 1
            if kind == "wrong":
                print(done, "->", result[:600])
    print(f"{chosen.count} damaged models: {dict(counts)}")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
