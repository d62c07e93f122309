"""Request two approvals in one process, and decide them in another.

    python -m assay.cli._demo.workload.approvals request PENDING.json
    python -m assay.cli._demo.workload.approvals decide PENDING.json

A person decides a checkpoint, so no library emits its events. This is the only place in the demo that calls
the API of the FlowStone instrumentation.
"""

import json
import sys
from pathlib import Path

from opentelemetry.instrumentation.flowstone import checkpoints

CHECKPOINTS = ("publish_daily_total", "send_to_ledger")


def request(pending: Path) -> None:
    """Request both approvals, and write their ids to a file."""
    ids = {name: checkpoints.request(name, actor="ines@example.com") for name in CHECKPOINTS}
    pending.write_text(json.dumps(ids), encoding="utf-8")


def decide(pending: Path) -> None:
    """Approve the first request, and reject the second."""
    publish, ledger = CHECKPOINTS
    ids = json.loads(pending.read_text(encoding="utf-8"))
    checkpoints.approve(publish, ids[publish], actor="omar@example.com", reason="totals match the till")
    checkpoints.reject(ledger, ids[ledger], actor="omar@example.com", reason="the ledger is closed today")


if __name__ == "__main__":
    {"request": request, "decide": decide}[sys.argv[1]](Path(sys.argv[2]))
