"""Git repositories behind a real git server, and git's own record of the operations on them."""

import contextlib
import json
import os
import socket
import subprocess
from collections import Counter
from collections.abc import Generator, Mapping
from pathlib import Path

from assay.instrumentation.testing import free_port, wait_until

AUTHOR = ("-c", "user.name=Ines", "-c", "user.email=ines@example.com", "-c", "init.defaultBranch=main")
OPERATIONS = {
    name: name.replace("-", "_") for name in ("clone", "fetch", "pull", "push", "checkout", "ls-remote")
}
TRACE = "GIT_TRACE2_EVENT"
"""Variable with the folder in which each git process leaves a file of what it does (git, "trace2 API")."""


class GitHost:
    """Repositories, and a git daemon that serves them on loopback.

    Args:
        folder: Folder for them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()

    def url(self, name: str) -> str:
        """Return the URL of a repository."""
        return f"git://127.0.0.1:{self._port}/{name}.git"

    def bare(self, name: str) -> Path:
        """Return the folder of a repository."""
        return self._folder / "served" / f"{name}.git"

    @contextlib.contextmanager
    def serving(self) -> Generator[subprocess.Popen[bytes]]:
        """Serve the repositories while the block runs; yield the daemon."""
        daemon = Path(_run("git", "--exec-path")) / "git-daemon"
        served = self._folder / "served"
        served.mkdir(parents=True, exist_ok=True)
        options = [
            "--listen=127.0.0.1",
            f"--port={self._port}",
            "--reuseaddr",
            "--export-all",
            "--enable=receive-pack",
        ]
        with (self._folder / "daemon.log").open("ab") as log:
            process = subprocess.Popen(
                [str(daemon), *options, f"--base-path={served}", str(served)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(self._answers, interval=0.05)
            yield process
        finally:
            process.terminate()
            process.wait()

    def commit(self, name: str, files: Mapping[str, str]) -> str:
        """Commit files to a repository's branch `main`, and return the revision; create it if need be."""
        work, bare = self._folder / "work" / name, self.bare(name)
        if not work.exists():
            _run("git", *AUTHOR, "init", "--quiet", "--bare", str(bare))
            _run("git", *AUTHOR, "init", "--quiet", str(work))
        for path, text in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text, encoding="utf-8")
        _run("git", *AUTHOR, "add", "--all", folder=work)
        _run("git", *AUTHOR, "commit", "--quiet", "--message", f"Change {', '.join(files)}", folder=work)
        _run("git", "push", "--quiet", "--force", str(bare), "main", folder=work)
        return _run("git", "rev-parse", "HEAD", folder=work)

    def reset(self, name: str, commit: str) -> None:
        """Set a repository's branch `main` back to an older revision."""
        _run("git", "update-ref", "refs/heads/main", commit, folder=self.bare(name))

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=5):
            return True
        return False


def operations(traces: Path) -> Counter[tuple[str, str]]:
    """Return what git itself has recorded: (operation, `success` or `failure`) to the number of processes.

    Args:
        traces: The folder in `GIT_TRACE2_EVENT`.
    """
    return Counter(found for path in traces.iterdir() if (found := _operation(path)))


def counted(traces: Path) -> Counter[str]:
    """Return the number of git processes of each operation, as git itself has recorded them."""
    total: Counter[str] = Counter()
    for (operation, _), count in operations(traces).items():
        total[operation] += count
    return total


def reflog(clone: Path, ref: str) -> list[str]:
    """Return the messages in the reflog of a ref, oldest first; none if the ref was never changed.

    Args:
        clone: The clone's folder.
        ref: Name of the ref, such as `refs/remotes/origin/main`.
    """
    log = clone / ".git" / "logs" / ref
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return [line.partition("\t")[2] for line in lines]


def _operation(trace: Path) -> tuple[str, str] | None:
    name, code = "", 0
    for line in trace.read_text("utf-8").splitlines():
        event = json.loads(line)
        if "/" in event["sid"]:  # a child of another git process
            return None
        if event["event"] == "cmd_name":
            name = event["name"]
        elif event["event"] == "exit":
            code = event["code"]
    return (OPERATIONS[name], "failure" if code else "success") if name in OPERATIONS else None


def _run(*command: str, folder: Path | None = None) -> str:
    """Run a command without the settings of the machine, and return its output."""
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    variables = {key: value for key, value in os.environ.items() if key != TRACE}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**variables, **quiet},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
