"""Records from their acceptance in an application to the log: each once, whatever is killed in between.

The applications, the Collector and the exporter host are real processes, killed by SIGKILL.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from assay.audit import DiskQueue, OTLPAuditExporter, OTLPAuditReceipts
from assay.audit.recovery import recover
from assay.cli._free_ports import free_address
from assay.exporters.audit import Query, load_verifier, quarantined, query, verify

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

APPLICATION = """
import json, sys
from pathlib import Path
from assay.audit import *
from assay.audit import _delivery, _schedule

_delivery.RESEND_AFTER = 2.0
_schedule.ADOPTION = _schedule.LONGEST_RETRY = _schedule.LONGEST_CONFIRMATION = 1.0
settings = json.loads(sys.argv[1])
provider = AuditProvider(
    BatchProcessor(
        OTLPAuditExporter(settings["endpoint"], token=settings["token"], retries=0, timeout=5),
        DiskQueue(Path(settings["queue"])),
        receipts=OTLPAuditReceipts(settings["receipts"], timeout=5),
        delay=0.05,
    ),
    {"service.name": "shop"},
)
logger = provider.get_logger("shop")
with open(settings["accepted"], "a", buffering=1) as accepted:
    for number in range(settings["count"]):
        record = AuditRecord(event_name="shop.sale", action="SELL", outcome="success", target_id=str(number))
        receipt = logger.emit_async(record).accepted.result()
        accepted.write(receipt.record_id + "\\n")
print(provider.shutdown(5))
"""
DISK_BYTES = 512 * 1024
HOST = """
import asyncio, sys
from assay.host import Host, load_config

