"""The program in a copy of this process, which has its libraries loaded: hundreds of trials."""

import os
import pkgutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

LONGEST = 120.0
"""Seconds that a trial may take."""


LATE = (
    *("matplotlib.figure", "matplotlib.backends.backend_svg", "pyarrow.parquet", "scipy.stats"),
    *("sacrebleu.tokenizers.tokenizer_13a", "jinja2", "pandas", "filelock", "rich.progress"),
)
"""Packages that a command loads when it needs them."""


@dataclass(frozen=True)
class Told:
    """What a trial ended with; code -9 where it hung and was killed."""

    code: int
    out: str
    err: str


def load() -> None:
    """Load what commands load late, once."""
    import torch

    import libra_bench

    for module in pkgutil.walk_packages(libra_bench.__path__, "libra_bench."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in LATE:
        import_module(name)
    # A copy of a process has none of its threads.
    torch.set_num_threads(1)


def invoke(scratch: Path, *arguments: object, stdin: bytes = b"") -> Told:
    """Run the program with `arguments`; its streams go to files below `scratch`."""
    scratch.mkdir(parents=True, exist_ok=True)
    names = [scratch / name for name in ("stdin", "stdout", "stderr")]
    names[0].write_bytes(stdin)
    number = os.fork()
    if not number:
        _become(names, [str(one) for one in arguments])
    deadline = time.monotonic() + LONGEST
    while True:
        done, status = os.waitpid(number, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            break
        if time.monotonic() > deadline:
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)
            code = -9
            break
        time.sleep(0.005)
    return Told(code, *(one.read_text(errors="replace") for one in names[1:]))


def _become(names: list[Path], arguments: list[str]) -> None:
    code = 70
    try:
        for place, name in enumerate(names):
            flags = os.O_RDONLY if place == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            handle = os.open(name, flags, 0o600)
            os.dup2(handle, place)
            os.close(handle)
        sys.stdin = os.fdopen(0, closefd=False)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        sys.argv = ["libra-bench", *arguments]
        from libra_bench.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - told as a fault of the program.
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)
