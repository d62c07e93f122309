"""Copy the Collector out of the official image, through the docker SDK (extra `docker`).

The image holds one static Linux program. It runs like any other Collector, with the same signals, files and
loopback addresses, and without a container.
"""

from __future__ import annotations

import io
import platform
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from assay.cli._collector.cache import cache_directory
from assay.cli._collector.errors import CollectorError
from assay.cli._progress import ReportProgress

IMAGE = "otel/opentelemetry-collector-contrib"
_PROGRAM = "otelcol-contrib"


def copy_from_image(version: str, report: ReportProgress) -> Path:
    """Copy the program of the official image into the cache, unless it is there, and return its path.

    Args:
        version: Version of the image, without `v`.
        report: Called before the image is pulled.

    Raises:
        CollectorError: This machine does not run Linux, the docker SDK is missing, the daemon does not
            answer, or the image does not exist.
    """
    if platform.system() != "Linux":
        raise CollectorError(
            f"the program in the image runs only on Linux, this machine runs {platform.system()}"
        )
    target = cache_directory() / "collector" / f"{version}-image-{platform.machine().lower()}" / _PROGRAM
    if target.is_file():
        return target
    try:
        import docker  # noqa: PLC0415  an extra
    except ImportError as error:
        raise CollectorError(
            "install Docker, and `pip install 'assay[docker]'` (the docker SDK is not installed)"
        ) from error
    report(f"copying the Collector out of the image {IMAGE}:{version}")
    try:
        archive = _read_program(docker.from_env(), f"{IMAGE}:{version}")
        _install(archive, target)
    except Exception as error:  # without a daemon, several libraries raise errors of their own
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
    """Unpack the program into the cache, complete or not at all."""
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
