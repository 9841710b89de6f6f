"""`libra-bench`: its commands, and what its exit codes mean.

0 done · 1 the run failed · 2 wrong usage or input that cannot be used · 3 a regression was found ·
4 done, but more reports failed than `--max-failures` allows, or a metric that was named is not
scored · 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from libra_bench.cli import (
    ablate,
    baseline,
    check,
    compare,
    data,
    doctor,
    export,
    fetch,
    generate,
    lists,
    perf,
    predict,
    report,
    run,
    score,
    streams,
    train,
)
from libra_bench.cli.console import complain
from libra_bench.core.errors import InputError, LibraBenchError
from libra_bench.version import __version__

EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130


class Program(TyperGroup):
    """Turns the package's errors into messages and exit codes; anything else is a bug."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            complain(str(error))
            raise typer.Exit(EXIT_INPUT) from None
        except LibraBenchError as error:
            complain(str(error))
            raise typer.Exit(EXIT_FAILED) from None
        except BrokenExecutor as error:
            complain(f"a worker process was ended from outside; out of memory? ({error})")
            raise typer.Exit(EXIT_FAILED) from None
        except OSError as error:
            complain(_environment(error))
            raise typer.Exit(EXIT_FAILED) from None
        except KeyboardInterrupt:
            complain("interrupted; --resume continues where it stopped")
            raise typer.Exit(EXIT_INTERRUPTED) from None


app = typer.Typer(
    cls=Program,
    name="libra-bench",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Evaluate and benchmark Libra, which writes the findings of a chest X-ray "
    "while looking at the patient's previous one.",
)
app.command("run")(run.run)
app.command("generate")(generate.generate)
app.command("predict")(predict.predict)
app.command("score")(score.score)
app.command("compare")(compare.compare)
app.command("check")(check.check)
app.add_typer(baseline.app, name="baseline")
app.command("report")(report.report)
app.add_typer(export.app, name="export")
app.add_typer(data.app, name="data")
app.add_typer(perf.app, name="perf")
app.command("ablate")(ablate.ablate)
app.command("train", context_settings=train.PASS_ON)(train.train)
app.command("merge")(train.merge)
app.command("models")(lists.models)
app.command("metrics")(lists.metrics)
app.command("doctor")(doctor.doctor)
app.command("fetch")(fetch.fetch)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Nothing but what every command shares."""


def _environment(error: OSError) -> str:
    """What the operating system refuses, on one line, with the path where it names one."""
    paths = " → ".join(str(one) for one in (error.filename, error.filename2) if one is not None)
    told = error.strerror or str(error) or type(error).__name__
    if error.errno == errno.EMFILE:
        told += "; `ulimit -n` allows too few"
    return f"{paths}: {told}" if paths else told


def forbid_the_network(arguments: Sequence[str]) -> None:
    """Nothing is fetched unless it is asked for; the hub's library reads this when it is loaded."""
    os.environ.setdefault("HF_HUB_OFFLINE", "0" if arguments[:1] == ["fetch"] else "1")


def main() -> None:
    """Entry point of `libra-bench` and `python -m libra_bench`."""
    try:
        streams.prepare()
        streams.hear_signals()
        forbid_the_network(sys.argv[1:])
        app(prog_name="libra-bench")
    except KeyboardInterrupt:
        # While the commands are put together, before one of them is chosen.
        complain("interrupted before anything was begun")
        sys.exit(EXIT_INTERRUPTED)
    finally:
        # All is done: a signal that comes while Python takes itself down ends it without a word.
        streams.hear_no_more()
