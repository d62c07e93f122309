"""What other processes, signals, the garbage collector and the interpreter's end do to the bus."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from opentelemetry import trace

from assay.telemetry import attach, bridge, bus, execute, span
from assay.telemetry._bridge.open_spans import open_spans

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
# From 3.12 on Python warns of forking with threads; that is what is shown to work.
forks_with_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def in_child(body):
    """Return the exit code of a forked child that ran `body`."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if body() else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


@forks
@forks_with_threads
@pytest.mark.parametrize(("owner", "lock"), [(bus, "_write_lock"), (bridge, "_lock")])
def test_a_child_goes_on_though_a_thread_held_a_lock_at_the_fork(owner, lock):
    held, release = threading.Event(), threading.Event()

    def hold():
        with getattr(owner, lock):
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    try:

        def body():
            signal.alarm(10)
            got = []
            attach("child", "a.b", lambda *_: got.append(1))
            execute("a.b")
            bridge.relay_recordings(lambda *_: None)
            return got == [1]

        assert in_child(body) == 0
    finally:
        release.set()
        thread.join()


@forks
@forks_with_threads
def test_a_child_s_spans_are_children_of_the_parent_s_which_it_does_not_end(otel):
    with span("f.outer"):
        [key] = open_spans("f.outer").by_key

        def body():
            with span("f.make"):
                pass
            [made] = otel.spans
            execute("f.outer.stop", {"duration": 5}, {"telemetry_span_context": key})
            return made.name == "f.make" and made.parent is not None and len(otel.spans) == 1

        assert in_child(body) == 0
    assert [s.name for s in otel.spans] == ["f.outer"]


@forks
@forks_with_threads
@pytest.mark.parametrize("leave", [sys.exit, lambda: None])
def test_a_child_that_leaves_its_parent_s_span_ends_nothing(otel, seen, leave):
    def body():
        try:
            with span("f.outer"):
                if (child := os.fork()) == 0:
                    leave()
        except SystemExit:
            pass
        if child == 0:
            inside = trace.get_current_span().get_span_context().is_valid
            os._exit(3 if inside or otel.spans or len(seen) != 1 else 0)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) == 0 and len(otel.spans) == 1

    assert body()
    assert otel.span("f.outer").status.is_ok


@forks
@forks_with_threads
def test_a_child_counts_from_zero(otel):
    execute("f.make.stop", {"duration": 1}, {"asset": "x"})

    def body():
        before = otel.values("f.make.count")
        execute("f.make.stop", {"duration": 1}, {"asset": "x"})
        key = (("asset", "x"),)
        return before == {key: 0} and otel.values("f.make.count") == {key: 1}

    assert in_child(body) == 0
    assert otel.values("f.make.count") == {(("asset", "x"),): 1}


@forks
def test_children_make_ids_of_their_own():
    reader, writer = os.pipe()

    def body():
        from assay.telemetry.correlation import current

        os.write(writer, current().encode() + b"\n")
        return True

    assert in_child(body) == in_child(body) == 0
    os.close(writer)
    with os.fdopen(reader) as lines:
        assert len(set(lines.read().split())) == 2


def test_spawn(tmp_path):
    code = """
        import multiprocessing, sys
        from assay.telemetry import attach, execute

        def work(queue):
            got = []
            attach("child", "a.b", lambda *_: got.append(1))
            execute("a.b")
            queue.put(len(got))

        if __name__ == "__main__":
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            process = context.Process(target=work, args=(queue,))
            process.start()
            assert queue.get(timeout=30) == 1
            process.join()
            sys.exit(process.exitcode)
    """
    assert run(code, tmp_path).returncode == 0


def run(code, folder):
    program = folder / "program.py"
    program.write_text(textwrap.dedent(code))
    return subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=False)


def test_the_interpreter_s_end(tmp_path):
    code = """
        import atexit
        from assay.telemetry import attach, execute, span

        attach("one", "*", lambda event, *_: None)

        class Late:
            def __del__(self):
                execute("late.event", {"n": 1}, {"a": "b"})
                with span("late.span"):
                    pass

        late = Late()
        late.cycle = late
        import builtins
        builtins.kept = Late()
        atexit.register(execute, "at.exit")

        @span("late.generator")
        def numbers():
            yield 1
            yield 2

        run = numbers()
        next(run)
        print("end")
    """
    done = run(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_the_garbage_collector_in_the_middle_of_an_event(seen):
    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            execute("gc.collected", None, {"password": "x"})

    attach("collects", "a.b", lambda *_: gc.collect())
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(10):
            Cycle()
            execute("a.b", {"n": 1}, {"key": object()})
    finally:
        gc.set_threshold(*threshold)
    assert seen.names.count("gc.collected") >= 9
    assert seen.names.count("a.b") == 10


def test_a_signal_in_the_middle_of_an_event(seen):
    def on_signal(*_):
        execute("signal.came", None, {"token": "abcdefgh"})
        with span("signal.span"):
            pass

    before = signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for number in range(5000):
            execute("a.b", {"n": number}, {"asset": f"x{number}"})
            if number % 100 == 0:
                attach(f"h{number}", "h.*", lambda *_: None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen.names.count("a.b") == 5000
    assert seen.names.count("signal.came") == seen.names.count("signal.span.stop") > 0


def test_the_bus_itself_knows_nothing_of_opentelemetry():
    source = bus.__loader__.get_source(bus.__name__)
    imports = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert not [line for line in imports if "opentelemetry" in line or "semconv" in line]
