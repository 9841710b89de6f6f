"""`python -m libra_bench` is the same program as `libra-bench`."""

from libra_bench.cli import main

if __name__ == "__main__":
    main()
