"""The story of the example: everything that can happen to its controller.

The story reads the alerts and objectives when the controller is healthy, when it fails, and when it has been
restarted.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.cli._demo.workload.gitops_programs import Programs
from assay.instrumentation.testing import wait_until

from .admission import LABELS
from .comparisons import assert_equal

FIRST, SECOND = (
    f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: greeting}}
data: {{text: {text}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: "example.org/web:{text}"}}]}}
"""
    for text in ("hello", "welcome")
)
MANIFESTS = {
    "torn": "kind: [ConfigMap",
    "invalid": "{apiVersion: v1, kind: Service, metadata: {name: invalid}, spec: {ports: [{port: 70000}]}}",
    "rival": "{apiVersion: v1, kind: ConfigMap, metadata: {name: rival}, data: {text: ours}}",
    "locked": "{apiVersion: v1, kind: ConfigMap, metadata: {name: locked}, data: {text: ours}}",
}
FAST, SLOW = (
    json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "slow", "labels": labels}})
    for labels in ({}, LABELS)
)
FAILURES = {
    "torn": ("parse_error", None),
    "invalid": ("apply_error", "validation"),
    "rival": ("apply_error", "conflict"),
    "locked": ("apply_error", "auth"),
    # Of a git server that does not answer at git://, GitPython passes git's exit code on, and no message.
    "shop": ("git_error", "git_error"),
}
"""Type and detail of the error of each repository's failed sync."""
AGAIN = 7
"""Syncs of a revision that the controller has read before: its cache holds the manifests."""
TORN_AGAIN = 4
"""Further syncs of a manifest that does not parse: the cache never holds it."""
SHOP_SYNCS = 3 + AGAIN  # the first one, a change, a rollback
HEALTHY_SYNCS = SHOP_SYNCS + 1  # the first one of the slow repository
FAILING_SYNCS = HEALTHY_SYNCS + len(FAILURES) + TORN_AGAIN + 1  # the second one of the slow repository
RESTARTS = 4
"""More than an hour may have."""
FETCH_SECONDS = 51
"""With the delay of the admission, a sync lasts more than a minute."""
HOURS = 3600.0  # until the first reconciliation: longer than the test
LEAKING = Path(__file__).with_name("leaking.py")
WAIT_SECONDS = 120


@dataclass
class Story:
    """What the tests read when the story has ended.

    Args:
        deployment: The deployment.
        alerts: The alerts that fired, by the state of the controller.
        objectives: The objectives that were met, by the state of the controller.
        page: What `/metrics` gave while the last controller ran.
    """

    deployment: Any
    alerts: dict[str, set[str]] = field(default_factory=dict)
    objectives: dict[str, set[str]] = field(default_factory=dict)
    page: str = ""


def run(deployment) -> Story:
    """Run the story."""
    story = Story(deployment)
    with deployment.programs.receiver(), deployment.slow_host.serving() as slow_daemon:
        with _killed_controller(deployment.programs):
            with deployment.host.serving():
                first = _sync(deployment)
                deployment.wait_for_scrape(syncs=HEALTHY_SYNCS)
                story.alerts["healthy"] = deployment.firing(syncs=HEALTHY_SYNCS)
                story.objectives["healthy"] = deployment.met()
                with _stopped(slow_daemon):
                    started = _push_slow_revision(deployment)
                    _fail(deployment)
                    time.sleep(max(0, started + FETCH_SECONDS - time.monotonic()))
                deployment.wait_for_sync("slow", "succeeded", 2)
            # The git server is gone.
            assert deployment.programs.push(deployment.host.url("shop"), "0" * 40) == 202
            deployment.wait_for_sync("shop", "failed")
            deployment.wait_for_scrape(syncs=FAILING_SYNCS)
            story.alerts["failing"] = deployment.firing(syncs=FAILING_SYNCS)
            story.objectives["failing"] = deployment.met()
            _remove(deployment, "slow", *MANIFESTS)
            # Everything has left the controller before it is killed.
            assert_equal(deployment)
        with deployment.host.serving():
            for number in range(1, RESTARTS):
                with _killed_controller(deployment.programs):
                    _wait_for_restart(deployment, number)
                    assert_equal(deployment)
            with deployment.programs.controller(LEAKING, interval=2):
                _wait_for_restart(deployment, RESTARTS)
                _drift(deployment)
                assert deployment.programs.push(deployment.host.url("shop"), first) == 202
                story.alerts["restarted"] = deployment.wait_for_alerts(
                    "HighWorkerRestarts", "HighWorkerMemory"
                )
                story.objectives["restarted"] = deployment.met()
                story.page = deployment.page()
                deployment.cluster.remove("shop")
    return story


