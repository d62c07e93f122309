"""Run the GitOps controller of `examples/gitops` against a real API server and a real git server.

    python -m assay.cli._demo.workload.gitops FOLDER REPORT.json

It syncs a repository, changes it, stops and starts the controller, and changes the cluster by hand.
REPORT.json holds what git and the API server themselves have recorded of it, with which the demo compares
the data that arrived. This script is not instrumented; the programs that it starts are.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from assay.cli._demo.workload.cluster import Cluster
from assay.cli._demo.workload.git_host import TRACE, GitHost, counted
from assay.cli._demo.workload.gitops_programs import Programs, example_folder
from assay.instrumentation.testing import wait_until
from assay.instrumentation.testing.kubernetes import ApiServer, find_api_server

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {{name: greeting}}
data: {{text: {text}}}
"""
HOURS = 3600.0  # until the first reconciliation: longer than the demo
WAIT_SECONDS = 120


def run(cluster: Cluster, host: GitHost, programs: Programs) -> None:
    """Let the controller sync, fail, and correct what is changed by hand."""
    shop = host.url("shop")
    first = host.commit("shop", {"shop.yaml": MANIFEST.format(text="hello")})
    with programs.receiver(), programs.controller(interval=HOURS):
        cluster.declare("shop", url=shop, targetNamespace="shop")
        cluster.wait_for_commit("shop", first)
        # The account of the controller has no rights in this namespace.
        cluster.declare("locked", url=shop, targetNamespace="default")
        wait_until(lambda: any(is_refused(each) for each in cluster.writes()), timeout=WAIT_SECONDS)
        cluster.remove("locked")
        second = host.commit("shop", {"shop.yaml": MANIFEST.format(text="welcome")})
        programs.push(shop, second)
        cluster.wait_for_commit("shop", second)
    applied = len(cluster.writes_to("greeting"))
    with programs.controller(interval=HOURS):
        wait_until(lambda: len(cluster.writes_to("greeting")) > applied, timeout=WAIT_SECONDS)
    by_hand = {"data": {"text": "changed by hand"}}
    cluster.core.patch_namespaced_config_map("greeting", "shop", by_hand)
    programs.run("drift", "greeting", "shop", "welcome")


def is_refused(record: dict[str, Any]) -> bool:
    """Return whether the API server has refused a request to the account."""
    return record["responseStatus"]["code"] == 403  # noqa: PLR2004 - Forbidden


def main(folder: Path, report: Path) -> None:
    """Start the servers, run the story, and write the report."""
    traces, kubeconfig = folder / "git-traces", folder / "kubeconfig"
    traces.mkdir(parents=True)
    host = GitHost(folder / "git")
    with ApiServer(find_api_server(), folder / "kubernetes") as server, host.serving():
        cluster = Cluster(server, example_folder() / "install.yaml")
        cluster.write_kubeconfig(kubeconfig)
        # The client keeps what it has discovered of the cluster in the folder for temporary files.
        environment = {"KUBECONFIG": str(kubeconfig), TRACE: str(traces), "TMPDIR": str(folder)}
        environment = {**os.environ, **environment}
        run(cluster, host, Programs(folder, environment))
        recorded = {"git": counted(traces), "applies": cluster.accepted()}
    report.write_text(json.dumps(recorded, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
