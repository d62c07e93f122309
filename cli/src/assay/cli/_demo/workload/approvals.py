"""Request three approvals in one process, and decide two of them in another.

    python -m assay.cli._demo.workload.approvals request PENDING.json
    python -m assay.cli._demo.workload.approvals decide PENDING.json

A person decides a checkpoint, so no library emits its events. This is the only place in the demo that calls
the API of the FlowStone instrumentation.
"""

import json
import sys
from pathlib import Path

from opentelemetry.instrumentation.flowstone import checkpoints

CHECKPOINTS = ("publish_daily_total", "send_to_ledger", "order_stock")


def request(pending: Path) -> None:
    """Request the approvals, and write their ids to a file."""
    ids = {name: checkpoints.request(name, actor="ines@example.com") for name in CHECKPOINTS}
    pending.write_text(json.dumps(ids), encoding="utf-8")


def decide(pending: Path) -> None:
    """Approve the first request, reject the second, and let the third pass its time."""
    publish, ledger, stock = CHECKPOINTS
    ids = json.loads(pending.read_text(encoding="utf-8"))
    checkpoints.approve(publish, ids[publish], actor="omar@example.com", reason="totals match the till")
    checkpoints.reject(ledger, ids[ledger], actor="omar@example.com", reason="the ledger is closed today")
    checkpoints.timeout(stock, ids[stock])


if __name__ == "__main__":
    {"request": request, "decide": decide}[sys.argv[1]](Path(sys.argv[2]))
