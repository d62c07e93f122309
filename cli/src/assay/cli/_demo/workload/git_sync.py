"""Two clones of a repository, one that pushes and one that follows: plain GitPython.

    python -m assay.cli._demo.workload.git_sync FOLDER

The program keeps the messages of revisions in a cache of its own. No library emits the accesses to such a
cache, so the program calls the API of the ALUMIINI instrumentation for them.
"""

# pyright: basic
# GitPython is only partly typed.

import sys
from pathlib import Path

import git
from opentelemetry.instrumentation.alumiini import cache_access

AUTHOR = git.Actor("Ines", "ines@example.com")
BRANCH = "main"

_messages: dict[str, str] = {}


def message_of(repository: git.Repo, commit: str) -> str:
    """Return the message of a revision."""
    cache_access("commits", hit=commit in _messages)
    if commit not in _messages:
        _messages[commit] = str(repository.commit(commit).message)
    return _messages[commit]


def push(repository: git.Repo, text: str) -> str:
    """Commit a file, push it, and return the revision."""
    file = Path(repository.working_dir) / "greeting.txt"
    file.write_text(text, encoding="utf-8")
    repository.index.add([str(file)])
    commit = repository.index.commit(f"Say {text}", author=AUTHOR, committer=AUTHOR)
    repository.remotes.origin.push(BRANCH)
    return commit.hexsha


def main(folder: Path) -> None:
    """Push three revisions; follow them by clone, fetch and pull."""
    bare = folder / "greetings.git"
    with (
        git.Repo.init(bare, bare=True, initial_branch=BRANCH),
        git.Repo.clone_from(str(bare), folder / "writer") as writer,
    ):
        writer.git.symbolic_ref("HEAD", f"refs/heads/{BRANCH}")
        push(writer, "hello")
        with git.Repo.clone_from(str(bare), folder / "reader") as reader:
            fetched = push(writer, "welcome")
            reader.remotes.origin.fetch()
            reader.git.checkout("--detach", fetched)
            message_of(reader, fetched)
            message_of(reader, fetched)
            reader.git.checkout(BRANCH)
            push(writer, "good day")
            reader.remotes.origin.pull()
            reader.git.ls_remote("origin")
            gone = reader.create_remote("gone", str(folder / "gone.git"))
            try:
                gone.fetch()
            except git.GitCommandError:
                reader.delete_remote(gone)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
