"""The event types of CDEvents v0.5.1, and the members of each type's subject content.

A row has the type with its version, then each member of the content with its value type; `!` marks a required
member.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import ConfigDict

from assay.exporters.cdevents._primitives import Maybe, NonEmpty, Strict, Uri, UriReference


class Reference(Strict):
    """Another subject, by its id and, where it is not the event's own, its source."""

    id: NonEmpty
    source: Maybe[UriReference] = None


class LooseReference(Strict):
    """Another testing subject, whose source may be any text."""

    id: NonEmpty
    source: Maybe[str] = None


class Sbom(Strict):
    """A reference to a bill of materials."""

    uri: UriReference


class TestSuite(Strict):
    """The test suite of a run."""

    id: NonEmpty
    version: Maybe[str] = None
    name: Maybe[str] = None
    uri: Maybe[Uri] = None


class TestCase(TestSuite):
    """The test case of a run."""

    type: Maybe[
        Literal["performance", "functional", "unit", "security", "compliance", "integration", "e2e", "other"]
    ] = None


class Trigger(Strict):
    """The trigger of a test run. The schemas allow further members."""

    model_config = ConfigDict(extra="allow")

    type: Maybe[Literal["manual", "pipeline", "event", "schedule", "other"]] = None
    uri: Maybe[Uri] = None


Outcome = Literal["success", "failure", "cancel", "error"]
Severity = Literal["low", "medium", "high", "critical"]
Decision = Literal["escalated", "delegate", "deferred", "requestChanges", "approved", "rejected"]

_REPOSITORY: Final = {"repository": Reference}
_NAMED_REPOSITORY: Final = {"name": str, "owner": str, "uri": Uri, "viewUrl": Uri}
_DEPLOYED: Final = {"environment!": Reference, "artifactId!": NonEmpty}
_INCIDENT: Final = {
    "description": str, "environment!": Reference, "service": Reference, "artifactId": NonEmpty,
}  # fmt: skip
_PIPELINE: Final = {"pipelineName": str, "uri": Uri}
_TASK: Final = {"taskName": str, "uri": Uri, "pipelineRun": Reference}
_CASE: Final = {"environment!": Reference, "testSuiteRun": LooseReference, "testCase": TestCase}
_SUITE: Final = {"environment!": Reference, "testSuite": TestSuite}
_TESTED: Final = {"outcome!": Outcome, "severity": Severity, "reason": str}
_TICKET: Final = {
    "summary": str, "ticketType": str, "group": str, "creator": NonEmpty, "assignees": list[str],
    "priority": str, "labels": list[str], "milestone": str, "uri!": UriReference,
}  # fmt: skip
_APPROVAL: Final = {"approvalDetailsUrl!": NonEmpty, "resourceTargetUrl!": NonEmpty}

EVENTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "artifact.deleted.0.2.0": {"user": NonEmpty},
    "artifact.downloaded.0.2.0": {"user": NonEmpty},
    "artifact.packaged.0.3.0": {"change!": Reference, "sbom": Sbom},
    "artifact.published.0.3.0": {"sbom": Sbom, "user": NonEmpty},
    "artifact.signed.0.3.0": {"signature!": NonEmpty},
    "branch.created.0.3.0": _REPOSITORY,
    "branch.deleted.0.3.0": _REPOSITORY,
    "build.finished.0.3.0": {"artifactId": str},
    "build.queued.0.3.0": {},
    "build.started.0.3.0": {},
    "change.abandoned.0.3.0": _REPOSITORY,
    "change.created.0.4.0": {"description": NonEmpty, **_REPOSITORY},
    "change.merged.0.3.0": _REPOSITORY,
    "change.reviewed.0.3.0": _REPOSITORY,
    "change.updated.0.3.0": _REPOSITORY,
    "environment.created.0.3.0": {"name": str, "uri": Uri},
    "environment.deleted.0.3.0": {"name": str},
    "environment.modified.0.3.0": {"name": str, "uri": Uri},
    "incident.detected.0.3.0": _INCIDENT,
    "incident.reported.0.3.0": {**_INCIDENT, "ticketURI!": Uri},
    "incident.resolved.0.3.0": _INCIDENT,
    "pipelinerun.finished.0.3.0": {**_PIPELINE, "outcome": Outcome, "errors": str},
    "pipelinerun.queued.0.3.0": _PIPELINE,
    "pipelinerun.started.0.3.0": {"pipelineName!": str, "uri!": Uri},
    "repository.created.0.3.0": {"name!": NonEmpty, "owner": str, "uri!": Uri, "viewUrl": Uri},
    "repository.deleted.0.3.0": _NAMED_REPOSITORY,
    "repository.modified.0.3.0": _NAMED_REPOSITORY,
    "service.deployed.0.3.0": _DEPLOYED,
    "service.published.0.3.0": {"environment": Reference},
    "service.removed.0.3.0": {"environment": Reference},
    "service.rolledback.0.3.0": _DEPLOYED,
    "service.upgraded.0.3.0": _DEPLOYED,
    "taskrun.finished.0.3.0": {**_TASK, "outcome": str, "errors": str},
    "taskrun.started.0.3.0": _TASK,
    "testcaserun.finished.0.3.0": {**_CASE, **_TESTED},
    "testcaserun.queued.0.3.0": {**_CASE, "trigger": Trigger},
    "testcaserun.skipped.0.2.0": {
        "environment": Reference, "testSuiteRun": LooseReference, "testCase": TestCase, "reason": str,
    },
    "testcaserun.started.0.3.0": {**_CASE, "trigger": Trigger},
    "testoutput.published.0.3.0": {
        "outputType!": Literal["report", "video", "image", "log", "other"], "format!": str, "uri": Uri,
        "testCaseRun": LooseReference,
    },
    "testsuiterun.finished.0.3.0": {**_SUITE, **_TESTED},
    "testsuiterun.queued.0.3.0": {**_SUITE, "trigger": Trigger},
    "testsuiterun.started.0.3.0": {**_SUITE, "trigger": Trigger},
    "ticket.closed.0.2.0": {**_TICKET, "resolution!": NonEmpty, "updatedBy": str},
    "ticket.created.0.2.0": {
        "summary!": str, "creator!": NonEmpty,
        **{name: kind for name, kind in _TICKET.items() if name not in {"summary", "creator"}},
    },
    "ticket.updated.0.2.0": {**_TICKET, "updatedBy": str},
    # From the draft after v0.5.1 (main of cdevents/spec, June 2026); sent only with `draft_types: true`.
    "approval.created.0.1.0": {**_APPROVAL, "requestor!": Uri},
    "approval.updated.0.1.0": {**_APPROVAL, "responder!": Uri, "decision!": Decision},
    "approval.closed.0.1.0": {
        **_APPROVAL, "responder!": Uri, "decision!": Decision,
        "status!": Literal["approved", "rejected", "cancelled", "expired"],
    },
}  # fmt: skip

DRAFT: Final = frozenset({"approval.created.0.1.0", "approval.updated.0.1.0", "approval.closed.0.1.0"})
"""Types that v0.5.1 does not have."""

SPEC_VERSION: Final = "0.5.1"
DRAFT_SPEC_VERSION: Final = "0.6.0-draft"


def spec_version(event_type: str) -> str:
    """Return the version of the specification that defines an event type; custom types are of v0.5.1."""
    return DRAFT_SPEC_VERSION if event_type.removeprefix("dev.cdevents.") in DRAFT else SPEC_VERSION


LOOSE: Final = frozenset({"testcaserun", "testoutput", "testsuiterun"})
"""Subjects whose events may have any text as source."""

SUBJECT: Final[Mapping[str, Mapping[str, Any]]] = {"ticket.closed.0.2.0": {"type": Literal["ticket"]}}
"""Further members of the subject itself: that of one type may still state its type."""

TYPES: Final[Mapping[str, str]] = {name.rsplit(".", 3)[0]: f"dev.cdevents.{name}" for name in EVENTS}
"""Full type by type without version, such as `taskrun.started`."""


def unknown(event_type: str) -> str:
    """Return the message for a type that the specification does not define."""
    similar = difflib.get_close_matches(event_type, TYPES.values(), n=1, cutoff=0.6)
    hint = f"; did you mean {similar[0]!r}?" if similar else "."
    return (
        f"{event_type!r} is not a type of CDEvents v0.5.1{hint} A type of your own begins with dev.cdeventsx."
    )
