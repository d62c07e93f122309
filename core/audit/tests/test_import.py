from __future__ import annotations

import subprocess
import sys

import assay.audit


def test_the_package_and_its_counters_load_no_http_client():
    program = (
        "import sys, assay.audit.instruments; print(sorted({'requests', 'orjson'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_exported_name_is_found():
    assert [name for name in assay.audit.__all__ if not hasattr(assay.audit, name)] == []
