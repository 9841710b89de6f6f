"""What `models NAME` tells, against figures made by hand."""

import json

import pytest
from typer.testing import CliRunner

from libra_bench.cli.program import app
from libra_bench.perf import card
from libra_bench.perf.shape import named


def test_libra_7b_by_hand() -> None:
    shape = named("libra-7b")
    # 518 / 14 = 37 patches a side, 37 x 37 = 1369, and the class token in the tower.
    way = [told for _, told in card.steps(shape)]
    assert way == [
        *("[2, 3, 518, 518]", "[2, 1370, 768]", "[2, 12, 1369, 768]", "[2, 1369, 768]"),
        *("[1369, 768]", "[1369, 4096]", "[1369 + text, 4096]"),
    ]
    # LoRA of rank 128 on a layer: 4 linears of 4096 + 4096, and 3 of 4096 + 11008;
    # 128 x (4 x 8192 + 3 x 15104) x 32 layers = 319,815,680, of which attention alone would
    # be 134 M and the MLP 186 M.
    assert card.trained(shape)["finetune"] == 128 * (4 * 8192 + 3 * 15104) * 32 == 319_815_680
    # Language model: 32 x (4 x 4096^2 + 3 x 4096 x 11008) + 2 x 32000 x 4096.
    assert card.parameters(shape)["language model"] == 6_738_149_376
    gigabytes = card.gigabytes(shape)
    # 32 x (4 x 4096^2 + 3 x 4096 x 11008) = 6.476e9 weights lose one byte of two, then half of one.
    assert gigabytes["generation, bfloat16"] - gigabytes["generation, 8 bits"] == pytest.approx(
        6.476005376
    )
    assert gigabytes["generation, 8 bits"] - gigabytes["generation, 4 bits"] == pytest.approx(
        6.476005376 / 2
    )


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("libra-7b", ("319.8 M", "[1369 + text, 4096]", "BLEU-4 24.54", "not on this machine")),
        ("libra-tiny", ("conv mode     libra_v1", "parameters")),
        ("normal-template", ("the floor",)),
        ("maira-2", ("its files are not here",)),
    ],
)
def test_a_model_in_detail(name: str, lines: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["models", name])
    assert done.exit_code == 0, done.output
    for line in lines:
        assert line in done.output
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_model_as_json_and_an_unknown_one() -> None:
    done = CliRunner().invoke(app, ["models", "X-iZhang/libra-v1.0-7b", "--json"])
    told = json.loads(done.stdout)
    assert told["hub_id"] == "X-iZhang/libra-v1.0-7b" and told["published"]["certainty"] == "M"
    assert told["card"]["trained"]["finetune"] == 319_815_680
    assert CliRunner().invoke(app, ["models", "libra-9b"]).exit_code == 2
