"""Wire GitPython: its methods that run git, and every git process that it starts."""

from __future__ import annotations

from opentelemetry.instrumentation.alumiini.gitpython._operations import Operations
from opentelemetry.instrumentation.alumiini.instrumentor import ALUMIINI

from assay.instrumentation import HookPoint, Hooks, LibraryInstrumentor, Patches, Target


class GitPythonInstrumentor(LibraryInstrumentor):
    """Makes GitPython emit ALUMIINI's git events.

    Args (of `instrument`):
        request_hook: Called as `request_hook(span, operation)` when the span has started; `operation` is
            `clone`, `fetch`, `pull`, `push`, `checkout` or `ls_remote`.
        response_hook: Called as `response_hook(span, operation, result)` before it ends, with GitPython's
            result, or its exception.
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones.
    """

    subsystem = ALUMIINI
    dependencies = ("GitPython >= 3.1.41",)
    hook_points = (
        HookPoint("request_hook", "ASSAY_GITPYTHON_REQUEST_HOOK"),
        HookPoint("response_hook", "ASSAY_GITPYTHON_RESPONSE_HOOK"),
    )

    def patch(self, patches: Patches, hooks: Hooks) -> None:
        """Patch GitPython."""
        operations = Operations(hooks["request_hook"], hooks["response_hook"])
        patches.wrap(Target("git.repo.base", "Repo.clone_from"), operations.clone_from)
        patches.wrap(Target("git.repo.base", "Repo.clone"), operations.clone)
        patches.wrap(Target("git.remote", "Remote.fetch"), operations.fetch)
        patches.wrap(Target("git.remote", "Remote.pull"), operations.pull)
        patches.wrap(Target("git.remote", "Remote.push"), operations.push)
        patches.wrap(Target("git.cmd", "Git.execute"), operations.execute)
        patches.wrap(Target("git.cmd", "Git.AutoInterrupt.wait"), operations.wait)
