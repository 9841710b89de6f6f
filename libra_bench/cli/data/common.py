"""Options that the commands on PhysioNet's tables share, and how the tables are read for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from libra_bench.cli.console import warn

if TYPE_CHECKING:
    import pandas as pd

Metadata = Annotated[Path, typer.Option(help="mimic-cxr-2.0.0-metadata.csv.gz")]
SplitFile = Annotated[Path, typer.Option(help="mimic-cxr-2.0.0-split.csv.gz")]
Reports = Annotated[Path, typer.Option(help="Folder, zip or tar archive of s….txt reports.")]
Workers = Annotated[
    int | None, typer.Option(help="Processes; as many as there are processors if unset.", min=1)
]
Policy = Annotated[
    str,
    typer.Option(
        help="Rule for the prior image: libra, study, longitudinal-mimic, hergen, mlrg, tibix, "
        "coca-cxr, none."
    ),
]
Views = Annotated[str, typer.Option(help="all, or frontal (PA and AP).")]
Filter = Annotated[
    str,
    typer.Option(
        "--filter",
        help="Choose the views before pairing (a frontal image never gets a lateral prior) "
        "or after.",
    ),
]
Exclude = Annotated[
    Path | None,
    typer.Option(help="A CSV table with study_id or dicom_id: studies and images to leave out."),
]


def read_images(metadata: Path, split_file: Path) -> pd.DataFrame:
    """Images of both tables; those that stand in one only are told of."""
    from libra_bench.data.tables import read_images as read

    images, lonely = read(metadata, split_file)
    if lonely:
        shown = ", ".join(lonely[:5]) + (" ..." if len(lonely) > 5 else "")
        warn(f"{len(lonely)} images stand in one table only and are left out: {shown}")
    return images


def read_exclude(path: Path | None) -> frozenset[str]:
    """Ids to leave out; none where no file is given."""
    from libra_bench.data.tables import read_ids

    return read_ids(path) if path else frozenset()


def tell_note(policy: str, excluded: bool) -> None:
    """What the policy's user should know."""
    from libra_bench.data.pairing import POLICIES

    rule = POLICIES.get(policy)
    if rule and rule.note and not (policy == "coca-cxr" and excluded):
        warn(f"--policy {policy}: {rule.note}")
