"""What Dagster loads: without servers, without heavy vendors, the same each time, and without showing a secret."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.platform import LOCATION
from assets.partitions import TENANT_TAG
from resources.settings import Settings

pytestmark = pytest.mark.timeout(240)  # each load is seconds of work

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("openai", "anthropic", "boto3", "botocore", "onnxruntime", "great_expectations", "fastapi")
JOBS = {
    "ingest_document",
    "embed_document",
    "rank_concepts",
    "study_guide",
    "rebuild_projections",
    "report_usage",
    "prune_history",
}
CANARY = "canary-5b1f0c"
CANARIES = {
    "AIW_DATABASE__URL": f"postgresql://aiw:{CANARY}@127.0.0.1:1/aiw",
    "AIW_GRAPH__URL": f"bolt://{CANARY}@127.0.0.1:1",
    "AIW_GRAPH__PASSWORD": CANARY,
}


def environment(**variables: str) -> dict[str, str]:
    """A user's environment without any setting of ours."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("AIW_", "DAGSTER_"))}
    return {**plain, **variables}


def python(code: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]  # what is logged comes before it


def test_it_loads_without_servers_or_settings_and_without_heavy_vendors(record_property: Any) -> None:
    code = """
import json, sys, time
began = time.process_time()
from definitions.code_location import defs
defs.get_repository_def()
print(json.dumps({"cpu_seconds": time.process_time() - began, "modules": sorted(sys.modules)}))
"""
    told = json.loads(python(code))
    assert [name for name in HEAVY if name in told["modules"]] == []
    record_property("cpu_seconds_of_import", told["cpu_seconds"])


SNAPSHOT = """
import json
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value
from dagster_shared.record import replace
from definitions.code_location import defs
repository = defs.get_repository_def()
snapshot = RepositorySnap.from_def(repository)
resources = [
    replace(resource, job_ops_using=[
        replace(usage, node_handles=sorted(usage.node_handles, key=str)) for usage in resource.job_ops_using
    ])
    for resource in snapshot.resources
]
users = {name: sorted(found, key=str) for name, found in (snapshot.utilized_env_vars or {}).items()}  # Dagster makes it from sets
print(json.dumps({
    "snapshot": serialize_value(replace(snapshot, utilized_env_vars=users, resources=resources)),
    "jobs": {job.name: job.get_job_snapshot_id() for job in repository.get_all_jobs()},
}))
"""


@pytest.fixture(scope="module")
def loads() -> list[dict[str, Any]]:
    """The code location, loaded by two processes that order hashes differently."""
    with ThreadPoolExecutor() as threads:
        return list(threads.map(lambda seed: json.loads(python(SNAPSHOT, PYTHONHASHSEED=seed, **CANARIES)), ("1", "2")))


def test_two_loads_are_the_same_whatever_the_order_of_hashes(loads: list[dict[str, Any]]) -> None:
    one, other = loads
    assert set(one["jobs"]) >= JOBS
    assert one["jobs"] == other["jobs"]
    assert one["snapshot"] == other["snapshot"]


def test_no_secret_is_in_what_the_ui_is_given(loads: list[dict[str, Any]]) -> None:
    snapshot = loads[0]["snapshot"]
    assert "AIW_GRAPH__PASSWORD" in snapshot, "the resources are not in the snapshot, so this test proves nothing"
    assert CANARY not in snapshot


def test_every_secret_of_a_resource_is_read_from_the_environment() -> None:
    from definitions.resources import build_resources

    literal = [
        f"{name}.{field}"
        for name, resource in build_resources(Settings(_env_file=None)).items()
        for field, value in getattr(type(resource), "model_fields", {}).items()
        if re.search(r"url|password|secret|token|key", field)
        and type(getattr(resource, field, value)).__name__ != "EnvVar"
    ]
    assert literal == []


def test_the_jobs_schedules_and_sensors_are_those_that_the_platform_promises() -> None:
    from definitions.code_location import defs

    repository = defs.get_repository_def()
    bundled = {path.stem for path in (ROOT / "definitions" / "specs").glob("*.yaml")}
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    ours = {
        job.name for job in jobs if TENANT_TAG not in job.tags
    }  # other tests of this process may have published some
    assert ours == JOBS | bundled
    assert {schedule.name for schedule in repository.schedule_defs} >= {
        "rank_concepts_hourly",
        "report_usage_daily",
        "prune_history_daily",
    }
    assert {sensor.name for sensor in repository.sensor_defs} >= {
        "document_events",
        "event_routes",
        "graph_changes",
        "run_succeeded",
        "run_failed",
        "run_cancelled",
    }


def test_the_job_of_a_document_is_divided_by_documents_and_checks_what_it_makes() -> None:
    from assets.table import DOCUMENT_ASSETS
    from definitions.code_location import defs

    job = defs.resolve_job_def("ingest_document")
    assert getattr(job.partitions_def, "name", None) == "documents"
    assert job.asset_layer.executable_asset_keys == {asset.key for asset in DOCUMENT_ASSETS}
    assert {key.name for key in job.asset_layer.asset_graph.asset_check_keys} >= {"has_text", "has_passages"}


def test_names_of_the_location_agree_everywhere() -> None:
    (entry,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert entry["python_module"]["module_name"] == "definitions.code_location"
    assert entry["python_module"]["location_name"] == LOCATION


def test_the_instance_names_classes_that_exist_and_variables_that_the_platform_sets() -> None:
    import importlib

    from api.platform import Platform

    text = (ROOT / "deploy" / "dagster.yaml").read_text()
    config = yaml.safe_load(text)
    for part in (
        "run_storage",
        "event_log_storage",
        "schedule_storage",
        "run_coordinator",
        "run_launcher",
        "compute_logs",
    ):
        assert hasattr(importlib.import_module(config[part]["module"]), config[part]["class"]), part
    assert config["telemetry"] == config["nux"] == {"enabled": False}
    settings = Settings(_env_file=None, database={"url": "postgresql://u:p@h:1/d"})
    assert set(re.findall(r"env: (\w+)", text)) <= set(Platform(settings).environment())


@pytest.mark.timeout(120)
def test_dagster_validates_the_workspace_from_the_root_of_the_repository(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=ROOT,
        env=environment(DAGSTER_HOME=str(tmp_path), DAGSTER_DISABLE_TELEMETRY="1"),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Validation successful" in done.stdout + done.stderr
