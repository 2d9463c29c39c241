"""How long documents are kept: a database deletes what is past its ``expires_at``.

Tasks, their pages and raw chunks, submissions and asset owners are kept ``RETENTION_DAYS`` days;
an open submission never expires. A spend counter is kept for some days after its own.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

SPEND_COUNTER_KEPT: Final = timedelta(days=7)


def expiry(moment: datetime, retention_days: int) -> datetime | None:
    """Return when something of ``moment`` (UTC) expires; None for never, with 0 days."""
    return moment + timedelta(days=retention_days) if retention_days else None
