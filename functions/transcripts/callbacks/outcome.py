"""The outcome of a job as its callback reports it: failure, or not. Pure.

No callback of a failed job is documented, and the outer code may say success while the inner flag
says failure (https://api-tools.memories.ai/api-reference/getting-started/webhooks). So an unknown
code is a failure, and either sign of a failure counts.
"""

from __future__ import annotations

from transcripts.mavi.answers import SUCCESS_CODES


def reports_failure(code: object, success: object) -> bool:
    """Tell whether a callback reports a failure; ``code`` and ``success`` are decoded scalars.

    A ``code`` other than ``0000`` and ``200``, as number or text, is a failure, and so is a
    ``success`` of false. A missing code or flag is none.
    """
    if isinstance(code, float) and code.is_integer():
        code = int(code)
    if code is not None and str(code).strip() not in SUCCESS_CODES:
        return True
    return success is False or (isinstance(success, str) and success.strip().lower() == "false")
