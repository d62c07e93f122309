"""CDEvents v0.5.1 as strict models: what an event must be before it leaves, and what a received one must be.

```python
event = parse(json.loads(line))  # raises InvalidEvent naming each field and reason
```

The models accept what the official JSON schemas accept and nothing else; the tests hold them to that. Which
event type has which content is the table in `assay.exporters.cdevents.vocabulary`.

Source: https://github.com/cdevents/spec, v0.5.1, `spec.md`, `links.md` and the schemas of each subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, cast

from pydantic import ConfigDict, Field, ValidationError, create_model

from assay.exporters.cdevents import vocabulary
from assay.exporters.cdevents.errors import Fault, InvalidEvent
from assay.exporters.cdevents.primitives import DateTime, Maybe, NonEmpty, Strict, Uri, UriReference

SPEC_VERSION = "0.5.1"
CUSTOM_TYPE = r"^dev\.cdeventsx\.[a-zA-Z0-9]+-[a-zA-Z]+\.[a-zA-Z]+\.[0-9]\.[0-9]\.[0-9]$"

Tags = dict[str, Any]


class LinkOrigin(Strict):
    """The event that a link comes from. The schemas let it have further members."""

    model_config = ConfigDict(extra="allow")

    context_id: NonEmpty


class LinkTarget(Strict):
    """The event that a relation points to. The schemas let it have further members, and even no id."""

    model_config = ConfigDict(extra="allow")

    context_id: Maybe[NonEmpty] = None


class PathLink(Strict):
    """This event follows from that one."""

    link_type: Literal["PATH"]
    origin: LinkOrigin = Field(alias="from")
    tags: Maybe[Tags] = None


class EndLink(Strict):
    """This event ends the chain."""

    link_type: Literal["END"]
    origin: Maybe[LinkOrigin] = Field(default=None, alias="from")
    tags: Maybe[Tags] = None


class RelationLink(Strict):
    """This event has to do with that one, in the way that `link_kind` says."""

    link_type: Literal["RELATION"]
    link_kind: NonEmpty
    target: LinkTarget
    tags: Maybe[Tags] = None


Link = Annotated[PathLink | EndLink | RelationLink, Field(discriminator="link_type")]


class LooseContext(Strict):
    """Context of the testing subjects' events, whose source the schemas leave free."""

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
    """Subject of a custom event, whose content is free."""

    content: dict[str, Any]


class CDEvent(Strict):
    """What is the same in all events. Each type has a model of its own, see `model_of`."""

    context: LooseContext
    subject: LooseSubject
    custom_data: Maybe[dict[str, Any] | str] = None
    custom_data_content_type: Maybe[str] = None

    def document(self) -> dict[str, Any]:
        """Return the event as JSON values."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class CustomContext(Context):
    """Context of an event of somebody's own type: `dev.cdeventsx.<tool>-<subject>.<predicate>.<version>`."""

    type: Annotated[str, Field(pattern=CUSTOM_TYPE)]


class CustomEvent(CDEvent):
    """An event of a type that is somebody's own."""

    context: CustomContext  # pyright: ignore[reportIncompatibleVariableOverride]  the models are frozen
    subject: CustomSubject  # pyright: ignore[reportIncompatibleVariableOverride]  as above


_BRANCHES = {"PATH", "END", "RELATION", "dict[str,any]", "str"}


def model_of(event_type: str) -> type[CDEvent]:
    """Return the model of a whole event type, such as `dev.cdevents.taskrun.finished.0.3.0`.

    Raises:
        InvalidEvent: The specification knows no such type.
    """
    if event_type.startswith("dev.cdeventsx."):
        return CustomEvent
    name = event_type.removeprefix("dev.cdevents.")
    if name == event_type or name not in vocabulary.EVENTS:
        raise InvalidEvent([Fault("context.type", vocabulary.unknown(event_type))])
    return _standard(name)


@cache
def _standard(name: str) -> type[CDEvent]:
    """Make the model of a row of the vocabulary, once."""
    shape = vocabulary.EVENTS[name]
    loose = name.partition(".")[0] in vocabulary.LOOSE
    title = name.replace(".", "_")
    content = create_model(f"{title}_content", __base__=Strict, **_fields(shape))
    members: dict[str, Any] = {"content": (content, ...), **_fields(vocabulary.SUBJECT.get(name, {}))}
    subject: Any = create_model(f"{title}_subject", __base__=LooseSubject if loose else Subject, **members)
    context: Any = LooseContext if loose else Context
    return create_model(title, __base__=CDEvent, context=(context, ...), subject=(subject, ...))


def _fields(shape: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a row of the vocabulary into pydantic's fields: a name that ends in `!` is required."""
    fields: dict[str, Any] = {}
    for name, kind in shape.items():
        # Only the alias counts; the underscore keeps a member from shadowing a method of pydantic's.
        if name.endswith("!"):
            fields[f"{name[:-1]}_"] = (kind, Field(alias=name[:-1]))
        else:
            fields[f"{name}_"] = (Maybe[kind], Field(default=None, alias=name))
    return fields


def parse(document: object) -> CDEvent:
    """Return a document as the event that it is.

    Args:
        document: JSON values, as `json.loads` gives them.

    Raises:
        InvalidEvent: It is none, with every fault found.
    """
    if not isinstance(document, dict):
        raise InvalidEvent([Fault("", "is no JSON object")])
    members = cast("dict[str, Any]", document)
    context: Any = members.get("context")
    event_type: Any = cast("dict[str, Any]", context).get("type") if isinstance(context, dict) else None
    model = model_of(event_type) if isinstance(event_type, str) else CDEvent
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise InvalidEvent([_fault(detail) for detail in error.errors(include_url=False)]) from None


def _fault(detail: Mapping[str, Any]) -> Fault:
    # The branch of a union that pydantic tried stands in the path, and is no member of the document.
    path = [str(part) for part in detail["loc"] if part not in _BRANCHES]
    return Fault(".".join(path), str(detail["msg"]).removeprefix("Value error, "))
