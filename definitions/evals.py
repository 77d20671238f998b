"""Which assets of the workflows that come with the platform are evaluated, and by what."""

from typing import Final

import dagster as dg

from assets.evals import build_eval_check, document_of_output

EVALS: Final[list[dg.AssetChecksDefinition]] = [
    build_eval_check(
        ["documentation", "generated"],
        name="reads_well",
        scorers=[{"kind": "readability", "min": 0, "max": 122}, {"kind": "contains", "none": ["{{", "}}", "{%"]}],
        subject=document_of_output,
    ),
]
