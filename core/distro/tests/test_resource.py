"""The name of the program, and where it runs."""

from __future__ import annotations

import pytest

from assay.distro.resource import kubernetes, program_name


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["python", "app.py"], "app"),
        (["python", "/srv/shop/worker.py", "--queue", "a.py"], "worker"),
        (["python", "-X", "dev", "-W", "error", "-u", "app.py"], "app"),
        (["python", "-m", "shop.worker", "-v"], "shop.worker"),
        (["python", "-mshop"], "shop"),
        (["/venv/bin/python", "/venv/bin/dagster", "dev"], "dagster"),
        (["python", "/srv/shop/__main__.py"], "shop"),
        (["python", "-c", "pass"], ""),
        (["python"], ""),
        ([], ""),
    ],
)
def test_program_name(argv, name):
    assert program_name(argv) == name


def test_kubernetes_from_the_downward_api():
    found = kubernetes(
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "POD_NAME": "a", "K8S_NODE_NAME": "b", "POD_UID": ""}
    )
    assert found == {"k8s.pod.name": "a", "k8s.node.name": "b"}


def test_outside_a_cluster_a_pod_name_means_nothing():
    assert kubernetes({"POD_NAME": "a"}) == {}
