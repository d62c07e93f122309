"""Resource attributes: the name of the program, and its place in a Kubernetes cluster.

Upstream's detectors find the host, the operating system, the process and the instance id. The command's
arguments are never sent: they may hold secrets.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from opentelemetry.sdk.resources import Resource, ResourceDetector

PROGRAM = "ASSAY_PROGRAM"
"""Set for child processes: multiprocessing starts them with `python -c`, without a program's name."""

KUBERNETES = {
    "k8s.pod.name": ("K8S_POD_NAME", "POD_NAME"),
    "k8s.pod.uid": ("K8S_POD_UID", "POD_UID"),
    "k8s.pod.ip": ("K8S_POD_IP", "POD_IP"),
    "k8s.namespace.name": ("K8S_NAMESPACE_NAME", "POD_NAMESPACE"),
    "k8s.node.name": ("K8S_NODE_NAME", "NODE_NAME"),
    "k8s.container.name": ("K8S_CONTAINER_NAME", "CONTAINER_NAME"),
    "k8s.deployment.name": ("K8S_DEPLOYMENT_NAME",),
    "k8s.statefulset.name": ("K8S_STATEFULSET_NAME",),
    "k8s.job.name": ("K8S_JOB_NAME",),
    "k8s.cluster.name": ("K8S_CLUSTER_NAME",),
}
"""For each attribute, the variables that usually hold it through the pod's downward API."""

_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})


class AssayResourceDetector(ResourceDetector):
    """Finds `service.name` and `k8s.*`; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have precedence."""

    def detect(self) -> Resource:
        """Return the attributes found in the command line and the environment; nothing is requested."""
        found = kubernetes(os.environ)
        name = program_name(sys.orig_argv) or os.environ.get(PROGRAM, "")
        if name:
            os.environ[PROGRAM] = name
            found["service.name"] = name
        return Resource(found)


def kubernetes(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the `k8s.*` attributes in the environment; none outside a cluster."""
    if "KUBERNETES_SERVICE_HOST" not in environ:
        return {}
    return {
        key: next(environ[name] for name in names if environ.get(name))
        for key, names in KUBERNETES.items()
        if any(environ.get(name) for name in names)
    }


def program_name(argv: Sequence[str]) -> str:
    """Return the name of the script or module that a Python command line runs; empty if it names none.

    Args:
        argv: The command line with the interpreter and its options, as in `sys.orig_argv`.
    """
    arguments = iter(argv[1:])
    for argument in arguments:
        if argument.startswith("-m"):
            module = argument[2:] or next(arguments, "")
            return module.removesuffix(".__main__")
        if argument.startswith("-c") or argument == "-":
            return ""
        if argument in _WITH_VALUE:
            next(arguments, None)
        elif not argument.startswith("-"):
            path = PurePath(argument)
            return path.parent.name if path.name == "__main__.py" else path.name.removesuffix(".py")
    return ""
