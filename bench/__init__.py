"""Benchmarks: `make bench`. Ratios within one run on one machine; results in bench/results/."""
