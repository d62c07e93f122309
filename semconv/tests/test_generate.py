"""The generated files are fresh, and the generator names stale ones."""

import pytest

from assay.semconv import _upstream, attributes, events, generate, metrics, spans
from assay.semconv._generated.upstream import ATTRIBUTES


def test_the_generated_files_are_fresh():
    assert generate.main(["--check"]) == 0


def test_a_stale_file_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(generate, "PAGES", tmp_path)
    monkeypatch.setattr(generate, "ROOT", tmp_path.anchor)
    (tmp_path / "gone.md").write_text("")
    assert generate.main(["--check"]) == 1
    reported = capsys.readouterr().err
    assert "flowstone.md is stale" in reported
    assert "gone.md is stale" in reported
    assert generate.main([]) == 0
    assert not (tmp_path / "gone.md").exists()
    assert generate.main(["--check"]) == 0


def test_constants():
    assert attributes.FLOWSTONE_RUN_ID == "flowstone.run_id"
    assert attributes.ALUMIINI_SYNC_TRIGGER_WEBHOOK == "webhook"
    assert attributes.VCS_REPOSITORY_NAME == "vcs.repository.name"
    assert events.FLOWSTONE_CHECKPOINT_APPROVED == "flowstone.checkpoint.approved"
    assert metrics.INGOT_LABELS_SUBMITTED == "ingot.labels.submitted"
    assert spans.SNAKEPIT_REQUEST == "snakepit.request"


def test_upstream_attributes_exist():
    assert _upstream.published() >= ATTRIBUTES
    assert "http.response.status_code" in _upstream.published()


def test_an_unknown_upstream_attribute(monkeypatch, capsys):
    monkeypatch.setattr(_upstream, "published", lambda: frozenset({"error.type"}))
    assert generate.main(["--check"]) == 1
    assert "vcs.repository.name" in capsys.readouterr().err


@pytest.mark.parametrize("module", [attributes, events, metrics, spans])
def test_constants_are_unique(module):
    names = [value for name, value in vars(module).items() if name.isupper() and "." in str(value)]
    assert len(names) == len(set(names)) > 20
