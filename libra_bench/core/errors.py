"""Errors that a user can act on.

Everything that is the user's to mend is an `InputError`; the command line prints its message
without a traceback and exits with 2.
"""

from __future__ import annotations


class LibraBenchError(Exception):
    """Base class of every error that this package raises on purpose."""


class InputError(LibraBenchError):
    """Input or usage that cannot be used. The message names the file, the line and the id."""


class MissingResourceError(InputError):
    """Weights, corpora or programs that are not on this machine.

    Args:
        what: what is missing, as a sentence without its full stop.
        mend: the command or page that provides it.
    """

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"{what}.\nTo mend it: {mend}")
        self.what = what
        self.mend = mend


class RunError(LibraBenchError):
    """Work that was started and could not be finished; exit code 1."""
