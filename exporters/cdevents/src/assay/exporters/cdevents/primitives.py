"""The kinds of values that the schemas are made of, as pydantic types."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from assay.exporters.cdevents import formats

T = TypeVar("T")


def _given(value: object) -> object:
    if value is None:
        raise ValueError("is null; leave the member out")
    return value


NonEmpty = Annotated[str, Field(min_length=1)]
Uri = Annotated[str, AfterValidator(formats.uri)]
UriReference = Annotated[str, Field(min_length=1), AfterValidator(formats.uri_reference)]
DateTime = Annotated[str, AfterValidator(formats.date_time)]
Maybe = Annotated[T | None, BeforeValidator(_given)]
"""A member that may be absent, but not null."""


class Strict(BaseModel):
    """A JSON object with exactly these members; names are camelCase on the wire. Never changed once made."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)
