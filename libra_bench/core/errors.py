"""Errors that a user can act on.

Everything that is the user's to mend is an `InputError`; the command line prints its message
without a traceback and exits with 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

LONGEST_CAUSE = 300
"""Characters of another package's message that stand in one of ours."""


class LibraBenchError(Exception):
    """Base class of every error that this package raises on purpose."""


class InputError(LibraBenchError):
    """Input or usage that cannot be used. The message names the file, the line and the id."""


class MissingResourceError(InputError):
    """Weights, corpora or programs that are not on this machine.

    Args:
        what: what is missing, as a sentence without its full stop.
        otherwise: the command or page that provides it; with `fetch`, another way.
        fetch: what `libra-bench fetch` brings it by.
        also: what else must be done, which fetching does not do.

    Attributes:
        mend: all that there is to do, as one line.
    """

    def __init__(
        self, what: str, otherwise: str, fetch: str | None = None, also: str | None = None
    ) -> None:
        self.mend = otherwise if fetch is None else f"libra-bench fetch {fetch}, or {otherwise}"
        if also is not None:
            self.mend = f"{also}; and {self.mend}"
        super().__init__(f"{what}.\nTo mend it: {self.mend}")
        self.what = what
        self.otherwise = otherwise
        self.fetch = fetch
        self.also = also

    def __reduce__(self) -> tuple[type, tuple[str, str, str | None, str | None]]:
        # So that it passes between processes; what a subclass is made of is in its words.
        return MissingResourceError, (self.what, self.otherwise, self.fetch, self.also)


class StudyError(InputError):
    """What one study's files or tokens cost; its `__cause__` is what was raised over them."""


class RunError(LibraBenchError):
    """Work that was started and could not be finished; exit code 1."""


class OutputError(RunError, OSError):
    """A file that cannot be written (a full disk, a read-only folder); the message names it."""


class Notice(UserWarning):
    """Something that the user should know and that stops nothing; warned by any layer."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around writing to `path`: what the operating system refuses is told with the path.

    Raises:
        OutputError: instead of any other `OSError`.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        told = OutputError(f"{path}: cannot be written ({error.strerror or error})")
        told.errno = error.errno
        raise told from error


@contextmanager
def costs_a_study(what: str) -> Iterator[None]:
    """Around work of other packages on a single study's data: images, tokens.

    Whatever a decoder or tokenizer raises over broken data, a lack of memory among it, is told as
    a `StudyError`, so that it costs its study and no other. Nothing of our own belongs inside: a
    fault of the program must stop it.

    Args:
        what: the beginning of the message: what could not be done with which file.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise StudyError(f"{what} ({cause_of(error)})") from error


def cause_of_loading(error: BaseException) -> str:
    """As `cause_of`; of a pickle without torch's advice to run what is in it."""
    if isinstance(error, UnpicklingError):
        return "not a file of tensors alone; anything else is never run"
    return cause_of(error)


def cause_of(error: BaseException) -> str:
    """An error as part of a line: what it says, on one line, or else its name."""
    # An operating system's error repeats the path, which the message names anyway.
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    said = " ".join(told.split())[:LONGEST_CAUSE]
    # A key alone, or a code, says nothing without the kind of error.
    return said if " " in said else f"{type(error).__name__}: {said}".rstrip(": ")
