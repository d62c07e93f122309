"""Resource attributes: the name of the service, and its place in a Kubernetes cluster.

A service is named after its project, so that it has one name whichever command starts a process of it.
Without a project it is named after the program.

Upstream's detectors find the host, the operating system, the process and the instance id. The command's
arguments are never sent: they may hold secrets.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

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

_TABLE = re.compile(r"^\[(?:project|tool\.poetry)\][^\n]*\n(.*?)(?=^\[|\Z)", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"""^name[ \t]*=[ \t]*["']([A-Za-z0-9._-]+)["']""", re.MULTILINE)
_LARGEST = 2**16
"""Characters of a pyproject.toml that are read."""
_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})


class AssayResourceDetector(ResourceDetector):
    """Finds `service.name` and `k8s.*`; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have precedence."""

    def detect(self) -> Resource:
        """Return the attributes found in the command line and the environment; nothing is requested."""
        found = kubernetes(os.environ)
        name = service_name(sys.orig_argv, os.environ)
        if name:
            os.environ[PROGRAM] = name
            found["service.name"] = name
        return Resource(found)


def service_name(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the name of the project that a command line belongs to, else of its program; empty if unknown.

    Args:
        argv: The command line with the interpreter and its options, as in `sys.orig_argv`.
        environ: The variables; ASSAY_PROGRAM is the name of the parent process.
    """
    program = program_name(argv)
    if not program and environ.get(PROGRAM):
        return environ[PROGRAM]  # `python -c`, such as a child of multiprocessing
    return _project_name(argv) or _without_private_parts(program)


def _project_name(argv: Sequence[str]) -> str:
    """Return the name in the nearest pyproject.toml, from the user's own script or the working directory."""
    script = _script(argv)
    # Launchers are installed in the interpreter's folder, which is not the project's.
    is_launcher = script is not None and script.parent.name in {"bin", "Scripts"}
    starts = [] if script is None or is_launcher else [script.parent]
    try:
        found = (_nearest_name(start) for start in [*(start.resolve() for start in starts), Path.cwd()])
        return next(filter(None, found), "")
    except OSError:  # a folder that may not be read, or no longer exists
        return ""


def _nearest_name(folder: Path) -> str:
    """Return the first name of a project in a folder and those above it, up to the root of a repository."""
    for each in (folder, *folder.parents):
        with suppress(OSError, UnicodeDecodeError), (each / "pyproject.toml").open(encoding="utf-8") as file:
            table = _TABLE.search(file.read(_LARGEST))
            name = _NAME.search(table[1]) if table else None
            if name:
                return name[1]
        if (each / ".git").exists():
            break
    return ""


def _without_private_parts(program: str) -> str:
    """Return `dagster` for `dagster._daemon`: a module that users do not name."""
    return program.partition("._")[0]


def _script(argv: Sequence[str]) -> Path | None:
    """Return the path of the script that a command line runs, None if it runs a module or a command."""
    argument = _program_argument(argv)
    return None if argument.startswith("-") or not argument else Path(argument)


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
    argument = _program_argument(argv)
    if argument.startswith("-m"):
        return argument[2:].removesuffix(".__main__")
    if argument.startswith("-"):
        return ""
    path = PurePath(argument)
    return path.parent.name if path.name == "__main__.py" else path.name.removesuffix(".py")


def _program_argument(argv: Sequence[str]) -> str:
    """Return the path of the script, `-m` with the module, `-c`, or empty."""
    arguments = iter(argv[1:])
    for argument in arguments:
        if argument.startswith("-m"):
            return f"-m{argument[2:] or next(arguments, '')}"
        if argument.startswith("-c") or argument == "-":
            return "-c"
        if argument in _WITH_VALUE:
            next(arguments, None)
        elif not argument.startswith("-"):
            return argument
    return ""
