"""The wrappers of GitPython's functions.

Each git operation ends in `Git.execute`. The methods of `Repo` and `Remote` start git there and wait for it
themselves, so they are the operation, and the `execute` of the same operation inside them is a part of it. A
program that asks for the process (`repo.git.fetch(as_process=True)`) waits for it later: that operation is
reported by `wait`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from pathlib import Path
from time import monotonic_ns
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry.instrumentation.alumiini.git_operations import (
    GitAction,
    GitOperation,
    git_operation_ended,
)
from opentelemetry.instrumentation.alumiini.gitpython import _subjects
from opentelemetry.instrumentation.alumiini.gitpython._commands import parse
from opentelemetry.instrumentation.alumiini.gitpython._failures import type_of, type_of_message
from opentelemetry.instrumentation.alumiini.gitpython._subjects import Subject
from opentelemetry.instrumentation.alumiini.gitpython._working_copies import WorkingCopy

from assay.instrumentation import Call, Foreign, Hook, guarded

_PUSH_ERROR = 1024
"""`PushInfo.ERROR`: the ref was not pushed."""

_in_progress: ContextVar[GitAction | None] = ContextVar("alumiini_git_operation", default=None)
"""The operation of the GitPython method that is running."""


class Operations:
    """The wrappers.

    Args:
        request_hook: The user's request hook.
        response_hook: The user's response hook.
    """

    def __init__(self, request_hook: Hook, response_hook: Hook) -> None:
        self._request_hook = request_hook
        self._response_hook = response_hook
        self._processes: WeakKeyDictionary[Any, tuple[Subject, int]] = WeakKeyDictionary()

    def clone_from(self, call: Call) -> Foreign:
        """Wrap `Repo.clone_from(url, to_path)`."""
        url, target = os.fspath(call.argument("url")), os.fspath(call.argument("to_path"))
        return self._observe(call, _subjects.of_clone(url, Path(target)))

    def clone(self, call: Call) -> Foreign:
        """Wrap `Repo.clone(path)`, which clones a local repository."""
        url = str(call.instance.common_dir).removesuffix(f"{os.sep}.git")
        folder = Path(call.instance.git.working_dir or os.curdir)
        return self._observe(call, _subjects.of_clone(url, folder / os.fspath(call.argument("path"))))

    def fetch(self, call: Call) -> Foreign:
        """Wrap `Remote.fetch`."""
        return self._observe_remote(call, "fetch")

    def pull(self, call: Call) -> Foreign:
        """Wrap `Remote.pull`."""
        return self._observe_remote(call, "pull")

    def push(self, call: Call) -> Foreign:
        """Wrap `Remote.push`, which returns failures instead of raising them."""
        return self._observe_remote(call, "push", _push_error)

    def execute(self, call: Call) -> Foreign:
        """Wrap `Git.execute`, which runs every git command."""
        command = parse(call.argument("command"), str(call.instance.working_dir or os.curdir))
        if command is None or command.action == _in_progress.get():
            return call()
        subject = _subjects.of_command(command)
        if call.argument("as_process"):
            return self._start(call, subject)
        if not call.argument("with_exceptions"):
            return self._observe_status(call, subject)
        return self._observe(call, subject)

    def wait(self, call: Call) -> Foreign:
        """Wrap `AutoInterrupt.wait`, which ends a process that was started by `execute`."""
        process = call.instance.proc
        started = None if process is None else self._processes.pop(process, None)
        if started is None:
            return call()
        try:
            result = call()
        except BaseException as error:
            _report_ended(*started, error)
            raise
        _report_ended(*started, None)
        return result

    def _observe_remote(
        self, call: Call, action: GitAction, find_error: Callable[[Foreign], str] | None = None
    ) -> Foreign:
        remote = call.instance
        repo = remote.repo
        copy = WorkingCopy(os.fspath(repo.git_dir), os.fspath(repo.common_dir))
        subject = _subjects.of_remote(action, copy, str(remote.name))
        return self._observe(call, subject, find_error)

    def _observe_status(self, call: Call, subject: Subject) -> Foreign:
        """Observe a command whose caller wants no exception; git's status is asked for instead."""
        is_extended = call.argument("with_extended_output")
        call.replace("with_extended_output", value=True)
        result = self._observe(call, subject, _status_error)
        return result if is_extended else result[1]

    def _observe(
        self, call: Call, subject: Subject, find_error: Callable[[Foreign], str] | None = None
    ) -> Foreign:
        """Call GitPython inside the span of an operation.

        Args:
            call: The call.
            subject: What the operation is about.
            find_error: Returns the error that a result stands for; empty if it stands for none.
        """
        operation = GitOperation(
            subject.action,
            subject.repository,
            details=(subject.action,),
            request_hook=self._request_hook,
            response_hook=self._response_hook,
        )
        outer = _in_progress.get()
        _in_progress.set(subject.action)
        try:
            with operation:
                try:
                    result = call()
                except BaseException as error:
                    operation.explain(type_of(error))
                    raise
                operation.respond(result)
                _finish(operation, subject, find_error(result) if find_error else "")
        finally:
            _in_progress.set(outer)
        return result

    def _start(self, call: Call, subject: Subject) -> Foreign:
        began = monotonic_ns()
        process = call()
        self._processes[process.proc] = (subject, began)
        return process


@guarded
def _finish(operation: GitOperation, subject: Subject, error: str) -> None:
    if error:
        operation.fail(error, type_of_message(error))
        return
    known = subject.after(duration_ns=operation.duration_ns)
    if known is not None:
        operation.learn(known)


@guarded
def _report_ended(subject: Subject, began_ns: int, error: BaseException | None) -> None:
    duration = monotonic_ns() - began_ns
    if error is not None:
        git_operation_ended(
            subject.action, subject.repository, duration_ns=duration, error=error, detail=type_of(error)
        )
        return
    git_operation_ended(subject.action, subject.after(duration_ns=duration), duration_ns=duration)


def _status_error(result: Foreign) -> str:
    status, _, stderr = result
    return (str(stderr) or f"exit code {status}") if status else ""


def _push_error(result: Foreign) -> str:
    """Return the error of a push that GitPython returned: its own, and the reasons of refs not pushed."""
    infos: Iterable[Foreign] = result or ()
    found = [str(info.summary).strip() for info in infos if info.flags & _PUSH_ERROR]
    error = getattr(result, "error", None)
    return "\n".join([*found, *([] if error is None else [str(error)])])
