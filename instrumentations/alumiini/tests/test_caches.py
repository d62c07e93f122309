"""Caches that a user has named: real ones of functools and cachetools, read through the SDK."""

import importlib.metadata
import inspect
import os
import pickle
import sys
from functools import cache, lru_cache
from types import ModuleType

import cachetools
import pytest
from opentelemetry.instrumentation.alumiini import cache_access
from opentelemetry.instrumentation.alumiini.cachetools import CachetoolsInstrumentor
from opentelemetry.instrumentation.alumiini.functools_caches import FunctoolsInstrumentor

from assay.instrumentation.testing import OTLPReceiver, clean_environment, run_instrumented, wait_until

SERIES = "alumiini.cache"
MAKERS = {
    "Cache": cachetools.Cache,
    "FIFOCache": cachetools.FIFOCache,
    "LFUCache": cachetools.LFUCache,
    "LRUCache": cachetools.LRUCache,
    "RRCache": cachetools.RRCache,
    "TTLCache": lambda size: cachetools.TTLCache(size, ttl=600),
    "TLRUCache": lambda size: cachetools.TLRUCache(size, ttu=lambda _key, _value, now: now + 600),
}
if hasattr(cachetools, "MRUCache"):  # until 6
    MAKERS["MRUCache"] = cachetools.MRUCache
PROGRAM = """
from functools import cache
import cachetools

MANIFESTS = cachetools.LRUCache(9)

@cache
def find_commit(branch):
    return branch

for _ in range(3):
    find_commit("main")
MANIFESTS["a"] = 1
MANIFESTS["a"]
MANIFESTS.get("b")
"""


@lru_cache(maxsize=2)
def find_commit(branch):
    """Return a made-up revision."""
    return f"{branch}-1"


@pytest.fixture
def instrument(telemetry):
    """Return a function that instruments an instrumentor until the test ends."""
    used = []

    def start(instrumentor, **arguments):
        instrumentor.instrument(**arguments)
        used.append(instrumentor)

    yield start
    for instrumentor in used:
        if instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.uninstrument()


@pytest.fixture
def module():
    """Return a module that the program has imported."""
    made = ModuleType("alumiini_test_module")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def accesses(telemetry):
    """Return the numbers of accesses by name and result.

    The second reading is complete: an earlier test may have created the counter already.
    """
    telemetry.points(SERIES)
    return {
        (point.attributes["cache_name"], point.attributes["result"]): point.value
        for point in telemetry.points(SERIES)
    }


def test_a_named_function_s_hits_and_misses_are_counted(telemetry, instrument):
    find_commit.cache_clear()
    instrument(FunctoolsInstrumentor(), caches={"commits": find_commit})
    for branch in ("main", "main", "next", "main"):
        find_commit(branch)
    assert accesses(telemetry) == {("commits", "hit"): 2, ("commits", "miss"): 2}
    find_commit("main")
    assert accesses(telemetry) == {("commits", "hit"): 3, ("commits", "miss"): 2}


def test_the_total_does_not_fall_when_a_cache_is_cleared(telemetry, instrument):
    find_commit.cache_clear()
    instrument(FunctoolsInstrumentor(), caches={"commits": find_commit})
    find_commit("main")
    find_commit("main")
    assert accesses(telemetry) == {("commits", "hit"): 1, ("commits", "miss"): 1}
    find_commit.cache_clear()
    find_commit("main")
    assert accesses(telemetry) == {("commits", "hit"): 1, ("commits", "miss"): 2}


def test_the_setting_names_caches_that_are_made_later(telemetry, instrument, module, monkeypatch, caplog):
    monkeypatch.setenv(
        "ASSAY_CACHES", "revisions = alumiini_test_module:Finder.find , bad, absent=no_module:cache"
    )
    instrument(FunctoolsInstrumentor())
    assert accesses(telemetry) == {}

    class Finder:
        @staticmethod
        @cache
        def find(branch):
            return branch

    module.Finder = Finder
    Finder.find("main")
    assert accesses(telemetry) == {("revisions", "miss"): 1}
    assert "'bad' is not used" in caplog.text


def test_the_events_of_the_typed_function_are_counted_beside_them(telemetry, instrument):
    find_commit.cache_clear()
    instrument(FunctoolsInstrumentor(), caches={"commits": find_commit})
    find_commit("main")
    cache_access("own", hit=True)
    assert accesses(telemetry) == {
        ("commits", "miss"): 1,
        ("own", "hit"): 1,
    }


def test_a_forked_child_counts_its_own_accesses_only(telemetry, instrument):
    find_commit.cache_clear()
    instrument(FunctoolsInstrumentor(), caches={"commits": find_commit})
    find_commit("main")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            find_commit("main")
            status = 0 if accesses(telemetry) == {("commits", "hit"): 1} else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_program_s_function_is_the_same_object_as_before(instrument):
    before = find_commit
    instrument(FunctoolsInstrumentor(), caches={"commits": find_commit})
    assert find_commit is before
    assert pickle.loads(pickle.dumps(find_commit)) is find_commit
    assert list(inspect.signature(find_commit).parameters) == ["branch"]


