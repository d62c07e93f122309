"""Score texts in a process pool: plain `concurrent.futures`.

    python -m assay.cli._demo.workload.pool REPORT.json

REPORT.json holds the number of tasks that the program has submitted.
"""

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

WORKERS = 2
TASKS = 20
SECONDS = 3.0  # some export intervals, in which the pool's workers and queue are seen


def score(text: str) -> int:
    """Return the number of words in a text.

    Raises:
        ValueError: There are none.
    """
    words = len(text.split())
    if not words:
        raise ValueError("the text has no words")
    time.sleep(SECONDS * WORKERS / TASKS)
    return words


def main(report: Path) -> None:
    """Submit all tasks, one of which fails, and wait for their results."""
    with ProcessPoolExecutor(WORKERS) as pool:
        tasks = [pool.submit(score, "word " * number) for number in range(TASKS)]
        failed = sum(task.exception() is not None for task in tasks)
    report.write_text(json.dumps({"tasks": len(tasks), "failed": failed}), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
