"""All metrics that there are: the explicit table of their names, what they mean and what they are told apart by.

Counters end in `_total`; seconds and bytes are base units. Labels are few, and their values bounded: no metric tells
of a tenant, a path or a person. Of names that somebody made up (of models, node types, capabilities) so many are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from api.metrics import http
from resources.events.projections import totals
from resources.resilience import tally

if TYPE_CHECKING:
    from collections.abc import Sequence


class Family(NamedTuple):
    """One metric. `bounds` are those of the buckets of a histogram."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: Sequence[float] = ()


FAMILIES: Final = (
    # Of the processes that serve the API, all together
    Family(
        "aiw_http_requests_total",
        "counter",
        "Requests that were answered; the status none = the client went away.",
        ("method", "route", "status"),
    ),
    Family(
        "aiw_http_request_duration_seconds",
        "histogram",
        "Until an answer had begun.",
        ("method", "route"),
        http.BOUNDS,
    ),
    Family("aiw_http_requests_in_flight", "gauge", "Requests that are being answered."),
    Family("aiw_http_requests_uncorrelated_total", "counter", "Requests that came without a correlation id."),
    Family("aiw_websocket_connections", "gauge", "Sockets and event streams that are open."),
    Family(
        "aiw_outgoing_calls_total", "counter", "Calls of other systems behind circuit breakers.", ("target", "outcome")
    ),
    Family("aiw_outgoing_call_duration_seconds", "histogram", "How long they took.", ("target",), tally.BOUNDS),
    Family("aiw_outgoing_calls_in_flight", "gauge", "Calls of other systems that are under way.", ("target",)),
    Family("aiw_circuit_breakers", "gauge", "Circuit breakers, by what they stand before.", ("target", "state")),
    Family("aiw_circuit_breaker_changes_total", "counter", "Changes of their state.", ("target", "to")),
    Family("aiw_mcp_connections", "gauge", "Connections to MCP servers that are called.", ("status",)),
    Family("aiw_database_connections", "gauge", "Connections to the database; waiting = wanted.", ("state",)),
    Family("aiw_database_errors_total", "counter", "Connections that could not be had, or were lost."),
    # Of the platform, from its database
    Family("aiw_workflow_runs_total", "counter", "Workflow runs that came to this status.", ("status",)),
    Family("aiw_workflow_runs_active", "gauge", "Runs that wait for a worker, or have one.", ("state",)),
    Family("aiw_workflow_run_duration_seconds", "histogram", "How long runs took.", (), totals.WORKFLOW_BOUNDS),
    Family("aiw_workflow_nodes_total", "counter", "Nodes that ended, or were tried again.", ("type", "outcome")),
    Family("aiw_workflow_node_duration_seconds", "histogram", "How long nodes took.", ("type",), totals.NODE_BOUNDS),
    Family("aiw_ai_requests_total", "counter", "Attempts to ask a model.", ("provider", "model", "outcome")),
    Family("aiw_ai_request_duration_seconds", "histogram", "How long they took.", ("provider",), totals.AI_BOUNDS),
    Family("aiw_ai_tokens_total", "counter", "Tokens, as providers told.", ("provider", "model", "type")),
    Family("aiw_ai_cost_usd_total", "counter", "What models cost.", ("provider", "model")),
    Family("aiw_ai_unpriced_requests_total", "counter", "Attempts whose cost is unknown.", ("provider", "model")),
    Family("aiw_ai_budget_used_ratio", "gauge", "Of the budget that is spent most: spent by limit.", ("scope", "unit")),
    Family("aiw_ai_budget_alerts_total", "counter", "Budgets that came near or to their limit.", ("scope", "reached")),
    Family("aiw_tool_calls_total", "counter", "Calls of tools of MCP servers, by workflows and agents.", ("outcome",)),
    Family("aiw_tool_call_duration_seconds", "histogram", "How long they took.", (), totals.AI_BOUNDS),
    Family("aiw_events_appended_total", "counter", "Positions of the event store that are taken."),
    Family("aiw_projection_lag_events", "gauge", "Events that a read model has not taken in.", ("projection",)),
    Family("aiw_dead_letters", "gauge", "Events that a subscription could not work off.", ("subscription",)),
    Family("aiw_registered_agents", "gauge", "Agents that were heard of lately.", ("capability",)),
    Family("aiw_source_up", "gauge", "1 = the figures of this source could be read.", ("source",)),
    # Of the machine and the platform's processes
    Family("aiw_build_info", "gauge", "1, by the version.", ("version",)),
    Family("aiw_process_start_time_seconds", "gauge", "When a process was started, in Unix time.", ("process",)),
    Family("aiw_process_cpu_seconds_total", "counter", "CPU time of a process, without its children.", ("process",)),
    Family("aiw_process_memory_bytes", "gauge", "Resident memory of a process with its children.", ("process",)),
    Family("aiw_system_cpu_seconds_total", "counter", "CPU time of the machine.", ("mode",)),
    Family("aiw_system_memory_bytes", "gauge", "Memory of the machine.", ("state",)),
    Family("aiw_disk_bytes", "gauge", "The disk that the data folder is on.", ("state",)),
)
