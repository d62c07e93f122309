"""The settings table of the README is generated from the models."""

from pathlib import Path

from assay.host.reference import with_tables

README = Path(__file__).parents[1] / "README.md"


def test_the_settings_table_is_up_to_date():
    page = README.read_text(encoding="utf-8")
    assert "`zero_seconds`" in page
    assert with_tables(page) == page
