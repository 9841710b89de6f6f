"""NLTK's data on this machine, and fetching it where that is asked for."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Iterator

from libra_bench.core.cache import cache_dir
from libra_bench.core.errors import RunError

PACKAGES = {
    "wordnet": "corpora/wordnet/",
    "punkt_tab": "tokenizers/punkt_tab/english/",
}
"""Where the data that METEOR reads lies, by NLTK's names of it. With its slash NLTK finds the
folder as well as the archive that its downloader leaves."""
SECONDS = 30
"""Without an answer for so long, a download has failed."""


def found(package: str, *, ours: bool = True) -> bool:
    """Whether a package of data is here: in NLTK's own folders or, with `ours`, in our cache."""
    import nltk

    own = str(cache_dir("nltk_data"))
    if ours and own not in nltk.data.path:
        nltk.data.path.append(own)
    try:
        nltk.data.find(PACKAGES[package])
    except LookupError:
        return False
    return True


def download(package: str, index: str | None = None) -> None:
    """Fetch a package of data into our cache, by NLTK's downloader, which checks its hash.

    Args:
        index: the address of an index in NLTK's form; NLTK's own if None.

    Raises:
        RunError: it could not be fetched.
    """
    from nltk.downloader import Downloader

    # The downloader tells its failures to a stream.
    told = io.StringIO()
    loader = Downloader(server_index_url=index, download_dir=str(cache_dir("nltk_data")))
    with _short_timeout(SECONDS):
        # `force` fetches again what is here damaged.
        done = loader.download(package, quiet=True, force=True, print_error_to=told)
    if not (done and found(package)):
        why = " ".join(told.getvalue().split()) or "NLTK's downloader says nothing"
        raise RunError(f"NLTK's {package} could not be fetched from {loader.url} ({why})")


@contextlib.contextmanager
def _short_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
