"""`libra-bench data …` as a user runs it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from libra_bench.cli.program import app
from libra_bench.data.corpora import synthetic
from libra_bench.data.pairing import POLICIES

METADATA = "mimic-cxr-2.0.0-metadata.csv.gz"
SPLIT = "mimic-cxr-2.0.0-split.csv.gz"


def program(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def collection() -> Path:
    """The packaged synthetic cohort, which lies as PhysioNet's collection does."""
    return synthetic.built_in()


@pytest.fixture
def tables(collection: Path) -> tuple[object, ...]:
    return ("--metadata", collection / METADATA, "--split-file", collection / SPLIT)


def test_pair_records_its_options(tables: tuple[object, ...], tmp_path: Path) -> None:
    output = tmp_path / "pairs.csv"
    answer = program("data", "pair", *tables, "--policy", "mlrg", "--output", output)
    assert answer.exit_code == 0
    assert "no order in time" in answer.stderr
    paired = pd.read_csv(output, dtype=str, keep_default_na=False)
    record = json.loads((tmp_path / "pairs.csv.json").read_text())
    assert (record["policy"], record["certainty"], record["filter"]) == ("mlrg", "H", "before")
    assert record["images_with_prior"] == (paired["prior_image"] != "").sum() > 0
    assert len(record["sha256"]) == 2


def test_pair_compares_every_two_policies(tables: tuple[object, ...]) -> None:
    answer = program("data", "pair", *tables, "--compare", "--json")
    differences = json.loads(answer.stdout)
    assert len(differences) == len(POLICIES) * (len(POLICIES) - 1) // 2
    assert all(one["prior_studies"] <= one["studies"] for one in differences)
    table = program("data", "pair", *tables, "--compare").stdout
    assert all(f"{one['first']} | {one['second']}" in table for one in differences)


def test_pair_leaves_out_what_a_list_names(
    collection: Path, tables: tuple[object, ...], tmp_path: Path
) -> None:
    unwanted = pd.read_csv(collection / SPLIT, dtype=str)["study_id"].iloc[:3].unique()
    listed = tmp_path / "ms-cxr-t.csv"
    listed.write_text("study_id\n" + "".join(f"s{one}\n" for one in unwanted))
    output = tmp_path / "pairs.csv"
    options = ("--policy", "coca-cxr", "--exclude", listed, "--output", output)
    answer = program("data", "pair", *tables, *options)
    assert answer.exit_code == 0 and "MS-CXR-T" not in answer.stderr
    assert not set(pd.read_csv(output, dtype=str)["study_id"]) & set(unwanted)
    assert "MS-CXR-T" in program("data", "pair", *tables, *options[:2], *options[4:]).stderr


def test_pair_without_anything_to_do(tables: tuple[object, ...]) -> None:
    answer = program("data", "pair", *tables)
    assert answer.exit_code == 2
    assert "--output" in answer.stderr


def test_stats_for_people_and_for_programs(
    collection: Path, tables: tuple[object, ...], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    answer = program("data", "stats", *tables, "--reports", collection, "--figure", page)
    assert answer.exit_code == 0 and page.is_file()
    assert "claimed (unverified)" in answer.stdout and "not the whole" in answer.stderr
    figures = json.loads(program("data", "stats", *tables, "--json").stdout)
    rows = pd.read_csv(collection / SPLIT, dtype=str)
    assert figures["splits"]["all"]["studies"] == rows["study_id"].nunique()
    by_patient = rows.groupby("subject_id")["study_id"].nunique()
    assert figures["repeated"]["share"] == pytest.approx((by_patient > 1).mean())
    assert figures["policies"].keys() == POLICIES.keys()


def test_sections_in_a_table(collection: Path, tmp_path: Path) -> None:
    output = tmp_path / "sections.csv"
    answer = program("data", "sections", "--reports", collection, "--output", output)
    assert answer.exit_code == 0
    table = pd.read_csv(output, keep_default_na=False)
    assert len(table) == len(list(collection.rglob("s*.txt")))
    assert table.columns[0] == "study" and table["impression"].str.len().min() > 0


def test_prepare_says_what_it_wrote_and_left_out(collection: Path, tmp_path: Path) -> None:
    options = ("--root", collection, "--output", tmp_path / "out")
    answer = program("data", "prepare", "mimic-cxr", *options, "--json")
    assert answer.exit_code == 0
    manifest = json.loads(answer.stdout)
    assert manifest == json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    again = program("data", "prepare", "mimic-cxr", *options)
    assert again.exit_code == 2 and "--resume" in again.stderr
    wrong = program("data", "prepare", "mimic-cxr", *options[:3], tmp_path / "x", "--section", "x")
    assert wrong.exit_code == 2 and not (tmp_path / "x").exists()
    unlisted = program(
        *("data", "prepare", "mimic-cxr", *options[:3], tmp_path / "y", "--checksums")
    )
    assert unlisted.exit_code == 2 and "SHA256SUMS.txt" in unlisted.stderr


def test_the_page_on_data_knows_every_name() -> None:
    from libra_bench.data.corpora import CORPORA

    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    for name, policy in POLICIES.items():
        sure = "" if name == "none" else f" {policy.certainty}"
        assert any(
            line.startswith(f"| `{name}` |") and line.endswith(f"|{sure} |")
            for line in page.splitlines()
        ), name
    assert not [kind for kind in CORPORA if f"`{kind}" not in page]
