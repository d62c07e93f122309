"""Measure the cost of Assay; each figure is a ratio to a floor that is measured in the same run.

python -m benchmarks [--json] [--rounds N] [NAME ...]
"""
