"""How long documents are kept: a database deletes what is past its ``expires_at``.

Tasks, their pages and raw chunks, submissions and asset owners are kept ``RETENTION_DAYS`` days;
an open submission never expires. A spend counter is kept for some days after its own. The
remains of a deleted task are kept for longer than its messages.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

SPEND_COUNTER_KEPT: Final = timedelta(days=7)


DELETED_TASK_KEPT_AT_LEAST: Final = timedelta(days=90)
"""Dead letters are kept for 31 days, and again for so long after each replay that fails."""


def deleted_expiry(moment: datetime, retention_days: int) -> datetime | None:
    """Return when what is left of a task that was deleted at ``moment`` (UTC) expires."""
    kept_until = expiry(moment, retention_days)
    return max(kept_until, moment + DELETED_TASK_KEPT_AT_LEAST) if kept_until else None


def expiry(moment: datetime, retention_days: int) -> datetime | None:
    """Return when something of ``moment`` (UTC) expires; None for never, with 0 days."""
    return moment + timedelta(days=retention_days) if retention_days else None
