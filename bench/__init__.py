"""Benchmarks: one module each, ratios against a named peer or limit in the same run."""
