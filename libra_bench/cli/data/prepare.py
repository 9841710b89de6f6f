"""`libra-bench data prepare`: Libra's training and evaluation files from a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli.console import count_progress, print_json, say, table, warn
from libra_bench.cli.data import common
from libra_bench.cli.options import Json

app = typer.Typer(no_args_is_help=True, help="Files for training and evaluation.")


@app.command("mimic-cxr")
def mimic_cxr(
    root: Annotated[Path, typer.Option(help="The folder with PhysioNet's tables and files/.")],
    output: Annotated[Path, typer.Option(help="The folder to write; empty or absent.")],
    reports: Annotated[
        Path | None,
        typer.Option(help="The reports' folder or zip, where they are not below --root."),
    ] = None,
    policy: common.Policy = "libra",
    section: Annotated[str, typer.Option(help="findings or impression.")] = "findings",
    views: common.Views = "frontal",
    filter_when: common.Filter = "before",
    exclude: common.Exclude = None,
    drop_special: Annotated[
        bool,
        typer.Option(
            "--drop-special", help="Leave out the 54 studies the published table leaves out."
        ),
    ] = False,
    trust_images: Annotated[
        bool, typer.Option("--trust-images", help="Do not look whether the images are there.")
    ] = False,
    checksums: Annotated[
        bool, typer.Option("--checksums", help="First compare all files with SHA256SUMS.txt.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in an unfinished folder.")
    ] = False,
    json: Json = False,
) -> None:
    """Libra's training JSON and evaluation JSONL, and every study dropped and why."""
    from libra_bench.core.cache import cache_dir
    from libra_bench.core.files import sha256_of_text
    from libra_bench.core.names import unknown_name
    from libra_bench.data.checksums import check
    from libra_bench.data.mimic import Choice
    from libra_bench.data.prepare import DROPPED, NO_IMAGES, check_output, prepare

    if section not in ("findings", "impression"):
        raise unknown_name("section", section, ("findings", "impression"))
    choice = Choice(
        section=section,
        policy=policy,
        views=views,
        filter_when=filter_when,
        exclude=common.read_exclude(exclude),
        drop_special=drop_special,
        trust_images=trust_images,
    )
    check_output(output, resume=resume)
    common.tell_note(policy, bool(choice.exclude))
    if checksums:
        log = cache_dir("checksums") / sha256_of_text(str(root.resolve()))[:20]
        with count_progress("comparing checksums") as show:
            checked = check(root, log, on_file=show)
        say(f"{checked.same} files are as PhysioNet lists them, {checked.absent} are not here")
    with count_progress("reading studies") as show:
        manifest = prepare(
            root,
            output,
            choice,
            reports=reports,
            resume=resume,
            on_images=show,
        )
    if checksums:
        log.unlink(missing_ok=True)
    if manifest["images"] == NO_IMAGES:
        warn(f"images below {root}: {manifest['images']}")
    if not any(one["examples"] for one in manifest["counts"].values()):
        warn(f"no study can be used; {output / DROPPED} says why of each")
    if json:
        print_json(manifest)
        return
    columns = ("split", "studies", "examples", "with prior")
    rows = [(split, *map(str, one.values())) for split, one in manifest["counts"].items()]
    table(columns, rows, str(output))
    dropped = [(reason, str(count)) for reason, count in manifest["dropped"].items()]
    if dropped:
        table(("left out", "studies or images"), dropped, f"in {output / DROPPED}, one by one")
