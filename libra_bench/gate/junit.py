"""JUnit XML: a test a figure, as continuous integration reads it.

The file keeps to what the two schemas in use have in common, Jenkins' `junit-10.xsd` and the Ant
schema `JUnit.xsd`, which also fixes the order of the elements and the attributes of a suite.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as Tree

from libra_bench.gate.judgement import Judgement, Outcome

_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SUITE = "libra-bench"


def is_ours(path: Path) -> bool:
    """Whether a file is empty, or one that `junit` made."""
    with path.open("rb") as stream:
        head = stream.read(500)
    return not head or f' name="{SUITE}" package="{SUITE}"'.encode() in head


def junit(outcome: Outcome) -> str:
    """The outcome as XML. What is worse has failed; what is undecided is skipped, or failed where
    the gate is strict."""
    tests = [("figures", one) for one in outcome.figures]
    tests += [("checks", one) for one in outcome.checks]
    failures = sum(outcome.fails(one) for _, one in tests)
    skipped = sum(one.verdict == "undecided" and not outcome.fails(one) for _, one in tests)
    root = Tree.Element("testsuites")
    suite = Tree.SubElement(
        root,
        "testsuite",
        {
            "name": SUITE,
            "package": SUITE,
            "id": "0",
            "hostname": "localhost",
            # The Ant schema knows no time zone.
            "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}",
            "tests": str(len(tests)),
            "failures": str(failures),
            "errors": "0",
            "skipped": str(skipped),
            "time": "0",
        },
    )
    Tree.SubElement(suite, "properties")
    for part, one in tests:
        case = Tree.SubElement(
            suite,
            "testcase",
            {"classname": f"{SUITE}.{part}", "name": _text(one.name), "time": "0"},
        )
        if outcome.fails(one):
            failure = Tree.SubElement(
                case, "failure", {"message": _text(one.reason), "type": one.verdict}
            )
            failure.text = _text(_details(one))
        elif one.verdict == "undecided":
            Tree.SubElement(case, "skipped", {"message": _text(f"undecided: {one.reason}")})
    out = Tree.SubElement(suite, "system-out")
    out.text = _text(
        "\n".join([f"{outcome.run} against {outcome.baseline}: {outcome.verdict}", *outcome.notes])
    )
    Tree.SubElement(suite, "system-err")
    Tree.indent(root)
    return Tree.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _details(one: Judgement) -> str:
    lines = [one.reason]
    if one.moved:
        lines.append("studies that moved most: " + ", ".join(study.id for study in one.moved))
    return "\n".join(lines)


def _text(value: str) -> str:
    """Without the characters that XML cannot hold."""
    return _FORBIDDEN.sub("\ufffd", value)
