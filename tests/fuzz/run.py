"""Fuzz one target with atheris, which mutates the corpus and keeps inputs that reach new code.

    .venv/bin/python tests/fuzz/run.py redact tests/fuzz/corpus/redact -max_total_time=60

The first argument names the target; libFuzzer gets the others. The first folder receives new inputs. The exit
status is not 0 after a finding, and the input that caused it is in a file `crash-…`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))


def main() -> None:
    """Run the target until a finding, or as long as the options say."""
    with atheris.instrument_imports(include=["assay"]):
        from targets import TARGETS

    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