async def main():
    host = Host(load_config(sys.argv[1]))
    await host.start()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process."""
    process.kill()
    process.wait()
    process.stdout.close()


class Trail:
    """An application, a Collector and an exporter host, which can be killed and started again."""

    def __init__(self, folder: Path, make_collector, tools) -> None:
        self.folder = folder
        self.tools = tools
        with contextlib.ExitStack() as reserved:
            direct, hop = free_address(reserved), free_address(reserved)
        self.database = folder / "log" / "log.db"
        self.config = folder / "host.json"
        listeners = [
            {"name": "direct", "protocol": "http", "address": direct},
            {
                "name": "collector",
                "protocol": "http",
                "address": hop,
                "peer": "collector",
                "auth": {"bearer": tools.HOST_TOKEN},
            },
        ]
        audit = {"type": "audit", "database": str(self.database), "origin": "audit.test/log"}
        self.config.write_text(
            json.dumps({"listeners": listeners, "health": None, "exporters": {"audit": audit}})
        )
        self.collector = make_collector("all-in-one", ASSAY_HOST_HTTP_ENDPOINT=f"http://{hop}")
        self.receipts = f"http://{direct}/v1/audit/receipts"
        self.host: subprocess.Popen[str] | None = None
        self.processes: list[subprocess.Popen[str]] = []

    @property
    def queue(self) -> Path:
        return self.folder / "application-queue"

    def start_host(self) -> None:
        command = [sys.executable, "-c", HOST, str(self.config)]
        self.host = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.host.stdout.readline() == "ready\n"

    def kill_host(self) -> None:
        end(self.host)

    def start_application(self, count: int) -> subprocess.Popen[str]:
        settings = {
            "endpoint": self.collector.addresses.audit_url,
            "token": self.tools.TOKEN,
            "receipts": self.receipts,
            "queue": str(self.queue),
            "accepted": str(self.folder / f"accepted-{len(self.processes)}"),
            "count": count,
        }
        process = subprocess.Popen(
            [sys.executable, "-c", APPLICATION, json.dumps(settings)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.processes.append(process)
        return process

    def accepted(self) -> list[str]:
        # The last line of a killed process may lack its end.
        return [line for file in self.folder.glob("accepted-*") for line in file.read_text().split("\n")[:-1]]

    def stored(self) -> Counter[str]:
        return Counter(row["id"] for row in query(self.database, Query()))

    def recover(self, timeout: float):
        return recover(
            DiskQueue(self.queue),
            OTLPAuditExporter(self.collector.addresses.audit_url, token=self.tools.TOKEN, retries=0),
            OTLPAuditReceipts(self.receipts),
            timeout=timeout,
        )

    def verify(self) -> int:
        return verify(self.database, load_verifier(self.database.with_name("verifier.key"))).records


@pytest.fixture
def trail(tmp_path, make_collector, tools):
    made = Trail(tmp_path, make_collector, tools)
    yield made
    for process in (*made.processes, *filter(None, [made.host])):
        end(process)


@pytest.fixture
def soon(monkeypatch):
    """Send records again after seconds, where users wait for a minute."""
    monkeypatch.setattr("assay.audit._delivery.RESEND_AFTER", 2.0)


def test_a_collector_that_loses_its_queue_loses_no_record(trail, soon):
    trail.collector.start()  # and no host: the Collector's queue keeps every record
    assert trail.start_application(300).communicate(timeout=120)[0] == "True\n"
    assert len(trail.accepted()) == 300
    trail.collector.kill()
    shutil.rmtree(trail.folder / "queue")
    trail.collector.start()
    trail.start_host()
    recovered = trail.recover(timeout=120)
    assert (recovered.confirmed, recovered.waiting, recovered.rejected) == (300, 0, [])
    assert trail.stored() == Counter(trail.accepted())
    assert trail.verify() == 300


def test_a_collector_whose_disk_is_full_and_that_is_killed_loses_no_record(trail, soon):
    """A limit on the size of its files is a full disk to the Collector: it can write no more to its queue."""
    trail.collector.start()  # and no host: the Collector's queue has to keep every record
    resource.prlimit(trail.collector.pid, resource.RLIMIT_FSIZE, (DISK_BYTES, DISK_BYTES))
    application = trail.start_application(3000)
    assert application.communicate(timeout=120)[0] == "False\n"  # the Collector did not take all
    assert len(trail.accepted()) == 3000
    assert "file too large" in trail.collector.log.read_text()  # the test of the test
    trail.collector.kill()
    trail.collector.start()
    trail.start_host()
    trail.tools.eventually(lambda: not trail.recover(timeout=60).waiting, 300)
    assert trail.stored() == Counter(trail.accepted())
    assert trail.verify() == 3000


def test_records_of_a_process_that_was_killed_before_it_sent_them_arrive(trail, soon):
    trail.start_host()  # and no Collector
    process = trail.start_application(10**6)
    trail.tools.eventually(lambda: len(trail.accepted()) > 100)
    end(process)
    trail.collector.start()
    assert trail.start_application(1).communicate(timeout=120)[0] == "True\n"
    trail.tools.eventually(lambda: not trail.recover(timeout=30).waiting)
    stored, accepted = trail.stored(), trail.accepted()
    assert set(stored.values()) == {1}
    assert set(accepted) <= stored.keys()
    assert len(stored) - len(accepted) in (0, 1)  # the kill came between the acceptance and its note
    assert trail.verify() == len(stored)


def test_soak(trail, soon, capsys):
    """Kill applications, the Collector and the host at random, and destroy the Collector's queue.

    `make soak MINUTES=10` runs it longer. Each run prints its seed and its counts.
    """
    seed = int(os.environ.get("SOAK_SEED", random.randrange(2**32)))
    chance = random.Random(seed)
    deadline = time.monotonic() + 60 * float(os.environ.get("SOAK_MINUTES", "0.5"))
    kills: Counter[str] = Counter()
    trail.collector.start()
    trail.start_host()
    while time.monotonic() < deadline:
        running = [process for process in trail.processes if process.poll() is None]
        running += [trail.start_application(chance.randint(1, 2000)) for _ in range(3 - len(running))]
        time.sleep(chance.uniform(0.5, 2.0))
        victim = chance.choice(["application", "application", "collector", "queue", "host"])
        kills[victim] += 1
        if victim == "application":
            end(chance.choice(running))
        elif victim == "host":
            trail.kill_host()
            time.sleep(chance.uniform(0, 1))
            trail.start_host()
        else:
            trail.collector.kill()
            if victim == "queue":
                shutil.rmtree(trail.folder / "queue")
            trail.collector.start()
    for process in trail.processes:
        end(process)
    trail.tools.eventually(lambda: not trail.recover(timeout=60).waiting, 600)
    stored, accepted = trail.stored(), trail.accepted()
    verified = trail.verify()
    with capsys.disabled():
        sys.stderr.write(
            f"\nsoak: seed {seed}, accepted {len(accepted)}, stored {len(stored)},"
            f" twice {sum(1 for count in stored.values() if count > 1)},"
            f" lost {len(set(accepted) - stored.keys())}, applications {len(trail.processes)},"
            f" kills {sum(kills.values())} ({dict(kills)}), verified {verified}\n"
        )
    assert set(accepted) <= stored.keys()
    assert len(accepted) == len(set(accepted))
    assert set(stored.values()) == {1}
    assert len(stored) - len(accepted) <= len(trail.processes)  # one of each that was killed in between
    assert not list(quarantined(trail.database))
    assert verified == len(stored)
