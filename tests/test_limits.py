"""Every program that a test starts runs within 1 GiB of memory and 1,024 files."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource
print(max(resource.getrlimit(resource.RLIMIT_NOFILE)) <= 1024)
try:
    bytes(2 << 30)
except MemoryError:
    print("MemoryError")
"""


def test_a_program_of_a_test_is_limited():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "MemoryError"]
