"""The settings tables of pages are generated from the models."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from assay.host.reference import settings_table, with_tables

README = Path(__file__).parents[1] / "README.md"


class File(BaseModel):
    type: Literal["file"]
    name: str = ""
    path: Path = Field(description="Where to write.")


class Socket(BaseModel):
    type: Literal["socket"]
    name: str = ""
    port: int = Field(default=514, gt=0, le=65535, description="Where to send.")


class Example(BaseModel):
    targets: list[Annotated[File | Socket, Field(discriminator="type")]]
    limits: dict[str, float] = Field(default_factory=dict, description="By name.")
    verbose: bool = False


def test_the_readme_is_up_to_date():
    page = README.read_text(encoding="utf-8")
    assert "`limits.body_bytes`" in page
    assert with_tables(page) == page


def test_a_table_has_a_row_for_every_setting():
    assert settings_table(Example).splitlines()[2:] == [
        "| `targets[].type` | `file` or `socket` | required | Selects the settings below. |",
        "| `targets[].name` | text |  |  |",
        "| `targets[].path` | path | required | `type: file`. Where to write. |",
        "| `targets[].port` | integer, more than 0, at most 65535 | `514` | `type: socket`. Where to send. |",
        "| `limits` | mapping |  | By name. |",
        "| `verbose` | `true` or `false` | `false` |  |",
    ]


def test_only_the_table_of_a_page_changes():
    table = "<!-- settings: assay.host:HostConfig -->\nstale row\n<!-- end of settings -->"
    updated = with_tables(f"before\n{table}\nafter\n")
    assert updated.startswith("before\n<!-- settings: assay.host:HostConfig -->\n\n| key | type |")
    assert updated.endswith(" |\n\n<!-- end of settings -->\nafter\n")
    assert "stale row" not in updated
    assert with_tables(updated) == updated
