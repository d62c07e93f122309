"""The programs of the example `examples/gitops` as processes under `opentelemetry-instrument`."""

import contextlib
import hashlib
import hmac
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Mapping
from http.client import HTTPConnection
from pathlib import Path

from assay.cli._demo.launcher import instrumented
from assay.instrumentation.testing import free_port, wait_until

EXAMPLES = (Path(__file__).with_name("examples"), Path(__file__).parents[6] / "examples")
"""The example is data of this distribution; a checkout has it in its own folder."""
SECRET = "the-secret-of-the-webhook"  # noqa: S105 - of a repository that exists for a minute
AGENT = "GitHub-Hookshot/044aadd"
STOP_SECONDS = 120


def example_folder() -> Path:
    """Return the folder of the example."""
    return next(folder / "gitops" for folder in EXAMPLES if folder.is_dir())


class Programs:
    """Starts the controller and the receiver of its webhooks.

    Args:
        folder: Folder of the controller's clones and of the programs' output.
        environment: All variables of the programs.

    Attributes:
        answers: The statuses of the receiver's answers, and how many had each.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.clones, self.log = folder / "clones", folder / "controller.log"
        self._receiver_log = folder / "receiver.log"
        self._environment = {**environment, "GITOPS_CLONES": str(self.clones)}
        self._port = free_port()
        self.answers: Counter[int] = Counter()

    def start_controller(self, *scripts: Path, interval: float) -> subprocess.Popen[bytes]:
        """Start the controller.

        Args:
            scripts: Further scripts of kopf, which run in the same process.
            interval: Seconds between two reconciliations.
        """
        kopf = str(Path(sys.executable).with_name("kopf"))
        command = [
            kopf,
            "run",
            "--standalone",
            "--namespace",
            "gitops",
            str(example_folder() / "controller.py"),
            *map(str, scripts),
        ]
        return self._start(command, self.log, {"GITOPS_INTERVAL": str(interval)})

    @contextlib.contextmanager
    def controller(self, *scripts: Path, interval: float) -> Generator[subprocess.Popen[bytes]]:
        """Run the controller while the block runs; the arguments are those of `start_controller`."""
        process = self.start_controller(*scripts, interval=interval)
        with _ended(process):
            yield process

    @contextlib.contextmanager
    def receiver(self) -> Generator[None]:
        """Run the receiver while the block runs."""
        command = [sys.executable, str(example_folder() / "receiver.py"), str(self._port)]
        process = self._start(command, self._receiver_log, {"GITOPS_WEBHOOK_SECRET": SECRET})
        with _ended(process):
            wait_until(lambda: self.push("none", "none", secret="wrong") == 401)  # noqa: PLR2004, S106
            yield

    def run(self, module: str, *arguments: str) -> None:
        """Run another script of the workload to its end, with the rights of the controller.

        Raises:
            RuntimeError: It failed.
        """
        package = __name__.rpartition(".")[0]
        command = [sys.executable, "-m", f"{package}.{module}", *arguments]
        process = self._start(command, self.log, {})
        if status := process.wait(STOP_SECONDS):
            raise RuntimeError(f"{module} ended with status {status}")

    def push(self, url: str, commit: str, *, secret: str = SECRET) -> int:
        """Send GitHub's webhook about a push; return the status of the answer, or 0 if there is none.

        Args:
            url: URL of the repository.
            commit: The pushed revision.
            secret: The secret of the signature.
        """
        repository = {"name": url.rpartition("/")[2].removesuffix(".git"), "clone_url": url}
        body = json.dumps({"ref": "refs/heads/main", "after": commit, "repository": repository}).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": AGENT,
            "X-GitHub-Event": "push",
            "X-Hub-Signature-256": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}",
        }
        try:
            with contextlib.closing(HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
                connection.request("POST", "/hooks/github", body, headers)
                status = connection.getresponse().status
        except OSError:
            return 0
        self.answers[status] += 1
        return status

    def _start(self, command: list[str], log: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                instrumented(*command),
                env={**self._environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Generator[None]:
    """Terminate a program when the block is left, and check its status; kill it if the block fails."""
    try:
        yield
        process.terminate()
        status = process.wait(STOP_SECONDS)
        if status:
            raise RuntimeError(f"{process.args} ended with status {status}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
