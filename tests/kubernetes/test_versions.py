"""The lowest versions of kopf and the Kubernetes clients, against the real API server, and of cachetools.

The newest versions are those of the lock file, which the package's own tests run with.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# A first run builds the API server.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

REPOSITORY = Path(__file__).parents[2]
PACKAGE = "instrumentations/alumiini"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Return the interpreter of an environment with the lowest versions that the package declares."""
    folder = tmp_path_factory.mktemp("lowest") / "venv"
    uv = shutil.which("uv") or str(REPOSITORY / ".uv/bin/uv")
    found = folder / "bin/python"
    group = ("--group", f"{PACKAGE}/pyproject.toml:test", "--editable", PACKAGE)
    for arguments in (
        ("venv", "--quiet", "--python", sys.executable, str(folder)),
        ("pip", "install", "--quiet", "--resolution", "lowest-direct", "--python", str(found), *group),
    ):
        done = subprocess.run([uv, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return found


@pytest.mark.parametrize("library", ["caches", "kopf", "kubernetes"])
def test_the_lowest_versions_are_observed_like_the_newest(python, library):
    options = ["-q", "-p", "no:cacheprovider", f"tests/test_{library}.py"]
    done = subprocess.run(
        [str(python), "-m", "pytest", *options],
        cwd=REPOSITORY / PACKAGE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
