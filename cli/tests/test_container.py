"""The program in the official image: the message without Docker, and the unpacking."""

from __future__ import annotations

import io
import os
import tarfile

import pytest

from assay.cli._collector.container import _install, copy_from_image
from assay.cli._collector.errors import CollectorError


def test_without_a_daemon_the_error_says_to_start_docker(bare):
    with pytest.raises(CollectorError, match=r"start Docker, with access to otel/.*:0\.152\.0"):
        copy_from_image("0.152.0", lambda _: None)


def test_the_program_is_unpacked_and_executable(tmp_path):
    content = b"#!/bin/sh\n"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("otelcol-contrib")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    target = tmp_path / "cache" / "otelcol-contrib"
    _install(archive.getvalue(), target)
    assert target.read_bytes() == content
    assert os.access(target, os.X_OK)
    assert list(target.parent.iterdir()) == [target]
