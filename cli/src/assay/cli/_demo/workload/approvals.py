"""Two sign-offs, asked for in one process and decided in another.

    python -m assay.cli._demo.workload.approvals request PENDING.json
    python -m assay.cli._demo.workload.approvals decide PENDING.json

A checkpoint is a person's decision: no library knows of it, so this is the one place in the demo that calls
the typed API of the FlowStone instrumentation.
"""

import json
import sys
from pathlib import Path

from opentelemetry.instrumentation.flowstone import checkpoints

CHECKPOINTS = ("publish_daily_total", "send_to_ledger")


def request(pending: Path) -> None:
    """Ask for both sign-offs and note their ids."""
    asked = {name: checkpoints.request(name, actor="ines@example.com") for name in CHECKPOINTS}
    pending.write_text(json.dumps(asked), encoding="utf-8")


def decide(pending: Path) -> None:
    """Approve the first, reject the second."""
    publish, ledger = CHECKPOINTS
    asked = json.loads(pending.read_text(encoding="utf-8"))
    checkpoints.approve(publish, asked[publish], actor="omar@example.com", reason="totals match the till")
    checkpoints.reject(ledger, asked[ledger], actor="omar@example.com", reason="the ledger is closed today")


if __name__ == "__main__":
    {"request": request, "decide": decide}[sys.argv[1]](Path(sys.argv[2]))
