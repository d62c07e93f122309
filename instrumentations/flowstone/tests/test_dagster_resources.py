"""Resources that declare a check are checked, when they are set up and on an interval."""

import threading

import pytest
from dagster import ConfigurableResource, asset, materialize

BOUND = 20.0


class Warehouse(ConfigurableResource):
    """A resource whose check fails from the second time on."""

    def health_check(self):
        checks.append(threading.current_thread().name)
        if len(checks) >= 3:
            was_checked.set()
        if len(checks) == 2:
            raise ConnectionError("away")
        return len(checks) == 1


checks: list[str] = []
was_checked = threading.Event()


@asset
def loads(warehouse: Warehouse):
    assert was_checked.wait(BOUND)


def _health(telemetry):
    events = telemetry.events("flowstone.resource.health_check")
    return [event["healthy"] for event in events if event["resource"] == "warehouse"]


def test_a_resource_that_declares_a_check_is_checked_on_an_interval(dagster_telemetry, monkeypatch):
    checks.clear()
    was_checked.clear()
    monkeypatch.setenv("ASSAY_DAGSTER_HEALTH_INTERVAL", "0.05")
    assert materialize([loads], resources={"warehouse": Warehouse()}).success

    assert _health(dagster_telemetry)[:2] == [True, False]
    errors = dagster_telemetry.events("flowstone.error")
    assert [(error["subject"], error["type"]) for error in errors] == [
        ("resource:warehouse", "ConnectionError")
    ]
    for thread in threading.enumerate():
        if thread.name == "assay-health-warehouse":
            thread.join(BOUND)
            assert not thread.is_alive(), "no check goes on after the run"


@pytest.mark.parametrize("answer", [True, None, False])
def test_the_first_check_is_at_the_set_up(dagster_telemetry, answer):
    class Answering(ConfigurableResource):
        def check_health(self):
            return answer

    @asset
    def uses(warehouse: Answering):
        pass

    assert materialize([uses], resources={"warehouse": Answering()}).success
    assert _health(dagster_telemetry) == [answer is not False]
