"""Kinds of resources by the last part of their URL.

A request to delete does not say the kind, and the kind in a manifest that is refused may be any text. The
built-in kinds are listed; those of custom resources are learned from requests that the API server accepted.
"""

from __future__ import annotations

_BUILT_IN_KINDS = (
    *("Binding", "ConfigMap", "Endpoints", "LimitRange", "Namespace", "Node", "PersistentVolumeClaim"),
    *("PersistentVolume", "Pod", "PodTemplate", "ReplicationController", "ResourceQuota", "Secret"),
    *("ServiceAccount", "Service", "ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet"),
    *("StatefulSet", "HorizontalPodAutoscaler", "CronJob", "Job", "EndpointSlice", "IngressClass", "Ingress"),
    *("NetworkPolicy", "PodDisruptionBudget", "ClusterRoleBinding", "ClusterRole", "RoleBinding", "Role"),
    *("PriorityClass", "StorageClass", "CSIDriver", "CSINode", "VolumeAttachment", "RuntimeClass"),
    *("CustomResourceDefinition", "APIService", "MutatingWebhookConfiguration", "FlowSchema"),
    *("ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    *("PriorityLevelConfiguration", "CertificateSigningRequest"),
)
_LEARNED_LIMIT = 1000


def plural_of(kind: str) -> str:
    """Return the last part of the URL of a built-in kind (Kubernetes, "API Concepts", "Resource URIs")."""
    lower = kind.lower()
    if lower.endswith("s") and lower != "ingress" and not lower.endswith("class"):
        return lower  # Endpoints
    if lower.endswith("ss"):
        return f"{lower}es"
    return f"{lower[:-1]}ies" if lower.endswith("y") else f"{lower}s"


_BY_PLURAL = {plural_of(kind): kind for kind in _BUILT_IN_KINDS}
_learned: dict[tuple[str, str], str] = {}


def known_kind(group: str, plural: str) -> str | None:
    """Return the kind of a resource; None if it has to be learned.

    Args:
        group: API group; empty for the core group.
        plural: The resource's name in URLs.
    """
    is_built_in = "." not in group or group.endswith(".k8s.io")
    return (_BY_PLURAL.get(plural) if is_built_in else None) or _learned.get((group, plural))


def learn(group: str, plural: str, kind: str) -> None:
    """Note the kind of a resource that the API server accepted."""
    if len(_learned) < _LEARNED_LIMIT:
        _learned[group, plural] = kind
