"""A script of kopf that keeps 200 MB from the first change of a repository's object that it sees."""

import kopf

kept: list[bytes] = []


@kopf.on.event("gitops.example.org", "v1", "repositories")
def keep(type: str | None, **_: object) -> None:  # noqa: A002 - kopf's name
    if type == "MODIFIED" and not kept:
        kept.append(b"x" * 200_000_000)
