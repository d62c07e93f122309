"""Assay's semantic conventions: the registry, and the catalogue and constants generated from it."""
