"""libra_bench: evaluate and benchmark Libra, a temporal chest X-ray report generator."""

from libra_bench.version import __version__

__all__ = ["__version__"]
