"""Compare a ConfigMap with its manifest, and apply the manifest again if somebody has changed it by hand.

    python -m assay.cli._demo.workload.drift NAME NAMESPACE TEXT

The Kubernetes client does not know what git holds, so the program calls the API of the ALUMIINI
instrumentation.
"""

# pyright: basic
# The Kubernetes client has no types.

import sys

import kubernetes
from opentelemetry.instrumentation.alumiini import drift_corrected, drift_detected, sync


def main(name: str, namespace: str, text: str) -> None:
    """Correct the text in the ConfigMap."""
    kubernetes.config.load_config()
    core = kubernetes.client.CoreV1Api()
    with sync("shop", trigger="reconcile", namespace=namespace):
        if core.read_namespaced_config_map(name, namespace).data != {"text": text}:
            drift_detected("ConfigMap", name)
            core.patch_namespaced_config_map(name, namespace, {"data": {"text": text}})
            drift_corrected("ConfigMap", name)


if __name__ == "__main__":
    main(*sys.argv[1:])
