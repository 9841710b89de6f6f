"""libra_bench: evaluate and benchmark Libra, a temporal chest X-ray report generator.

The names below are loaded when they are first used; importing the package loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from libra_bench.version import __version__

if TYPE_CHECKING:
    from libra_bench.api import compare, load_model, score
    from libra_bench.core.records import Example, Prediction
    from libra_bench.data.corpora import load as load_data
    from libra_bench.data.pairing import pair

_PLACES = {
    "Example": ("libra_bench.core.records", "Example"),
    "Prediction": ("libra_bench.core.records", "Prediction"),
    "compare": ("libra_bench.api", "compare"),
    "load_data": ("libra_bench.data.corpora", "load"),
    "load_model": ("libra_bench.api", "load_model"),
    "pair": ("libra_bench.data.pairing", "pair"),
    "score": ("libra_bench.api", "score"),
}

__all__ = [
    "Example",
    "Prediction",
    "__version__",
    "compare",
    "load_data",
    "load_model",
    "pair",
    "score",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)
