"""`dagster dev`, which starts a webserver, a daemon and a code server, and ends by Ctrl-C."""

import pytest

from assay.instrumentation.testing import free_port, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def dev(tmp_path_factory, deployed):
    """Return the deployment after `dagster dev` has been interrupted while a run was under way."""
    root = tmp_path_factory.mktemp("dev") / "root"
    with deployed(root, WAREHOUSE_IN_PROCESS="1") as deployment:
        port = free_port()
        options = ("-m", "warehouse", "-h", "127.0.0.1", "-p", str(port))
        with deployment.start("dagster", "dev", *options, log="dev.log") as process:
            try:
                web = deployment.webserver(port)
                wait_until(web.has_jobs, timeout=240, interval=0.2)
                deployment.launched = web.launch("plain", {"traceparent": PARENT})
                wait_until(lambda: has_ended(deployment, "plain", "sensed", "scheduled"), timeout=240)
                web.launch("canceled")
                wait_until((deployment.marks / "canceled.pid").exists, timeout=240)
                deployment.exit = deployment.interrupt(process)
            finally:
                deployment.kill(process)
        deployment.settle()
        yield deployment


def has_ended(deployment, *jobs):
    """Return whether the first run of each job has ended."""
    return all(deployment.statuses(job)[:1] == ["SUCCESS"] for job in jobs)


def test_runs_arrive_as_dagster_recorded_them(dev):
    assert dev.statuses("plain") == ["SUCCESS"]
    dev.check()


def test_a_run_that_is_launched_with_a_parent_is_in_its_trace(dev):
    assert dev.traces(dev.launched) == {PARENT.split("-")[1]}


def test_ctrl_c_ends_it_as_without_us(dev):
    assert dev.exit == 0


def test_no_process_warns_of_us(dev):
    assert dev.complaints() == []
