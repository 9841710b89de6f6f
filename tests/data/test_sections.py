import csv
from pathlib import Path

import pytest

from libra_bench.data.reports import read_reports
from libra_bench.data.sections import SECTIONS, is_special, parse, parse_special, section_name

SPECIAL = ("s56451190", "s50913680", "s51410602", "s58235663")

# The collection's empty lines hold a blank; a dollar sign marks it here.
REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)
 $
 INDICATION:  ___F with cough.
 $
 FINDINGS: $
 $
 The lungs are clear.
 The heart is normal.
 $
 IMPRESSION: $
 $
 Normal.
""".replace("$", "")


def test_published_cells(parity: Path) -> None:
    kit = parity / "mimic-layout"
    with (kit / "expected" / "mimic_cxr_sectioned.csv").open(newline="") as stream:
        expected = {row["study"]: row for row in csv.DictReader(stream)}
    found = {
        study: parse(text)
        for study, text in read_reports(kit / "reports.tar.gz")
        if not is_special(study)
    }
    assert set(found) == set(expected)
    for study, row in expected.items():
        assert {name: found[study].get(name, "") for name in SECTIONS} == {
            name: row[name] for name in SECTIONS
        }


def test_a_report_by_hand() -> None:
    sections = parse(REPORT)
    assert sections["findings"] == "The lungs are clear.\n The heart is normal."
    assert sections["impression"] == "Normal."
    assert sections["indication"] == "___F with cough."
    assert "last_paragraph" not in sections


def test_last_paragraph_only_without_findings_and_impression() -> None:
    text = "\n INDICATION:  Cough.\n \n Lungs clear.\n \n No effusion.\n"
    assert parse(text) == {
        "indication": "Cough.",
        "last_paragraph": "Lungs clear.\n \n No effusion.",
    }


def test_the_last_section_of_a_name_wins_and_an_empty_one_does_not_count() -> None:
    text = "\n FINDINGS:  One.\n FINDINGS:  Two.\n FINDINGS:  \n"
    assert parse(text)["findings"] == "Two."


def test_a_header_with_nothing_on_its_line_is_followed_by_the_next() -> None:
    text = "\n FINDINGS: \n IMPRESSION:  Normal.\n COMPARISON:  None.\n"
    assert parse(text) == {"impression": "Normal.", "comparison": "None."}
    # Behind a header's text a second one on the same line is no header.
    assert parse("\n FINDINGS:  Clear. IMPRESSION:  Normal.\n") == {
        "findings": "Clear. IMPRESSION:  Normal."
    }


def test_special_studies_by_hand() -> None:
    """Of each kind of rule one: a section's name, the last of that name; characters; nothing."""
    text = "\n NOTE:  First.\n NOTE:  The lungs are clear.\n INDICATION:  Cough.\n"
    assert parse_special("s56451190", text) == {
        "indication": "Cough.",
        "last_paragraph": "The lungs are clear.",
    }
    assert parse_special("s50913680", text)["last_paragraph"] == "", "no recommendations in it"
    text = "x" * 47 + " Effusion." + " " * 263 + "y" * 9
    assert parse_special("s51410602", text)["last_paragraph"] == "Effusion."
    assert parse_special("s58235663", text)["last_paragraph"] == ""
    assert sum(map(is_special, SPECIAL)) == len(SPECIAL)


@pytest.mark.parametrize(
    ("header", "section"),
    [
        ("CLINICAL HISTORY", "history"),
        ("IMPRESION", "impression"),
        ("FINDINGS AND IMPRESSION", "impression"),
        ("PORTABLE AP CHEST RADIOGRAPH", "findings"),
        ("NOTE", "note"),
        # What a header contains is looked for in the published order.
        ("COMPARISON OF THE HISTORY", "history"),
        ("TECHNIQUE FOR THIS INDICATION", "indication"),
        ("COMPARISON TECHNIQUE OF CHEST", "comparison"),
        ("IMPRESSION OF THE PRIOR FINDINGS", "impression"),
        ("FRONTAL UPRIGHT FILM", "findings"),
    ],
)
def test_headers(header: str, section: str) -> None:
    assert section_name(header) == section
