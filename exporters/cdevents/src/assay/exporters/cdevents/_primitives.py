"""The value types of the schemas, as pydantic types."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from assay.exporters.cdevents import _formats

T = TypeVar("T")


def _reject_null(value: object) -> object:
    if value is None:
        raise ValueError("is null: leave the member out")
    return value


NonEmpty = Annotated[str, Field(min_length=1)]
Uri = Annotated[str, AfterValidator(_formats.uri)]
UriReference = Annotated[str, Field(min_length=1), AfterValidator(_formats.uri_reference)]
DateTime = Annotated[str, AfterValidator(_formats.date_time)]
Maybe = Annotated[T | None, BeforeValidator(_reject_null)]
"""A member that may be absent but not null."""


class Strict(BaseModel):
    """A JSON object with exactly the declared members, in camelCase. Instances are immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)
