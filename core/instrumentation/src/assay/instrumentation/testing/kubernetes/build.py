"""Find the API server's binary in the cache, or build it there with Go from the committed lock."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = ("main.go", "go.mod", "go.sum")
_VERSION = "v1.34.1"
_HERE = Path(__file__).parent
_PACKAGE = "k8s.io/component-base/version"


class ApiServerNotFoundError(Exception):
    """There is neither an API server nor a way to build one; the message says what is missing."""


def find_api_server() -> Path:
    """Return the API server's binary: `ASSAY_KUBE_APISERVER`, else the cache's, else one that is built now.

    Raises:
        ApiServerNotFoundError: There is none, and it cannot be built.
    """
    if named := os.environ.get("ASSAY_KUBE_APISERVER"):
        return Path(named)
    if shutil.which("etcd") is None:
        raise ApiServerNotFoundError("etcd is not on PATH: install the Debian package `etcd-server`")
    cached = cached_binary()
    return cached if cached.is_file() else build_api_server()


def build_api_server() -> Path:
    """Build the API server into the cache, which takes minutes, once; return its path.

    A second build at the same time waits for the first. The binary appears complete or not at all.

    Raises:
        ApiServerNotFoundError: Go is missing or fails; the message ends with its output.
    """
    go = shutil.which("go")
    if go is None:
        raise ApiServerNotFoundError(
            "Go is not on PATH: install it (https://go.dev/dl) to build an API server"
        )
    binary = cached_binary()
    binary.parent.mkdir(parents=True, exist_ok=True)
    with binary.with_name("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.is_file():
            _build(go, binary)
    return binary


def cached_binary() -> Path:
    """Return the path of the binary of the present sources and platform, whether it exists or not."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((_HERE / name).read_bytes())
    target = f"{platform.system().lower()}-{platform.machine().lower()}"
    return _cache() / "kube-apiserver" / f"{_VERSION}-{digest.hexdigest()[:16]}-{target}" / "kube-apiserver"


def _cache() -> Path:
    if own := os.environ.get("ASSAY_CACHE_DIR"):
        return Path(own)
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(xdg) if xdg.startswith("/") else Path.home() / ".cache") / "assay"


def _build(go: str, binary: Path) -> None:
    # In the target's folder, because a rename is atomic only within one file system.
    with tempfile.TemporaryDirectory(prefix="build-", dir=binary.parent) as name:
        folder = Path(name)
        for source in SOURCES:
            shutil.copy(_HERE / source, folder / source)
        major, minor, _ = _VERSION.removeprefix("v").split(".")
        version = {"gitVersion": _VERSION, "gitMajor": major, "gitMinor": minor}
        flags = " ".join(["-s", "-w", *(f"-X {_PACKAGE}.{key}={value}" for key, value in version.items())])
        done = subprocess.run(
            [go, "build", "-mod=readonly", "-trimpath", f"-ldflags={flags}", f"-o={binary.name}", "."],
            cwd=folder,
            # The user's Go settings (a vendor folder, a workspace) are for the user's own projects.
            env={**os.environ, "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ApiServerNotFoundError(f"`go build` failed ({done.returncode}):\n{done.stderr[-2000:]}")
        (folder / binary.name).replace(binary)