@contextmanager
def _killed_controller(programs: Programs) -> Iterator[None]:
    """Run the controller while the block runs, and kill it then."""
    controller = programs.start_controller(interval=HOURS)
    try:
        yield
    finally:
        controller.kill()
        controller.wait()


@contextmanager
def _stopped(daemon) -> Iterator[None]:
    """Let a git server accept connections and not answer while the block runs."""
    daemon.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        daemon.send_signal(signal.SIGCONT)


def _sync(deployment) -> str:
    """Sync, change and roll back a repository, and sync it again and again; return its first revision."""
    cluster, host, programs = deployment.cluster, deployment.host, deployment.programs
    shop, slow = host.url("shop"), deployment.slow_host.url("slow")
    first = host.commit("shop", {"shop.yaml": FIRST})
    cluster.declare("shop", url=shop, targetNamespace="shop")
    cluster.wait_for_commit("shop", first)
    fast = deployment.slow_host.commit("slow", {"slow.yaml": FAST})
    cluster.declare("slow", url=slow, targetNamespace="shop")
    cluster.wait_for_commit("slow", fast)
    second = host.commit("shop", {"shop.yaml": SECOND})
    assert programs.push(shop, second) == 202
    cluster.wait_for_commit("shop", second)
    host.reset("shop", first)
    assert programs.push(shop, first, secret="wrong") == 401
    assert programs.push(shop, first) == 202
    cluster.wait_for_commit("shop", first)
    for number in range(1, AGAIN + 1):
        assert programs.push(shop, f"{number:040x}") == 202
        deployment.wait_for_sync("shop", "succeeded", SHOP_SYNCS - AGAIN + number)
    return first


def _push_slow_revision(deployment) -> float:
    """Push a revision that is fetched and applied slowly; return when its sync had started (monotonic)."""
    pushed = deployment.slow_host.commit("slow", {"slow.yaml": SLOW})
    assert deployment.programs.push(deployment.slow_host.url("slow"), pushed) == 202
    syncs = deployment.reaches(lambda: (HEALTHY_SYNCS + 1, deployment.logged()["alumiini.sync_started"]))
    assert syncs == (HEALTHY_SYNCS + 1,) * 2
    return time.monotonic()


def _fail(deployment) -> None:
    """Sync each repository whose sync fails."""
    cluster, host = deployment.cluster, deployment.host
    theirs = {"metadata": {"name": "rival"}, "data": {"text": "theirs"}}
    cluster.core.create_namespaced_config_map("shop", theirs, field_manager="somebody")
    for name, manifest in MANIFESTS.items():
        host.commit(name, {f"{name}.yaml": manifest})
        # The controller has no rights in the namespace `default`.
        target = "default" if name == "locked" else "shop"
        cluster.declare(name, url=host.url(name), targetNamespace=target, force=False)
        deployment.wait_for_sync(name, "failed")
    for number in range(1, TORN_AGAIN + 1):
        assert deployment.programs.push(host.url("torn"), f"{number:040x}") == 202
        deployment.wait_for_sync("torn", "failed", 1 + number)


def _remove(deployment, *names: str) -> None:
    """Remove the objects of repositories, and wait until their workers have stopped."""
    for name in names:
        deployment.cluster.remove(name)
    stopped = deployment.reaches(lambda: (len(names), deployment.logged()["alumiini.worker_stopped"]))
    assert stopped == (len(names),) * 2


def _wait_for_restart(deployment, number: int) -> None:
    """Wait until the worker of the shop was restarted so many times, and has synced after it."""
    deployment.wait_for_sync("shop", "succeeded", SHOP_SYNCS + number)
    restarts = deployment.reaches(lambda: (number, deployment.logged()["alumiini.worker.restart"]))
    assert restarts == (number,) * 2


def _drift(deployment) -> None:
    """Change and delete a resource by hand; the controller restores it."""
    cluster = deployment.cluster
    cluster.core.patch_namespaced_config_map("greeting", "shop", {"data": {"text": "by hand"}})
    wait_until(lambda: cluster.data_of("greeting") == {"text": "hello"}, timeout=WAIT_SECONDS, interval=0.1)
    cluster.core.delete_namespaced_config_map("greeting", "shop")
    wait_until(lambda: cluster.data_of("greeting") == {"text": "hello"}, timeout=WAIT_SECONDS, interval=0.1)
