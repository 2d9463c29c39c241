"""The remedies: what to do about each failed purchase, by the code of its ``SubmissionError``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from transcripts.mavi.answers import Refusal

REMEDIES: Final[Mapping[str, str]] = {
    Refusal.AUTH: "Mavi refuses the key or this address: check MAVI_API_KEY, that the account is"
    " active, and that its address allow-list holds this function's egress.",
    Refusal.NO_CREDIT: "The Mavi account has too little credit: top it up, then submit again.",
    Refusal.NO_WEBHOOK: "The Mavi account has no webhook: set this deployment's callback URL at"
    " https://api-platform.memories.ai/webhooks, then submit again.",
    Refusal.ERROR: "Mavi refuses this request although the asset is ready; see details.",
    "asset_not_found": "Mavi knows no asset of this id: upload it first, or check the id.",
    "asset_not_ready": "The asset's upload is not complete: submit again once its upload_status is"
    " SUCCESS; after FAILED, upload it again.",
    "provider_rate_limited": "Mavi's limit of 1 request a second is used up: submit again later.",
    "submit_unknown": "Mavi's answer was lost, so the job may have been bought. Nothing repeats it"
    " automatically: wait for a callback without submission, or submit with force to buy it again.",
    "submission_in_progress": "Another request is buying this asset right now: ask again later.",
    "budget_exhausted": "MAX_SUBMISSIONS_PER_DAY is reached: submit again tomorrow (UTC).",
}
