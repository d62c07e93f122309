"""The data platform of a small shop: it reads orders by region and writes reports.

Plain Dagster. Nothing in this file imports, configures or mentions telemetry.
"""

# pyright: basic
# Dagster's decorators are only partly typed: strict checking would report errors of Dagster, not of this
# file.

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    AssetsDefinition,
    Definitions,
    Failure,
    InputContext,
    OutputContext,
    RetryPolicy,
    RunRequest,
    SensorEvaluationContext,
    StaticPartitionsDefinition,
    UPathIOManager,
    asset,
    asset_check,
    define_asset_job,
    in_process_executor,
    json_console_logger,
    multiprocess_executor,
    sensor,
)
from upath import UPath

REGIONS = ("north", "east", "south", "west")
CATEGORIES = ("art", "books", "food", "games", "garden", "music", "pets", "tools", "toys")
LATE_REPORTS = ("freight", "returns")
ORDERS_PER_REGION = 200

Row = dict[str, Any]


class JSONFiles(UPathIOManager):
    """Store each asset, or each of its partitions, in a JSON file."""

    extension = ".json"

    def dump_to_path(self, context: OutputContext, obj: object, path: UPath) -> None:  # noqa: ARG002 - Dagster's
        """Write an asset's value."""
        path.write_text(json.dumps(obj), encoding="utf-8")

    def load_from_path(self, context: InputContext, path: UPath) -> object:  # noqa: ARG002 - Dagster's
        """Read an upstream asset's value."""
        return json.loads(path.read_text(encoding="utf-8"))


def _store() -> Path:
    return Path(os.environ["DEMO_STORE"])


@asset(partitions_def=StaticPartitionsDefinition(list(REGIONS)), group_name="intake")
def regional_orders(context: AssetExecutionContext) -> list[Row]:
    """One region's orders of the day."""
    region = REGIONS.index(context.partition_key)
    return [
        {
            "id": f"{context.partition_key}-{n}",
            "region": context.partition_key,
            "category": CATEGORIES[(n + region) % len(CATEGORIES)],
            "amount": round(5 + (n * 37 + region * 11) % 95 + n / 100, 2),
        }
        for n in range(ORDERS_PER_REGION)
    ]


@asset(group_name="intake")
def catalogue_of_categories() -> list[str]:
    """The categories that the shop sells."""
    return list(CATEGORIES)


@asset(group_name="intake")
def orders(catalogue_of_categories: list[str]) -> list[Row]:
    """The orders of all regions in a known category."""
    known = set(catalogue_of_categories)
    files = sorted((_store() / "regional_orders").glob("*.json"))
    rows = [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]
    return [row for row in rows if row["category"] in known]


@asset(group_name="intake", retry_policy=RetryPolicy(max_retries=2))
def exchange_rates() -> dict[str, float]:
    """The day's rates, from a source that fails at the first call."""
    called = _store() / "exchange_rates.called"
    if not called.exists():
        called.touch()
        raise ConnectionError("rates source closed the connection")
    return {"EUR": 1.0, "USD": 1.09, "SEK": 11.4}


def _sales_of(category: str) -> AssetsDefinition:
    @asset(name=f"sales_{category}", group_name="sales")
    def sales(orders: list[Row]) -> dict[str, float]:
        amounts = [row["amount"] for row in orders if row["category"] == category]
        return {"orders": float(len(amounts)), "amount": round(sum(amounts), 2)}

    return sales


def _report_for(region: str) -> AssetsDefinition:
    @asset(name=f"report_{region}", group_name="reports")
    def report(orders: list[Row], exchange_rates: dict[str, float]) -> dict[str, float]:
        total = sum(row["amount"] for row in orders if row["region"] == region)
        return {currency: round(total * rate, 2) for currency, rate in exchange_rates.items()}

    return report


def _late_report(name: str) -> AssetsDefinition:
    @asset(name=f"{name}_report", group_name="reports")
    def report(orders: list[Row]) -> int:
        return len(orders)

    return report


@asset(group_name="reports")
def daily_total(orders: list[Row]) -> float:
    """The total of the day's orders."""
    return round(sum(row["amount"] for row in orders), 2)


@asset(group_name="reports")
def ledger_export(daily_total: float) -> str:
    """Send the total to the ledger, which rejects it."""
    raise Failure(f"the ledger rejected {daily_total}: it does not balance", allow_retries=False)


@asset(group_name="reports")
def mailing(ledger_export: str) -> str:
    """Send a message to the board; it never runs, because the ledger rejects the total."""
    return f"message to the board: {ledger_export}"


@asset_check(asset=daily_total)
def total_is_positive(daily_total: float) -> AssetCheckResult:
    """Check that there were sales: a day without any is an error in the data."""
    return AssetCheckResult(passed=daily_total > 0, metadata={"total": daily_total})


SALES = [_sales_of(category) for category in CATEGORIES]
REPORTS = [_report_for(region) for region in REGIONS]
LATE = [_late_report(name) for name in LATE_REPORTS]

intake_job = define_asset_job(
    "intake_job",
    selection=[catalogue_of_categories, orders, exchange_rates],
    executor_def=in_process_executor,
)
regional_job = define_asset_job(
    "regional_job",
    selection=[regional_orders],
    executor_def=in_process_executor,
)
sales_job = define_asset_job(
    "sales_job",
    selection=SALES,
    executor_def=in_process_executor,
)
reporting_job = define_asset_job(
    "reporting_job",
    selection=[*REPORTS, daily_total],
    executor_def=multiprocess_executor.configured({"max_concurrent": 2}),
)
ledger_job = define_asset_job(
    "ledger_job",
    selection=[ledger_export, mailing],
    executor_def=in_process_executor,
)
late_job = define_asset_job(
    "late_job",
    selection=LATE,
    executor_def=in_process_executor,
)


@sensor(job=late_job)
def late_files(context: SensorEvaluationContext) -> Iterator[RunRequest]:
    """Request the late reports once the carrier's file exists."""
    if (_store() / "carrier.csv").exists():
        yield RunRequest(run_key=f"carrier-{context.cursor or 0}")


defs = Definitions(
    assets=[
        regional_orders,
        catalogue_of_categories,
        orders,
        exchange_rates,
        *SALES,
        *REPORTS,
        *LATE,
        daily_total,
        ledger_export,
        mailing,
    ],
    asset_checks=[total_is_positive],
    jobs=[intake_job, regional_job, sales_job, reporting_job, ledger_job, late_job],
    sensors=[late_files],
    resources={"io_manager": JSONFiles(base_path=UPath(os.environ.get("DEMO_STORE", "store")))},
    loggers={"console": json_console_logger},
)