@pytest.mark.parametrize("kind", MAKERS)
def test_the_hits_and_misses_of_a_named_cache_are_counted(telemetry, instrument, kind):
    named, other = MAKERS[kind](2), MAKERS[kind](2)
    instrument(CachetoolsInstrumentor(), caches={"manifests": named})
    for each in (named, other):
        each["a"] = 1
        assert each["a"] == 1
        assert each.get("a") == 1
        assert each.get("b", "absent") == "absent"
        with pytest.raises(KeyError, match="b"):
            each["b"]
    assert accesses(telemetry) == {("manifests", "hit"): 2, ("manifests", "miss"): 2}


@pytest.mark.parametrize("kind", MAKERS)
def test_adding_removing_and_evicting_items_is_not_an_access(telemetry, instrument, kind):
    named = MAKERS[kind](2)
    instrument(CachetoolsInstrumentor(), caches={"manifests": named})
    for key in "abc":
        named[key] = key
    named.setdefault("d", "d")
    if kind != "Cache":  # whose `popitem` is that of `collections.abc`
        named.popitem()
    named.pop("absent", None)
    assert accesses(telemetry) == {}


def test_expired_items_are_misses_and_expiring_them_is_not_an_access(telemetry, instrument):
    now = [0.0]
    named = cachetools.TTLCache(9, ttl=10, timer=lambda: now[0])
    instrument(CachetoolsInstrumentor(), caches={"manifests": named})
    named["a"] = 1
    now[0] = 11.0
    assert named.get("a") is None
    named.expire()
    assert accesses(telemetry) == {("manifests", "miss"): 1}


def test_a_cache_that_makes_missing_values_misses_when_it_makes_one(telemetry, instrument):
    class Squares(cachetools.LRUCache):
        def __missing__(self, key):
            self[key] = key * key
            return self[key]

    named = Squares(9)
    instrument(CachetoolsInstrumentor(), caches={"squares": named})
    assert [named[3], named[3]] == [9, 9]
    assert accesses(telemetry) == {("squares", "hit"): 1, ("squares", "miss"): 1}


@pytest.mark.parametrize("has_info", [False, True])
def test_a_decorated_function_may_be_named(telemetry, instrument, has_info):
    @cachetools.cached(cachetools.LRUCache(9), info=has_info)
    def double(number):
        return 2 * number

    instrument(CachetoolsInstrumentor(), caches={"doubles": double})
    instrument(FunctoolsInstrumentor(), caches={"doubles": double})
    assert [double(2), double(2), double(3)] == [4, 4, 6]
    assert accesses(telemetry) == {("doubles", "hit"): 1, ("doubles", "miss"): 2}


def test_a_cache_s_own_exceptions_reach_the_program(telemetry, instrument):
    named = cachetools.LRUCache(9)
    instrument(CachetoolsInstrumentor(), caches={"manifests": named})
    with pytest.raises(TypeError, match="unhashable"):
        named[[]]
    assert pickle.loads(pickle.dumps(named)).maxsize == 9


def test_without_a_name_nothing_is_patched():
    before = dict(vars(cachetools.Cache)), dict(vars(cachetools.LRUCache))
    CachetoolsInstrumentor().instrument()
    try:
        assert (dict(vars(cachetools.Cache)), dict(vars(cachetools.LRUCache))) == before
    finally:
        CachetoolsInstrumentor().uninstrument()


def test_uninstrumenting_leaves_nothing(telemetry, instrument):
    classes = [each for each in vars(cachetools).values() if isinstance(each, type)]
    before = [dict(vars(each)) for each in classes]
    named = cachetools.LRUCache(9, getsizeof=None)
    for times in (1, 2):
        instrument(CachetoolsInstrumentor(), caches={"manifests": named})
        named.get("a")
        CachetoolsInstrumentor().uninstrument()
        named.get("a")
        assert accesses(telemetry) == {("manifests", "miss"): times}
    assert [dict(vars(each)) for each in classes] == before


@pytest.mark.slow
def test_the_caches_of_an_unchanged_program_arrive(tmp_path):
    pytest.importorskip("assay.distro", reason="opentelemetry-instrument needs a distro")
    (tmp_path / "program.py").write_text(PROGRAM)
    with OTLPReceiver() as receiver:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            ASSAY_AUDIT_ENDPOINT=f"{receiver.endpoint}/v1/audit",
            ASSAY_CACHES="commits=__main__:find_commit,manifests=__main__:MANIFESTS",
        )
        done = run_instrumented("python", "program.py", environment=environment, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        # The last collection, when the program ends, includes all accesses.
        wait_until(lambda: receiver.totals(SERIES, "cache_name") == {"commits": 3, "manifests": 2})
    assert receiver.totals(SERIES, "result") == {"hit": 3, "miss": 2}


def test_each_library_has_an_entry_point_of_its_own():
    found = importlib.metadata.entry_points(group="opentelemetry_instrumentor")
    assert found["alumiini_functools"].load()().instrumentation_dependencies() == ()
    assert found["alumiini_cachetools"].load()().instrumentation_dependencies() == ("cachetools >= 5.3",)
