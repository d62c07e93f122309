"""Strict models of CDEvents v0.5.1, which every sent and every received event must satisfy.

```python
event = parse(json.loads(line))  # raises InvalidEvent naming each field and reason
```

The models accept exactly the documents that the official JSON schemas accept; the tests compare the two. The
table in `_vocabulary` defines the content of each event type.

Source: https://github.com/cdevents/spec, v0.5.1, `spec.md`, `links.md` and the schemas of each subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, cast

from pydantic import ConfigDict, Field, ValidationError, create_model

from assay.exporters.cdevents import _vocabulary
from assay.exporters.cdevents._primitives import DateTime, Maybe, NonEmpty, Strict, Uri, UriReference
from assay.exporters.cdevents.errors import Fault, InvalidEvent

CUSTOM_TYPE = r"^dev\.cdeventsx\.[a-zA-Z0-9]+-[a-zA-Z]+\.[a-zA-Z]+\.[0-9]\.[0-9]\.[0-9]$"

Tags = dict[str, Any]


class LinkOrigin(Strict):
    """The event at the start of a link. The schemas allow further members."""

    model_config = ConfigDict(extra="allow")

    context_id: NonEmpty


class LinkTarget(Strict):
    """The event at the end of a relation. The schemas allow further members and do not require an id."""

    model_config = ConfigDict(extra="allow")

    context_id: Maybe[NonEmpty] = None


class PathLink(Strict):
    """A link to the event that this event follows from."""

    link_type: Literal["PATH"]
    origin: LinkOrigin = Field(alias="from")
    tags: Maybe[Tags] = None


class EndLink(Strict):
    """A link that marks the last event of a chain."""

    link_type: Literal["END"]
    origin: Maybe[LinkOrigin] = Field(default=None, alias="from")
    tags: Maybe[Tags] = None


class RelationLink(Strict):
    """A relation to another event, of the kind `link_kind`."""

    link_type: Literal["RELATION"]
    link_kind: NonEmpty
    target: LinkTarget
    tags: Maybe[Tags] = None


Link = Annotated[PathLink | EndLink | RelationLink, Field(discriminator="link_type")]


class LooseContext(Strict):
    """Context of the testing subjects' events, whose source may be any text."""

    specversion: NonEmpty
    id: NonEmpty
    source: NonEmpty
    type: str
    timestamp: DateTime
    schema_uri: Maybe[Uri] = None
    chain_id: Maybe[NonEmpty] = None
    links: Maybe[list[Link]] = None


class Context(LooseContext):
    """Context of every other event."""

    source: UriReference


class LooseSubject(Strict):
    """Subject of the testing subjects' events."""

    id: NonEmpty
    source: Maybe[str] = None
    content: Any


class Subject(LooseSubject):
    """Subject of every other event."""

    source: Maybe[UriReference] = None


class CustomSubject(Subject):
    """Subject of a custom event, whose content may be any object."""

    content: dict[str, Any]


class CDEvent(Strict):
    """Base model of all events. Each type has its own model, see `model_of`."""

    context: LooseContext
    subject: LooseSubject
    custom_data: Maybe[dict[str, Any] | str] = None
    custom_data_content_type: Maybe[str] = None

    def document(self) -> dict[str, Any]:
        """Return the event as JSON values."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class CustomContext(Context):
    """Context of a custom event, of type `dev.cdeventsx.<tool>-<subject>.<predicate>.<version>`."""

    type: Annotated[str, Field(pattern=CUSTOM_TYPE)]


class CustomEvent(CDEvent):
    """An event of a custom type."""

    context: CustomContext  # pyright: ignore[reportIncompatibleVariableOverride]  the models are frozen
    subject: CustomSubject  # pyright: ignore[reportIncompatibleVariableOverride]  the models are frozen


_UNION_BRANCHES = {"PATH", "END", "RELATION", "dict[str,any]", "str"}


def model_of(event_type: str) -> type[CDEvent]:
    """Return the model of an event type, such as `dev.cdevents.taskrun.finished.0.3.0`.

    Raises:
        InvalidEvent: The specification does not define the type.
    """
    if event_type.startswith("dev.cdeventsx."):
        return CustomEvent
    name = event_type.removeprefix("dev.cdevents.")
    if name == event_type or name not in _vocabulary.EVENTS:
        raise InvalidEvent([Fault("context.type", _vocabulary.unknown(event_type))])
    return _standard_model(name)


@cache
def _standard_model(name: str) -> type[CDEvent]:
    """Create the model of a row of the vocabulary."""
    shape = _vocabulary.EVENTS[name]
    loose = name.partition(".")[0] in _vocabulary.LOOSE
    title = name.replace(".", "_")
    content = create_model(f"{title}_content", __base__=Strict, **_fields(shape))
    members: dict[str, Any] = {"content": (content, ...), **_fields(_vocabulary.SUBJECT.get(name, {}))}
    subject: Any = create_model(f"{title}_subject", __base__=LooseSubject if loose else Subject, **members)
    context: Any = LooseContext if loose else Context
    return create_model(title, __base__=CDEvent, context=(context, ...), subject=(subject, ...))


def _fields(shape: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a row of the vocabulary to pydantic fields: a name that ends in `!` is required."""
    fields: dict[str, Any] = {}
    for name, kind in shape.items():
        # The alias is the member's name; the underscore prevents a clash with pydantic's methods.
        if name.endswith("!"):
            fields[f"{name[:-1]}_"] = (kind, Field(alias=name[:-1]))
        else:
            fields[f"{name}_"] = (Maybe[kind], Field(default=None, alias=name))
    return fields


def parse(document: object) -> CDEvent:
    """Validate a document and return it as an event.

    Args:
        document: JSON values, as `json.loads` returns them.

    Raises:
        InvalidEvent: The document is not a valid CDEvent; the error has every fault found.
    """
    if not isinstance(document, dict):
        raise InvalidEvent([Fault("", "is not a JSON object")])
    members = cast("dict[str, Any]", document)
    context: Any = members.get("context")
    event_type: Any = cast("dict[str, Any]", context).get("type") if isinstance(context, dict) else None
    model = model_of(event_type) if isinstance(event_type, str) else CDEvent
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise InvalidEvent([_fault(detail) for detail in error.errors(include_url=False)]) from None


def _fault(detail: Mapping[str, Any]) -> Fault:
    # Pydantic adds the branch of a union to the path, which is not a member of the document.
    path = [str(part) for part in detail["loc"] if part not in _UNION_BRANCHES]
    return Fault(".".join(path), str(detail["msg"]).removeprefix("Value error, "))
