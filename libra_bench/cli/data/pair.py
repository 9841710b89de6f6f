"""`libra-bench data pair`: each image's prior, and how far the known rules differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli.console import print_json, say, table
from libra_bench.cli.data import common
from libra_bench.cli.options import Force, Json
from libra_bench.core.errors import InputError

COLUMNS = [
    *("split", "subject_id", "study_id", "dicom_id", "view"),
    *("image", "prior_image", "prior_study_id", "prior_dicom_id"),
]


def pair(
    metadata: common.Metadata,
    split_file: common.SplitFile,
    output: Annotated[Path | None, typer.Option(help="The CSV file to write.")] = None,
    policy: common.Policy = "libra",
    views: common.Views = "all",
    filter_when: common.Filter = "before",
    exclude: common.Exclude = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="How many studies each two policies treat differently."),
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Find each image's prior image. OUTPUT.json beside the table records the options."""
    from libra_bench.core.files import sha256_of, write_json
    from libra_bench.core.outputs import check_file, sole_writer, starts_with
    from libra_bench.data import pairing

    if output is None and not compare:
        raise InputError("name a file with --output, or ask for --compare")
    if output is not None:
        record_file = output.with_name(output.name + ".json")
        inputs = (metadata, split_file, exclude)
        header = f"{','.join(COLUMNS)}\n".encode()
        check_file(output, inputs=inputs, ours=lambda one: starts_with(one, header), force=force)
        check_file(
            record_file,
            inputs=inputs,
            ours=lambda one: starts_with(one, b'{\n "policy": '),
            force=force,
        )
    images = common.read_images(metadata, split_file)
    excluded = common.read_exclude(exclude)
    if output is not None:
        common.tell_note(policy, bool(excluded))
        found = pairing.pair(images, policy, views=views, filter_when=filter_when, exclude=excluded)
        paired = pairing.with_paths(found)
        rule = pairing.POLICIES[policy]
        with_prior = int((paired["prior_image"] != "").sum())
        record = {
            "policy": policy,
            "rule": rule.rule,
            "source": rule.source,
            "certainty": rule.certainty,
            "views": views,
            "filter": filter_when,
            "images": len(images),
            "images_written": len(paired),
            "images_with_prior": with_prior,
            "sha256": {
                str(file): sha256_of(file) for file in (metadata, split_file, exclude) if file
            },
        }
        with sole_writer(output):
            pairing.write_csv(paired[COLUMNS], output)
            write_json(record_file, record)
        left = len(images) - len(paired)
        say(
            f"wrote {len(paired)} images to {output}, {with_prior} of them with a prior"
            + (f"; {left} left out by the policy or its options" if left else "")
        )
    if compare:
        differences = pairing.compare(
            images, views=views, filter_when=filter_when, exclude=excluded
        )
        if json:
            print_json([one._asdict() for one in differences])
            return
        total = images["study_id"].nunique()
        table(
            ("policies", "other prior image", "other prior study"),
            [
                (f"{one.first} | {one.second}", str(one.studies), str(one.prior_studies))
                for one in differences
            ],
            title=f"studies of {total} that two policies treat differently",
        )
