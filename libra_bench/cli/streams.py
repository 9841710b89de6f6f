"""The program's streams: nothing that stands behind them stops work, or is acted on."""

from __future__ import annotations

import codecs
import logging
import os
import signal
import sys
import warnings
from types import FrameType
from typing import Any, TextIO

from libra_bench.core.errors import Notice, OutputError
from libra_bench.core.printable import printable

NEAREST = {"–": "-", "—": "-", "…": "...", "×": "x", "·": "-", "→": "->", "↑": "^", "↓": "v"}
"""What our own tables hold, for terminals that have no such characters."""


def prepare() -> None:
    """Set up the process's streams, once, at its start."""
    codecs.register_error("nearest", _nearest)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # As for a program without a terminal.
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="nearest")
        setattr(sys, name, _Patient(stream, name))
    if sys.stdin is not None:
        sys.stdin = _Unasked(sys.stdin)  # type: ignore[assignment]
    warnings.formatwarning = _one_line  # type: ignore[assignment]
    logging.setLogRecordFactory(_Record)


class _Patient:
    """A stream that takes what nobody reads any more, and names itself where it is full.

    `libra-bench ... | head` ends as if all had been read.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        # Typer finds out by an empty text what kind of stream this is, and hides what is raised.
        if text != "":
            self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._do(self._stream.flush)

    def _do(self, action: Any) -> None:
        try:
            action()
        except BrokenPipeError:
            self._to_nowhere()
        except OSError as error:
            self._to_nowhere()
            if self._name == "stdout":
                told = f"standard output: cannot be written ({error.strerror or error})"
                raise OutputError(told) from None

    def _to_nowhere(self) -> None:
        """What is still held back must go somewhere when the process ends."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


class _Unasked:
    """Standard input as data (`--predictions -`), and never as an answer to a question.

    What a package would ask for, to run a checkpoint's code say, is thereby refused.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        return False

    def readline(self, size: int = -1) -> str:
        return ""


class _Record(logging.LogRecord):
    """A line of any package's log, of which a terminal acts on nothing."""

    def getMessage(self) -> str:
        return printable(super().getMessage())


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: Any = None
) -> str:
    if issubclass(category, Notice):
        return f"warning: {printable(str(message))}\n"
    return f"{filename}:{lineno}: {category.__name__}: {printable(str(message))}\n"


def _nearest(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lost = error.object[error.start : error.end]
    # Behind a known character anything else is written out, so that nothing is lost.
    found = "".join(
        NEAREST.get(one) or one.encode("ascii", "backslashreplace").decode() for one in lost
    )
    return found, error.end


def hear_signals() -> None:
    """What a scheduler or a closed terminal sends ends a run as Ctrl-C does."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # `nohup` has it ignored, and means it.
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def hear_no_more() -> None:
    """A signal ends the process as the system has it, unless the system has it ignored."""
    for name in ("SIGTERM", "SIGHUP", "SIGINT"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Both often come together; the second must not break off what the first one ends.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    raise KeyboardInterrupt
