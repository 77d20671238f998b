"""What is shipped for Prometheus asks for metrics and labels that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.auth.access import ACCESS
from api.metrics.families import FAMILIES

SHIPPED = Path(__file__).parents[3] / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((SHIPPED / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
OWN = {"up": {"job", "instance"}}  # what Prometheus tells by itself
LABELS = OWN | {
    name: {*family.labels, *({"le"} if name.endswith("_bucket") else ())}
    for family in FAMILIES
    for name in (
        [f"{family.name}{end}" for end in ("_bucket", "_sum", "_count")]
        if family.kind == "histogram"
        else [family.name]
    )
}
_SELECTOR = re.compile(r"\b(up|aiw_[a-z0-9_]+)(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_asks_for_what_there_is(rule: dict[str, Any]) -> None:
    selected = _SELECTOR.findall(rule["expr"])
    assert selected
    for name, matchers in selected:
        assert name in LABELS, f"{name} is not exported"
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= LABELS[name]
    known = set().union(*(LABELS[name] for name, _ in selected))
    grouped = {label.strip() for labels in _GROUPED.findall(rule["expr"]) for label in labels.split(",")}
    assert grouped <= known
    said = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert said <= (grouped or known)
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}


def test_what_the_original_warned_of_is_warned_of() -> None:
    assert {rule["alert"] for rule in RULES} >= {
        *("ServiceDown", "ServerErrors", "WorkflowFailures", "CrossSystemFailures", "SlowAnswers"),
        *("BusyProcessor", "LittleMemory", "DatabaseErrors", "MissingCorrelationIds"),
    }


def test_the_scrape_asks_for_a_path_that_there_is() -> None:
    config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    (scraped,) = config["scrape_configs"]
    assert f"GET {scraped['metrics_path'].removeprefix('/api/v1')}" in ACCESS
    assert {path.name for path in SHIPPED.iterdir()} >= set(config["rule_files"])


def test_names_are_those_of_the_house() -> None:
    units = ("_total", "_seconds", "_bytes", "_ratio", "_info")
    for family in FAMILIES:
        assert re.fullmatch(r"aiw_[a-z]+(_[a-z]+)+", family.name)
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert (family.kind == "histogram") == bool(family.bounds)
        assert "tenant" not in family.labels
        assert family.kind != "histogram" or family.name.endswith(units)
