"""`libra-bench data`: PhysioNet's files, before any model sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli.console import count_progress, say, warn

app = typer.Typer(no_args_is_help=True, help="Reports, prior images and the synthetic cohort.")


@app.command()
def sections(
    reports: Annotated[Path, typer.Option(help="Folder, zip or tar archive of s….txt reports.")],
    output: Annotated[Path, typer.Option(help="The CSV file to write.")],
    keep_special: Annotated[
        bool,
        typer.Option("--keep-special", help="Keep the 54 studies that the published table drops."),
    ] = False,
) -> None:
    """Cut reports into sections, as the published scripts do."""
    import csv
    import io

    from libra_bench.core.files import write_atomic
    from libra_bench.data.sections import SECTIONS, is_special, parse, read_reports

    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(("study", *SECTIONS))
    written = left_out = 0
    with count_progress("reading reports") as show:
        for study, text in read_reports(reports):
            if is_special(study) and not keep_special:
                left_out += 1
                continue
            found = parse(text)
            writer.writerow((study, *(found.get(name, "") for name in SECTIONS)))
            written += 1
            show(written)
    write_atomic(output, buffer.getvalue())
    say(f"wrote {written} studies to {output}; {left_out} with hand-made rules left out")


@app.command()
def pair(
    metadata: Annotated[Path, typer.Option(help="mimic-cxr-2.0.0-metadata.csv.gz")],
    split_file: Annotated[Path, typer.Option(help="mimic-cxr-2.0.0-split.csv.gz")],
    output: Annotated[Path, typer.Option(help="The CSV file to write.")],
    policy: Annotated[str, typer.Option(help="Rule for the prior image.")] = "libra",
    views: Annotated[str, typer.Option(help="all or frontal.")] = "all",
) -> None:
    """Find each image's prior image."""
    from libra_bench.core.files import write_atomic
    from libra_bench.data import pairing
    from libra_bench.data.tables import join, read_metadata, read_splits

    images, lonely = join(read_metadata(metadata), read_splits(split_file))
    if lonely:
        shown = ", ".join(lonely[:5]) + (" ..." if len(lonely) > 5 else "")
        warn(f"{len(lonely)} images stand in one table only and are left out: {shown}")
    paired = pairing.with_paths(pairing.pair(images, policy, views=views))
    columns = ["split", "subject_id", "study_id", "dicom_id", "view", "image", "prior_image"]
    write_atomic(output, paired[columns].to_csv(index=False))
    with_prior = int((paired["prior_image"] != "").sum())
    say(f"wrote {len(paired)} images to {output}, {with_prior} of them with a prior")


@app.command()
def synth(
    output: Annotated[Path, typer.Option(help="The folder to write; empty or absent.")],
    patients: Annotated[int, typer.Option(help="How many patients.")] = 120,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Write a synthetic cohort in PhysioNet's layout."""
    import os

    from libra_bench.data.synthetic.writer import synthesize

    with count_progress("writing patients", total=patients) as show:
        synthesize(output, patients, seed, on_patient=show, workers=min(os.cpu_count() or 1, 8))
    say(f"wrote {patients} patients to {output}; --data synthetic:{output} reads them")
