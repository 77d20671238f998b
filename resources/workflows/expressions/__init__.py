"""Expressions in the strings of a workflow: `{{ nodes.search.output.hits[0].title | upper }}`.

Jinja, with everything taken away that is not needed. Templates read JSON and nothing else: attributes are keys of objects (so
`output.items` is the key and not a method), the few methods and filters are in tables, and macros, includes and imports do not
exist. What an expression may cost is bounded as well: every value that a filter or an operator makes is counted against one
budget, every turn of a loop looks at the clock, and the result has a greatest size.
"""

from resources.workflows.expressions.engine import Expressions, as_expression, has_markers
from resources.workflows.expressions.functions import FILTERS
from resources.workflows.expressions.parsing import MARKERS, RUN_NAMES, Reference, References

__all__ = ["FILTERS", "MARKERS", "RUN_NAMES", "Expressions", "Reference", "References", "as_expression", "has_markers"]
