"""What calls of models have cost, as metadata of steps and assets and as tags of runs."""

from collections.abc import Mapping
from typing import Any, Final

import dagster as dg

from resources.ai.ledger.model import Totals

COST_TAG: Final = "aiw/cost_usd"
TOKENS_TAG: Final = "aiw/tokens"


def cost_metadata(by_prompt: Mapping[str | None, Totals]) -> dict[str, Any]:
    """From sums by version of the prompt; nothing when there was no call. Numbers, so that the UI can plot them."""
    total = sum(by_prompt.values(), Totals())
    if not total.calls:
        return {}
    found: dict[str, Any] = {
        "aiw/calls": dg.MetadataValue.int(total.calls),
        "aiw/tokens": dg.MetadataValue.int(total.input_tokens + total.output_tokens),
        "aiw/cost_usd": dg.MetadataValue.float(float(total.cost)),
    }
    if total.unpriced:
        found["aiw/unpriced_calls"] = dg.MetadataValue.int(total.unpriced)
    if total.hits:
        found["aiw/recalled"] = dg.MetadataValue.int(total.hits)
        found["aiw/saved_usd"] = dg.MetadataValue.float(float(total.saved_cost))
    if prompts := sorted(prompt for prompt in by_prompt if prompt is not None):
        found["aiw/prompts"] = dg.MetadataValue.text(", ".join(prompts))
    return found


def cost_tags(by_prompt: Mapping[str | None, Totals]) -> dict[str, str]:
    """The exact sum, for the list of runs."""
    total = sum(by_prompt.values(), Totals())
    tokens = total.input_tokens + total.output_tokens
    return {COST_TAG: f"{total.cost:f}", TOKENS_TAG: str(tokens)} if total.calls else {}
