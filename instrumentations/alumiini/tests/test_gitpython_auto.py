"""An unchanged program with GitPython under `opentelemetry-instrument`, and what arrives."""

import subprocess

import pytest

from assay.instrumentation.testing import OTLPReceiver, clean_environment, run_instrumented, wait_until
from assay.instrumentation.testing.receiver import attributes

PROGRAM = """
import sys
import git

repository = git.Repo.clone_from(sys.argv[1], sys.argv[2])
repository.remote().fetch()
"""

pytest.importorskip("assay.distro", reason="opentelemetry-instrument needs a distro")
pytestmark = pytest.mark.slow


def test_the_spans_of_an_unchanged_program_arrive(tmp_path):
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "shop.git")], check=True)
    (tmp_path / "program.py").write_text(PROGRAM)
    with OTLPReceiver() as receiver:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            ASSAY_AUDIT_ENDPOINT=f"{receiver.endpoint}/v1/audit",
        )
        done = run_instrumented(
            *("python", "program.py", str(tmp_path / "shop.git"), str(tmp_path / "copy")),
            environment=environment,
            folder=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        wait_until(lambda: len(receiver.spans("alumiini.git")) == 2)

    assert receiver.totals("alumiini.git.operations", "operation") == {"clone": 1, "fetch": 1}
    (cloned,) = [record for record in receiver.logs() if record.event_name == "alumiini.git_cloned"]
    assert attributes(cloned.attributes)["alumiini.repo.name"] == "shop"
