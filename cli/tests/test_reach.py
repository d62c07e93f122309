"""`assay collector` refuses receivers without authentication that other machines can reach."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from assay.cli._collector.errors import CollectorError
from assay.cli._collector.reach import ALLOWED, check_reach
from assay.cli.main import main


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ASSAY_COLLECTOR_OTLP_HTTP_ADDRESS", "0.0.0.0:4318"),
        ("ASSAY_COLLECTOR_OTLP_GRPC_ADDRESS", "[::]:4317"),
        ("ASSAY_COLLECTOR_PROMETHEUS_ADDRESS", "192.0.2.1:8889"),
        ("ASSAY_COLLECTOR_HEALTH_ADDRESS", "0.0.0.0:13133"),
        ("ASSAY_COLLECTOR_TELEMETRY_HOST", "0.0.0.0"),
    ],
)
def test_an_address_that_other_machines_can_reach_must_be_allowed_by_name(name, value):
    with pytest.raises(CollectorError, match=f"{name} without authentication"):
        check_reach({name: value})
    check_reach({name: value, ALLOWED: "true"})
    check_reach({name: value.replace(value.rpartition(":")[0] or value, "127.0.0.1")})


def test_an_address_without_a_port_is_named():
    with pytest.raises(CollectorError, match="ASSAY_COLLECTOR_OTLP_HTTP_ADDRESS: "):
        check_reach({"ASSAY_COLLECTOR_OTLP_HTTP_ADDRESS": "nowhere"})


@pytest.mark.parametrize("command", ["run", "validate"])
def test_the_command_refuses_it_before_it_looks_for_a_collector(command, tmp_path):
    env = {"ASSAY_AUDIT_TOKEN": "a", "ASSAY_COLLECTOR_OTLP_HTTP_ADDRESS": "0.0.0.0:4318"}
    nowhere = {"ASSAY_COLLECTOR": None, "ASSAY_CACHE_DIR": str(tmp_path), "PATH": str(tmp_path)}
    result = CliRunner().invoke(main, ["collector", command, "all-in-one"], env={**env, **nowhere})
    assert result.exit_code == 1
    assert "without authentication" in str(result.output) + str(result.exception)
