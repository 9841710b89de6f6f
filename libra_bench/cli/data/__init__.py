"""`libra-bench data`: PhysioNet's files, before any model sees them. One module a command."""

from __future__ import annotations

import typer

from libra_bench.cli.data import pair, prepare, sections, stats, synth

app = typer.Typer(
    no_args_is_help=True,
    help="Reports, prior images, figures of the collection, files for training and evaluation, "
    "and the synthetic cohort.",
)
app.command("sections")(sections.sections)
app.command("pair")(pair.pair)
app.command("stats")(stats.stats)
app.command("synth")(synth.synth)
app.add_typer(prepare.app, name="prepare")
