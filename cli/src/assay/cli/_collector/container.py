"""The official Collector image, through the docker SDK (extra `docker`).

The image holds one static Linux program. It is copied out and run like any other Collector: the same signals,
files and loopback addresses, and no container to look after.
"""

from __future__ import annotations

import io
import platform
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.cli._collector.cache import cache_directory
from assay.cli._collector.errors import CollectorError

IMAGE = "otel/opentelemetry-collector-contrib"
_PROGRAM = "otelcol-contrib"


def copy_from_image(version: str, report: Callable[[str], None]) -> Path:
    """Copies the program of the official image of that version into the cache and gives its path.

    Raises:
        CollectorError: Not on Linux, the docker SDK is absent, the daemon does not answer, or no such
            image.
    """
    if platform.system() != "Linux":
        raise CollectorError(f"the program in the image runs on Linux only, this is {platform.system()}")
    target = cache_directory() / "collector" / f"{version}-image-{platform.machine().lower()}" / _PROGRAM
    if target.is_file():
        return target
    try:
        import docker  # noqa: PLC0415  an extra
    except ImportError as error:
        raise CollectorError(
            "install Docker and `pip install 'assay[docker]'` (no docker SDK here)"
        ) from error
    report(f"copying the Collector out of the image {IMAGE}:{version}")
    try:
        archive = _read_program(docker.from_env(), f"{IMAGE}:{version}")
        _install(archive, target)
    except Exception as error:  # a daemon that is not there shows as an error of many libraries
        raise CollectorError(f"start Docker, with access to {IMAGE}:{version} ({error})") from error
    return target


def _read_program(client: Any, image: str) -> bytes:  # noqa: ANN401  the SDK has no types
    client.images.pull(image)
    container = client.containers.create(image)
    try:
        chunks, _ = container.get_archive(f"/{_PROGRAM}")
        return b"".join(chunks)
    finally:
        container.remove()


def _install(archive: bytes, target: Path) -> None:
    """Unpacks the one program whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        program = tar.extractfile(_PROGRAM)
        if program is None:
            raise CollectorError(f"{_PROGRAM} in the image is not a file")
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(program.read())
    written = Path(file.name)
    written.chmod(0o755)
    written.replace(target)
