"""Libra's evaluation format and ours: JSONL of examples."""

from __future__ import annotations

from pathlib import Path

from libra_bench.core.files import read_records
from libra_bench.core.records import Example
from libra_bench.data.cohort import Cohort
from libra_bench.data.corpora import refuse_policy


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """Examples of one file; images lie below its folder unless an image root is given.

    Examples that name no split belong to any.
    """
    refuse_policy("a JSONL file", prior_policy)
    file = Path(path)
    examples = read_records(file, Example)
    chosen = [one for one in examples if split is None or one.split in (None, split)]
    return Cohort(
        name=file.stem,
        spec=path,
        examples=chosen,
        image_root=file.resolve().parent,
        sources=[file],
        settings={"split": split or "all", "prior_policy": prior_policy or "as given"},
    )
