"""What Assay costs, each figure a ratio against a floor measured in the same run.

python -m benchmarks [--json] [--rounds N] [NAME ...]
"""
