"""The documentation site builds, and its pages load nothing from other servers."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FOREIGN = re.compile(r"^(https?:)?//")
FOREIGN_IN_CSS = re.compile(r"""(?:url\(|@import\s)\s*["']?(?:https?:)?//[^"')\s]+""")


class Loaded(HTMLParser):
    """Collects what a browser loads with a page, which links that a reader follows are not."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if value and loads(tag, name)]


def loads(tag: str, attribute: str) -> bool:
    return attribute in {"src", "srcset", "poster"} or (attribute, tag) in {
        ("href", "link"),
        ("href", "image"),
        ("href", "use"),
        ("data", "object"),
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, and fail at a broken link."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def loaded_by(page: Path) -> list[str]:
    parser = Loaded()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser.found


def test_pages_load_nothing_from_other_servers(site):
    pages = sorted(site.rglob("*.html"))
    assert "assets/site.css" in loaded_by(site / "index.html")
    foreign = [(page.name, url) for page in pages for url in loaded_by(page) if FOREIGN.match(url)]
    assert not foreign
    # The theme loads the program for this class of blocks from another server.
    assert not [page.name for page in pages if 'class="mermaid"' in page.read_text(encoding="utf-8")]


def test_styles_and_pictures_load_nothing_from_other_servers(site):
    files = [file for kind in ("*.css", "*.svg") for file in site.rglob(kind)]
    assert files
    foreign = [(f.name, FOREIGN_IN_CSS.findall(f.read_text(encoding="utf-8"))) for f in files]
    assert not [found for found in foreign if found[1]]
    assert not [f.name for f in site.rglob("*.svg") for url in loaded_by(f) if FOREIGN.match(url)]


def test_each_page_is_in_the_navigation(site):
    """A new page appears without a change of `docs/.nav.yml`."""
    navigation = (site / "404.html").read_text(encoding="utf-8")
    pages = [page.parent.relative_to(site).as_posix() for page in site.rglob("*/index.html")]
    assert len(pages) > 20
    assert not [page for page in pages if f'href="/{page}/"' not in navigation]


def test_the_picture_shows_its_text():
    command = [sys.executable, "scripts/draw-way-of-a-fact", "--check"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
