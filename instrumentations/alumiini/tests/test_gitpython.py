"""GitPython on real repositories: over file, over HTTP, and over ssh in the form `user@host:path`."""

import pickle
import subprocess
import threading
from importlib.metadata import version

import git
import pytest
from opentelemetry.instrumentation.alumiini import sync
from opentelemetry.instrumentation.alumiini.gitpython import GitPythonInstrumentor
from opentelemetry.instrumentation.alumiini.gitpython._working_copies import WorkingCopy
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import StatusCode

from assay.instrumentation.testing import BusEvents, GitServer

SECRET = "pw-9d59409acf47"
FUNCTIONS = (
    (git.Repo, "clone_from"),
    (git.Repo, "clone"),
    (git.Remote, "fetch"),
    (git.Remote, "pull"),
    (git.Remote, "push"),
    (git.Git, "execute"),
    (git.Git.AutoInterrupt, "wait"),
)


def run_git(folder, *arguments):
    """Run git without GitPython; return what it prints."""
    done = subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder, text):
    """Commit a file in the working tree that feeds the server's repository; return the revision."""
    (folder / "deploy.yaml").write_text(text)
    run_git(folder, "add", ".")
    run_git(folder, "commit", "-qm", text)
    run_git(folder, "push", "-q", "origin", "HEAD")
    return run_git(folder, "rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def _git_configuration(tmp_path, monkeypatch):
    """Keep the configuration of this machine's user away from git."""
    file = tmp_path / "gitconfig"
    file.write_text(
        "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n[pull]\nrebase = false\n"
        '[protocol "file"]\nallow = always\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")


@pytest.fixture
def served(tmp_path, _git_configuration):
    """Return the folder of the server's bare repositories, with `shop.git` in it."""
    folder = tmp_path / "served"
    folder.mkdir()
    run_git(folder, "init", "-q", "--bare", "shop.git")
    run_git(folder / "shop.git", "config", "http.receivepack", "true")
    return folder


@pytest.fixture
def author(served, tmp_path):
    """Return a working tree whose commits reach the server without GitPython."""
    run_git(tmp_path, "clone", "-q", str(served / "shop.git"), "author")
    commit(tmp_path / "author", "first")
    return tmp_path / "author"


@pytest.fixture
def observed(telemetry):
    """Return the telemetry, with GitPython instrumented."""
    GitPythonInstrumentor().instrument()
    yield telemetry
    GitPythonInstrumentor().uninstrument()


@pytest.fixture
def cloned(author, served, tmp_path, telemetry):
    """Return a clone that was made before GitPython is instrumented."""
    run_git(tmp_path, "clone", "-q", str(served / "shop.git"), "copy")
    GitPythonInstrumentor().instrument()
    yield git.Repo(tmp_path / "copy")
    GitPythonInstrumentor().uninstrument()


def operations(telemetry):
    return [span.attributes["alumiini.git.operation"] for span in telemetry.spans("alumiini.git")]


def logged(telemetry, event):
    return [record.log_record.attributes for record in telemetry.logs(event)]


def texts(telemetry):
    """Return everything that was exported, as one text."""
    spans = [span.to_json() for span in telemetry.spans()]
    return "\n".join([*spans, *(record.to_json() for record in telemetry.logs())])


def test_a_clone_is_one_operation(observed, author, served, tmp_path):
    repository = git.Repo.clone_from(str(served / "shop.git"), tmp_path / "copy")

    (span,) = observed.spans("alumiini.git")
    assert span.attributes["alumiini.git.operation"] == "clone"
    assert span.attributes["alumiini.repo.name"] == "shop"
    assert span.attributes["vcs.repository.url.full"] == str(served / "shop.git")
    assert span.attributes["vcs.ref.head.revision"] == run_git(author, "rev-parse", "HEAD")
    assert span.attributes["vcs.ref.head.name"] == "main"
    assert observed.totals("alumiini.git.operations", "outcome") == {"success": 1}
    (event,) = logged(observed, "alumiini.git_cloned")
    assert event["alumiini.repo.commit"] == repository.head.commit.hexsha
    assert observed.logs("alumiini.git_fetched") == []


@pytest.mark.parametrize(
    "clone",
    [
        lambda url, folder: git.Repo.clone_from(url, str(folder), multi_options=["--depth 1"]),
        lambda url, folder: git.Repo.clone_from(url=url, to_path=folder, branch="main"),
        lambda url, folder: git.Git().clone(url, str(folder)),
        lambda url, folder: git.Git(str(folder.parent)).clone("-b", "main", "--depth", "1", url, folder.name),
        lambda url, folder: git.Git().execute(["git", "-c", "core.pager=cat", "clone", url, str(folder)]),
        lambda url, folder: git.Repo.clone_from(url, folder, bare=True),
    ],
)
def test_every_way_to_clone_is_one_operation(observed, author, served, tmp_path, clone):
    clone(f"file://{served}/shop.git", tmp_path / "copy")

    (event,) = logged(observed, "alumiini.git_cloned")
    assert operations(observed) == ["clone"]
    assert event["alumiini.repo.url"] == f"file://{served}/shop.git"
    assert event["alumiini.repo.commit"] == run_git(author, "rev-parse", "HEAD")


def test_a_repository_clones_itself(observed, author, tmp_path):
    git.Repo(author).clone(tmp_path / "copy")

    (event,) = logged(observed, "alumiini.git_cloned")
    assert event["alumiini.repo.name"] == "author"
    assert event["alumiini.repo.url"] == str(author)


FETCHES = [
    lambda repository: repository.remotes.origin.fetch(),
    lambda repository: repository.remote().fetch("main"),
    lambda repository: repository.git.fetch(),
    lambda repository: repository.git.fetch("origin", "main"),
    lambda repository: repository.git.fetch("--depth", "1", "origin"),
    lambda repository: repository.git.execute(["git", "fetch", "--all"]),
    lambda repository: git.Git().execute(["git", "-C", repository.working_dir, "fetch"]),
    lambda repository: repository.git.remote("update"),
    lambda repository: repository.git.fetch(as_process=True).wait(),
    lambda repository: repository.git.fetch(with_exceptions=False),
    lambda repository: repository.git.fetch(repository.remote().url, "main"),
]


@pytest.mark.parametrize("fetch", FETCHES)
def test_a_fetch_is_reported_as_fetched_only_with_a_new_revision(cloned, author, telemetry, fetch):
    fetch(cloned)
    assert operations(telemetry) == ["fetch"]
    assert telemetry.logs("alumiini.git_fetched") == []

    new = commit(author, "second")
    fetch(cloned)
    (event,) = logged(telemetry, "alumiini.git_fetched")
    assert event["alumiini.repo.commit"] == new
    assert event["alumiini.repo.branch"] == "main"
    assert event["alumiini.repo.name"] == "shop"

    fetch(cloned)
    assert operations(telemetry) == ["fetch"] * 3
    assert len(telemetry.logs("alumiini.git_fetched")) == 1
    assert telemetry.totals("alumiini.git.operations", "outcome") == {"success": 3}


def test_a_branch_that_went_back_is_a_new_revision(cloned, author, telemetry):
    first = run_git(author, "rev-parse", "HEAD")
    commit(author, "second")
    cloned.remote().fetch()
    run_git(author, "push", "-qf", "origin", f"{first}:main")
    cloned.remote().fetch()

    assert [event["alumiini.repo.commit"] for event in logged(telemetry, "alumiini.git_fetched")][1:] == [
        first
    ]


def test_a_fetch_after_packing_refs_sees_no_new_revision(cloned, telemetry):
    run_git(cloned.working_dir, "pack-refs", "--all")
    cloned.remote().fetch()

    assert telemetry.logs("alumiini.git_fetched") == []


@pytest.mark.parametrize("pull", [lambda repo: repo.remote().pull(), lambda repo: repo.git.pull()])
def test_a_pull_is_one_operation_and_has_the_new_revision(cloned, author, telemetry, pull):
    new = commit(author, "second")
    pull(cloned)

    (span,) = telemetry.spans("alumiini.git")
    assert span.attributes["alumiini.git.operation"] == "pull"
    assert span.attributes["alumiini.repo.commit"] == new == cloned.head.commit.hexsha
    (event,) = logged(telemetry, "alumiini.git_fetched")
    assert event["alumiini.repo.commit"] == new


@pytest.mark.parametrize("push", [lambda repo: repo.remote().push("main"), lambda repo: repo.git.push()])
def test_a_push_is_one_operation(cloned, telemetry, push):
    cloned.index.commit("mine")
    push(cloned)

    assert operations(telemetry) == ["push"]
    assert telemetry.totals("alumiini.git.operations", "outcome") == {"success": 1}


def test_a_rejected_push_is_a_failure_although_gitpython_returns_it(cloned, author, telemetry):
    commit(author, "second")
    cloned.index.commit("mine")
    result = cloned.remote().push("main")

    assert result
    assert telemetry.totals("alumiini.git.operations", "outcome") == {"failure": 1}
    assert telemetry.totals("alumiini.errors", "error_type") == {"git_conflict": 1}


@pytest.mark.parametrize(
    "checkout",
    [
        lambda repo: repo.create_head("feature").checkout(),
        lambda repo: repo.git.checkout("-b", "feature"),
        lambda repo: repo.git.switch("-c", "feature"),
    ],
)
def test_a_checkout_is_one_operation_with_the_branch_that_it_leads_to(cloned, telemetry, checkout):
    checkout(cloned)

    (span,) = telemetry.spans("alumiini.git")
    assert span.attributes["alumiini.git.operation"] == "checkout"
    assert span.attributes["alumiini.repo.branch"] == "feature"
    assert span.attributes["alumiini.repo.name"] == "shop"


@pytest.mark.parametrize("where", ["remote", "url"])
def test_ls_remote_is_an_operation_on_the_repository_that_it_names(cloned, served, telemetry, where):
    url = str(served / "shop.git")
    answer = cloned.git.ls_remote("origin") if where == "remote" else git.Git().ls_remote("--heads", url)

    assert "refs/heads/main" in answer
    (span,) = telemetry.spans("alumiini.git")
    assert span.attributes["alumiini.git.operation"] == "ls_remote"
    assert span.attributes["alumiini.repo.url"] == url


def test_other_commands_are_not_operations(cloned, telemetry):
    cloned.git.status()
    cloned.git.remote("-v")
    cloned.git.log(n=1)
    cloned.is_dirty()

    assert telemetry.spans() == []


def test_http_is_read_from_a_real_server(observed, author, served, tmp_path):
    with GitServer(served) as server:
        repository = git.Repo.clone_from(server.url("shop.git"), tmp_path / "copy")
        new = commit(author, "second")
        repository.remote().fetch()

    assert operations(observed) == ["clone", "fetch"]
    (event,) = logged(observed, "alumiini.git_fetched")
    assert (event["alumiini.repo.commit"], event["alumiini.repo.url"]) == (new, server.url("shop.git"))


def test_credentials_in_a_url_do_not_leave(observed, author, served, tmp_path):
    with GitServer(served, password=SECRET) as server:
        url = server.url("shop.git", f"bob:{SECRET}@")
        repository = git.Repo.clone_from(url, tmp_path / "copy")
        repository.remote().fetch()
        wrong = server.url("shop.git", f"bob:{SECRET}x@")
        with pytest.raises(git.GitCommandError):
            git.Repo.clone_from(wrong, tmp_path / "other")
        with pytest.raises(git.GitCommandError):
            repository.git.fetch(wrong)

    assert operations(observed) == ["clone", "fetch", "clone", "fetch"]
    assert observed.totals("alumiini.errors", "error_type") == {"git_auth": 2}
    assert SECRET not in texts(observed)
    assert logged(observed, "alumiini.git_cloned")[0]["alumiini.repo.url"] == server.url("shop.git")


def test_the_scp_form_of_ssh_has_a_name_and_a_url(observed, author, served, tmp_path, monkeypatch):
    ssh = tmp_path / "ssh"
    ssh.write_text(
        f'#!/bin/sh\nwhile [ "$1" != "git@git.example" ]; do shift; done\ncd {served}\nexec sh -c "$2"\n'
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH", str(ssh))
    repository = git.Repo.clone_from("git@git.example:shop.git", tmp_path / "copy")
    repository.remote().fetch()

    assert operations(observed) == ["clone", "fetch"]
    for span in observed.spans("alumiini.git"):
        assert span.attributes["alumiini.repo.url"] == "git@git.example:shop.git"
        assert span.attributes["alumiini.repo.name"] == "shop"


FAILURES = [
    ("git_repository_not_found", lambda repo, gone: git.Repo.clone_from("/nowhere/x.git", f"{gone}/x")),
    ("git_ref_not_found", lambda repo, gone: repo.remote().fetch("no-such-branch")),
    ("git_ref_not_found", lambda repo, gone: repo.git.checkout("no-such-branch")),
    ("git_network", lambda repo, gone: repo.git.ls_remote("http://127.0.0.1:1/x.git")),
    ("git_not_installed", lambda repo, gone: git.Git(gone).execute([f"{gone}/git", "fetch"])),
    ("git_repository_not_found", lambda repo, gone: git.Git(gone).fetch()),
]


@pytest.mark.parametrize(("expected", "fail"), FAILURES)
def test_a_failure_has_a_finer_type_and_is_raised_unchanged(cloned, telemetry, tmp_path, expected, fail):
    gone = tmp_path / "gone"
    gone.mkdir()
    with pytest.raises(git.CommandError) as raised:
        fail(cloned, str(gone))

    (span,) = telemetry.spans("alumiini.git")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == expected
    assert telemetry.totals("alumiini.errors", "error_type") == {expected: 1}
    assert telemetry.totals("alumiini.git.operations", "outcome") == {"failure": 1}
    assert raised.value.__traceback__ is not None
    assert raised.value.__context__ is None or not isinstance(raised.value.__context__, git.CommandError)


def test_a_command_that_is_killed_by_its_time_limit_is_a_timeout(cloned, telemetry, tmp_path, monkeypatch):
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("GIT_SSH", str(hanging))
    with pytest.raises(git.GitCommandError):
        cloned.git.ls_remote("git@git.example:shop.git", kill_after_timeout=0.5)

    assert telemetry.totals("alumiini.git.operations", "outcome") == {"timeout": 1}
    assert telemetry.totals("alumiini.errors", "error_type") == {"git_timeout": 1}


def test_a_failure_without_an_exception_is_a_failure(cloned, telemetry):
    assert cloned.git.checkout("no-such", with_exceptions=False) == ""
    status, _, stderr = cloned.git.checkout("no-such", with_exceptions=False, with_extended_output=True)

    assert (status, "did not match" in stderr) == (1, True)
    assert telemetry.totals("alumiini.git.operations", "outcome") == {"failure": 2}


def test_a_process_that_fails_later_is_a_failure(cloned, telemetry):
    process = cloned.git.fetch("no-such-remote", as_process=True)
    assert telemetry.spans("alumiini.git") == []
    with pytest.raises(git.GitCommandError):
        process.wait()

    assert telemetry.totals("alumiini.git.operations", "outcome") == {"failure": 1}


def test_a_sync_learns_the_revision_and_names_the_failure(cloned, author, telemetry):
    new = commit(author, "second")
    with sync("my-app", trigger="poll", namespace="prod") as running:
        cloned.remote().pull()
    assert running.repository.commit == new
    with pytest.raises(git.GitCommandError), sync("my-app", trigger="poll"):
        cloned.remote().fetch("no-such-branch")

    (completed,) = logged(telemetry, "alumiini.sync_completed")
    assert (completed["alumiini.repo.commit"], completed["alumiini.repo.branch"]) == (new, "main")
    assert completed["alumiini.repo.url"].endswith("shop.git")
    (failed,) = logged(telemetry, "alumiini.sync_failed")
    assert (failed["error.type"], failed["alumiini.error.detail"]) == ("git_error", "git_ref_not_found")
    assert telemetry.totals("alumiini.git.operations", "repo_name") == {"my-app": 2}
    syncs = {span.context.span_id for span in telemetry.spans("alumiini.sync")}
    assert {span.parent.span_id for span in telemetry.spans("alumiini.git")} == syncs


def test_a_linked_working_tree_is_the_same_repository(cloned, author, tmp_path, telemetry):
    cloned.git.worktree("add", str(tmp_path / "linked"), "-b", "feature")
    commit(author, "second")
    git.Repo(tmp_path / "linked").git.fetch()

    (event,) = logged(telemetry, "alumiini.git_fetched")
    assert event["alumiini.repo.name"] == "shop"


def test_submodules_are_clones_of_their_own(observed, author, served, tmp_path):
    run_git(served, "clone", "-q", "--bare", "shop.git", "lib.git")
    repository = git.Repo.clone_from(str(served / "shop.git"), tmp_path / "copy")
    repository.create_submodule("lib", "lib", url=str(served / "lib.git"), branch="main")

    names = [span.attributes["alumiini.repo.name"] for span in observed.spans("alumiini.git")]
    assert names == ["shop", "lib"]


def test_threads_are_observed(cloned, author, telemetry):
    threads = [threading.Thread(target=cloned.git.ls_remote, args=("origin",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert operations(telemetry) == ["ls_remote"] * 3


def test_suppressed_instrumentation_emits_nothing(cloned, telemetry):
    with BusEvents("alumiini.*") as emitted, suppress_instrumentation():
        cloned.remote().fetch()

    assert emitted == []


def test_uninstrumented_gitpython_is_as_before(telemetry, author):
    before = [vars(owner).get(name) for owner, name in FUNCTIONS]
    GitPythonInstrumentor().instrument()
    during = [vars(owner).get(name) for owner, name in FUNCTIONS]
    GitPythonInstrumentor().uninstrument()

    assert all(one is not other for one, other in zip(before, during, strict=True))
    assert [vars(owner).get(name) for owner, name in FUNCTIONS] == before
    git.Repo(author).git.ls_remote("origin")
    assert telemetry.spans() == []


def test_gitpython_s_objects_are_still_pickled(cloned):
    assert pickle.loads(pickle.dumps(cloned.git)).working_dir == cloned.git.working_dir


def test_hooks_get_span_operation_and_result(telemetry, author):
    seen = []

    def request(span, operation):
        span.set_attribute("shop.owner", operation)

    def response(span, operation, result):
        seen.append((operation, "refs/heads/main" in str(result)))

    GitPythonInstrumentor().instrument(request_hook=request, response_hook=response)
    try:
        git.Repo(author).git.ls_remote("origin")
    finally:
        GitPythonInstrumentor().uninstrument()

    (span,) = telemetry.spans("alumiini.git")
    assert span.attributes["shop.owner"] == "ls_remote"
    assert seen == [("ls_remote", True)]


def test_the_adapter_needs_gitpython():
    (needed,) = GitPythonInstrumentor().instrumentation_dependencies()
    assert needed.startswith("GitPython")
    assert version("GitPython")


def test_a_working_copy_that_was_removed_does_not_break_the_program(observed, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(git.CommandError):
        git.Git(str(tmp_path / "empty")).pull()

    assert observed.totals("alumiini.git.operations", "repo_name") == {"unknown": 1}
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("name", ["fetch", "pull", "checkout"])
def test_an_operation_starts_as_many_processes_as_without_us(cloned, monkeypatch, name):
    started = []
    start = subprocess.Popen.__init__

    def count(process, command, *args, **kwargs):
        started.append(command)
        start(process, command, *args, **kwargs)

    monkeypatch.setattr(subprocess.Popen, "__init__", count)
    run = {
        "fetch": cloned.remotes.origin.fetch,
        "pull": cloned.remotes.origin.pull,
        "checkout": lambda: cloned.git.checkout("main"),
    }[name]
    run()
    instrumented = len(started)
    GitPythonInstrumentor().uninstrument()
    run()
    assert len(started) == 2 * instrumented > 0


def test_a_file_of_git_may_be_of_any_length(tmp_path):
    heads = {f"branch 'feature-{number}' of shop": f"{number:040x}" for number in range(2000)}
    lines = (f"{revision}\tnot-for-merge\t{origin}\n" for origin, revision in heads.items())
    (tmp_path / "FETCH_HEAD").write_text("".join(lines))
    found = WorkingCopy(str(tmp_path)).fetch_head()
    assert found == {origin: (revision, False) for origin, revision in heads.items()}
