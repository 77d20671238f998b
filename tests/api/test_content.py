"""Analyses over HTTP."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from api.client import ApiClient
from api.content import AnalyzeIn
from tests.fixtures.office import make_docx

if TYPE_CHECKING:
    import httpx

ANALYZE = "/api/v1/analyze"
TEXT = "# Tea\n\nGreen tea is made from leaves. Green tea wants water of eighty degrees. See https://tea.example/ for more."


def analyze(http: httpx.Client, path: str = ANALYZE, **fields: Any) -> httpx.Response:
    return http.post(path, json={"content": TEXT, "content_type": "Markdown", **fields})


@pytest.mark.parametrize("path", [ANALYZE, "/analyze"])
def test_a_document_is_analysed_at_once(http: httpx.Client, path: str) -> None:
    answer = analyze(http, path)
    assert answer.status_code == 200
    body = answer.json()
    result = body["result"]
    assert (body["status"], body["errors"]) == ("completed", [])
    assert result["content_metadata"]["content_type"] == "text/markdown"
    assert result["content_metadata"]["title"] == "Tea"
    assert "green tea" in [concept["text"].lower() for concept in result["concepts"]]
    assert result["structure"]["sections"][0]["section"]["title"] == "Tea"
    assert result["structure"]["links"][0]["kind"] == "external"
    assert result["quality_metrics"]["score"] > 0
    assert result["difficulty_analysis"]["level"] in {"beginner", "intermediate", "advanced", "expert"}
    assert result["mode"] == "offline"


def test_what_was_done_is_found_again_as_a_job(http: httpx.Client) -> None:
    body = analyze(http).json()
    assert http.get(f"{ANALYZE}/jobs/{body['job_id']}").json() == body
    (listed,) = http.get(f"{ANALYZE}/jobs", params={"status": "completed"}).json()["jobs"]
    assert (listed["job_id"], listed["result"]) == (body["job_id"], None)


def test_a_part_that_is_not_wanted_is_null(http: httpx.Client) -> None:
    wanted = {"generate_summary": False, "assess_quality": False, "extract_concepts": False, "detect_language": False}
    result = analyze(http, options=wanted).json()["result"]
    assert (result["summary"], result["quality_metrics"], result["concepts"], result["language"]) == (None,) * 4
    assert result["keywords"]


def test_bytes_come_in_base64(http: httpx.Client) -> None:
    body = {"content_base64": base64.b64encode(make_docx()).decode(), "name": "guide.docx"}
    result = http.post(ANALYZE, json=body).json()["result"]
    assert (result["content_metadata"]["title"], result["content_metadata"]["author"]) == ("The Guide", "Ada")


def test_a_file_of_a_form_is_analysed(http: httpx.Client) -> None:
    answer = http.post(
        f"{ANALYZE}/upload", files={"file": ("docs/guide.docx", make_docx(), "application/octet-stream")}
    )
    assert answer.status_code == 200
    assert answer.json()["name"] == "guide.docx"
    assert answer.json()["result"]["content_metadata"]["title"] == "The Guide"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"content": ""}, 400, "document_empty"),
        ({"content": "x", "content_type": "Video"}, 400, "UNSUPPORTED_FORMAT"),
        ({"content": "{", "content_type": "Json"}, 400, "PARSE_ERROR"),
        ({"content": "plain", "content_type": "Pdf"}, 400, "content_type_mismatch"),
        ({"content": "x" * (10 * 1024 * 1024 + 1)}, 413, "CONTENT_TOO_LARGE"),
        ({}, 422, "validation_failed"),
        ({"content": "x", "content_base64": "eA=="}, 422, "validation_failed"),
        ({"content_base64": "?"}, 422, "validation_failed"),
        ({"content": "x", "options": {"provider": "openai"}}, 422, "validation_failed"),
    ],
    ids=["empty", "video", "broken", "mismatch", "large", "nothing", "both", "no base64", "half a model"],
)
def test_a_bad_request_is_refused_with_its_code(
    http: httpx.Client, body: dict[str, Any], status: int, code: str
) -> None:
    answer = http.post(ANALYZE, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_document_that_takes_too_long_is_given_up(http: httpx.Client) -> None:
    slow = "*a_ " * 200_000
    answer = http.post(
        ANALYZE, json={"content": slow, "content_type": "Markdown", "options": {"timeout_seconds": 0.05}}
    )
    assert (answer.status_code, answer.json()["code"]) == (408, "TIMEOUT")


def test_a_job_that_there_is_not_is_not_found(http: httpx.Client) -> None:
    for path, method in ((f"{ANALYZE}/jobs/{uuid.uuid4()}", "GET"), (f"{ANALYZE}/jobs/{uuid.uuid4()}/cancel", "POST")):
        answer = http.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


def test_the_client_analyses_too(api_url: str) -> None:
    with ApiClient(api_url) as client:
        job = client.analyze(AnalyzeIn(content=TEXT, name="tea.md"))
        assert client.analysis(job.job_id) == job
        assert client.analyze_file(make_docx(), name="guide.docx").result is not None
        assert len(client.analyses().jobs) == 2
        assert client.cancel_analysis(job.job_id).status == "completed"
