"""`assay audit flush`: the records that ended processes of this user have left in the queue on disk."""

from __future__ import annotations

import click

from assay.cli._messages import safe


@click.command("flush")
@click.option("--timeout", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds.")
@click.option("--retry-rejected", is_flag=True, help="Send the records again that were set aside.")
def flush(timeout: float, *, retry_rejected: bool) -> None:
    """Send the audit records that ended processes have left on this machine.

    It reads the variables of an instrumented application (ASSAY_AUDIT_ENDPOINT, ASSAY_AUDIT_TOKEN, …), and
    sends the records of this user for that endpoint. Processes that run send theirs. The exit status is 1 if
    records still wait or are set aside, 2 if the queue cannot be used.

    \b
    Example:
      ASSAY_AUDIT_TOKEN=… assay audit flush
    """
    from assay.audit.errors import AuditError  # noqa: PLC0415 - not needed by --help
    from assay.distro.audit_flush import flush_audit_queue, other_audit_queues  # noqa: PLC0415

    try:
        recovered = flush_audit_queue(timeout, retry_rejected=retry_rejected)
        others = list(other_audit_queues())
    except AuditError as error:
        raise click.UsageError(safe(str(error))) from error
    click.echo(f"confirmed {recovered.confirmed}, waiting {recovered.waiting}, set aside", nl=False)
    click.echo(f" {len(recovered.rejected)}")
    for record_id, reason in recovered.rejected:
        click.echo(safe(f"set aside {record_id}: {reason}"))
    for endpoint, waiting in others:
        click.echo(safe(f"{waiting} wait for {endpoint}: run it with ASSAY_AUDIT_ENDPOINT set to that"))
    if recovered.waiting:
        reason = recovered.error or "the log has not confirmed them yet"
        click.echo(safe(f"{recovered.waiting} still wait: {reason}"), err=True)
    if recovered.waiting or recovered.rejected:
        raise SystemExit(1)
