"""What can be changed or removed and read alone has a tag, and changes on condition: nobody overwrites what he has not seen."""

from __future__ import annotations

import base64
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

from api.app import create_app
from resources.knowledge.model import Concept, Extraction
from resources.settings import Settings
from tests.api.auth.people import People
from tests.fixtures.modules import TERMS

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from api.dependencies import Services

V1 = "/api/v1"
CHANGES = ("put", "patch", "delete")
# What cannot be read alone, or says nothing that somebody else could have changed.
WITHOUT = {
    "DELETE /documents/{document_id}": "whoever takes a document back wants none of its revisions, seen or not",
    "PUT /users/{user_id}/password": "a password is never shown, and replaces none that was seen",
    "DELETE /users/{user_id}/sessions": "it ends all that there are, which is meant of those that begin meanwhile, too",
    "PUT /mcp-servers/{name}/login": "a login is never shown",
    "DELETE /mcp-servers/{name}/login": "a login is never shown",
}
# Those that are read at another address than they are changed at.
READ_AT = {
    "/plugins/{name}/config": "/plugins/{name}",
    "/budgets": "/budgets/{budget_id}",
    "/concepts/{concept}": "/concepts/{concept}/curation",
    "/progress": "/progress/{concept}",
}


def documented() -> dict[str, Any]:
    paths = create_app(MagicMock(rate_buckets=None), Settings(_env_file=None)).openapi()["paths"]
    return {path.removeprefix(V1): operations for path, operations in paths.items()}


DOCUMENTED = documented()
CONDITIONAL = sorted(
    f"{method.upper()} {path}" for path, operations in DOCUMENTED.items() for method in operations if method in CHANGES
)
CONDITIONAL = [operation for operation in CONDITIONAL if operation not in WITHOUT]


@dataclass
class Office:
    """A tenant, its admin, and the platform's."""

    http: httpx.Client
    services: Services
    people: People
    own: dict[str, str]
    platform: dict[str, str]

    def made(self, method: str, path: str, body: Any) -> Any:
        answer = self.http.request(method, f"{V1}{path}", json=body, headers=self.own)
        assert answer.is_success, answer.text
        return answer.json()

    def headers(self, path: str) -> dict[str, str]:
        return self.platform if path.startswith("/tenants") else self.own


@pytest.fixture
def office(guarded: httpx.Client, services: Services, people: People) -> Office:
    home = People(services.identity, services.identity.home)
    return Office(guarded, services, people, people.headers("admin"), home.headers("admin"))


def _agent(office: Office) -> str:
    body = {"name": "ada", "endpoint": "https://agents.example/x", "capabilities": ["research"]}
    return f"/registry/agents/{office.made('POST', '/registry/agents', body)['id']}"


def _plugin(office: Office) -> str:
    module = base64.b64encode(TERMS).decode()
    office.made("POST", "/plugins", {"module_base64": module, "grants": ["log"], "config": {"terms": ["tea"]}})
    return "/plugins/terms"


def _budget(office: Office) -> str:
    return f"/budgets/{office.made('PUT', '/budgets', {'limit': '1'})['budget_id']}"


def _prompt(office: Office) -> str:
    for text in ("one", "two", "three"):
        office.made("POST", "/prompts", {"prompt": {"id": "hail", "name": "Hail", "content": text}})
    office.made("PUT", "/prompts/hail/labels/production", {"version": 1})
    return "/prompts/hail/labels/production"


def _curation(office: Office) -> str:
    office.made("POST", "/concepts", {"name": "Tea"})
    return "/concepts/tea/curation"


def _progress(office: Office) -> str:
    concept = Concept(id="tea", name="Tea", kind="subject")
    found = Extraction(
        document_id="d", sha256="0" * 64, title="T", concepts=(concept,), mentions={"tea": 1.0}, edges=()
    )
    office.services.graph.weave(found, tenant=office.people.tenant)
    office.made("PUT", "/progress/tea", {"percent": 10})
    return "/progress/tea"


def _path(office: Office) -> str:
    _progress(office)
    return f"/learning-paths/{office.made('POST', '/learning-paths', {'name': 'Tea', 'target': 'tea'})['id']}"


def _rule(office: Office) -> str:
    office.made("PUT", "/realtime/rules/tagged", message_rule(0))
    return "/realtime/rules/tagged"


def _route(office: Office) -> str:
    office.made("PUT", "/routes/told", routing_rule(0))
    return "/routes/told"


def _server(office: Office) -> str:
    office.made("PUT", "/mcp-servers/tools", mcp_server(0))
    return "/mcp-servers/tools"


def _provider_key(office: Office) -> str:
    office.made("PUT", "/provider-keys/openai", {"key": "sk-first-0123456789"})
    return "/provider-keys/openai"


def _workflow(office: Office) -> str:
    office.made(
        "POST", "/workflows", {"name": "w", "nodes": {"greet": {"type": "template", "config": {"template": "x"}}}}
    )
    return "/workflows/w"


def message_rule(number: int) -> dict[str, Any]:
    return {"name": "tagged", "priority": number}


def routing_rule(number: int) -> dict[str, Any]:
    return {"types": ["run.*"], "action": {"kind": "topic", "topic": f"told_{number}"}}


def mcp_server(number: int) -> dict[str, Any]:
    return {"urls": [f"https://93.184.216.34/{number}"]}


MADE: dict[str, Callable[[Office], str]] = {
    "/budgets/{budget_id}": _budget,
    "/concepts/{concept}/curation": _curation,
    "/keys/{key_id}": lambda office: f"/keys/{office.made('POST', '/keys', {'name': 'k'})['id']}",
    "/learning-paths/{path_id}": _path,
    "/mcp-servers/{name}": _server,
    "/plugins/{name}": _plugin,
    "/progress/{concept}": _progress,
    "/prompts/{id}/labels/{label}": _prompt,
    "/provider-keys/{provider}": _provider_key,
    "/realtime/rules/{name}": _rule,
    "/registry/agents/{agent_id}": _agent,
    "/routes/{name}": _route,
    "/tenants/{tenant_id}": lambda office: f"/tenants/{office.people.tenant}",
    "/users/{user_id}": lambda office: f"/users/{office.people.user('viewer').id}",
    "/workflows/{name}": _workflow,
}
# The n-th of changes that all differ.
BODIES: dict[str, Callable[[int], Any]] = {
    "PUT /budgets": lambda n: {"limit": str(n + 2)},
    "PUT /mcp-servers/{name}": lambda n: mcp_server(n + 1),
    "PATCH /plugins/{name}": lambda n: {"limits": {"output_bytes": 1000 + n}},
    "PUT /plugins/{name}/config": lambda n: {"terms": [f"t{n}"]},
    "PUT /concepts/{concept}": lambda n: {"name": "Tea", "minutes": n + 1},
    "PUT /progress": lambda n: {"concept": "tea", "percent": 20 + n},
    "PUT /progress/{concept}": lambda n: {"percent": 20 + n},
    "PUT /prompts/{id}/labels/{label}": lambda n: {"version": 2 + n % 2},
    "PUT /provider-keys/{provider}": lambda n: {"key": f"sk-another-0123-{n:04}"},
    "PUT /realtime/rules/{name}": lambda n: message_rule(n + 1),
    "PUT /routes/{name}": lambda n: routing_rule(n + 1),
    "PATCH /tenants/{tenant_id}": lambda n: {"name": f"Tenant {n}"},
    "PATCH /users/{user_id}": lambda n: {"email": f"ada{n}@example.org"},
}


def test_what_can_be_changed_and_read_alone_documents_its_condition() -> None:
    assert set(BODIES) == {operation for operation in CONDITIONAL if not operation.startswith("DELETE")}
    for operation in CONDITIONAL:
        method, path = operation.split(" ")
        documented = DOCUMENTED[path][method.lower()]
        assert "If-Match" in {given["name"] for given in documented.get("parameters", ())}, operation
        assert "412" in documented["responses"], operation
        read_at = READ_AT.get(path, path)
        assert "get" in DOCUMENTED[read_at], f"{operation}: nobody can see what it would overwrite"
        assert read_at in MADE, operation


@pytest.mark.parametrize("operation", CONDITIONAL)
def test_it_changes_only_as_it_was_seen(office: Office, operation: str) -> None:
    method, template = operation.split(" ")
    read_at = MADE[READ_AT.get(template, template)](office)
    headers = office.headers(template)
    seen = office.http.get(f"{V1}{read_at}", headers=headers)
    assert seen.headers["ETag"].startswith('"')
    address = f"{V1}{_changed_at(template, read_at)}"

    def ask(tag: str) -> httpx.Response:
        body = {"json": BODIES[operation](0)} if operation in BODIES else {}
        return office.http.request(method, address, headers=headers | {"If-Match": tag}, **body)

    stale = ask('"0123456789abcdef"')
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert office.http.get(f"{V1}{read_at}", headers=headers).headers["ETag"] == seen.headers["ETag"]
    done = ask(f'"another", {seen.headers["ETag"]}')
    if operation == "DELETE /tenants/{tenant_id}":  # that it may be erased is more than to be as it was seen
        assert (done.status_code, done.json()["code"]) == (409, "tenant_not_apart")
        return
    assert done.is_success, done.text
    if method != "DELETE":
        assert done.headers["ETag"] == office.http.get(f"{V1}{read_at}", headers=headers).headers["ETag"]
    assert ask(seen.headers["ETag"]).status_code in ({412} if method != "DELETE" else {404, 412})


@pytest.mark.parametrize("operation", [operation for operation in CONDITIONAL if not operation.startswith("DELETE")])
def test_of_many_who_saw_the_same_one_changes_it(office: Office, operation: str) -> None:
    method, template = operation.split(" ")
    read_at = MADE[READ_AT.get(template, template)](office)
    headers = office.headers(template)
    seen = office.http.get(f"{V1}{read_at}", headers=headers).headers["ETag"]
    address = f"{V1}{_changed_at(template, read_at)}"

    def ask(number: int) -> int:
        body = BODIES[operation](number)
        return office.http.request(method, address, json=body, headers=headers | {"If-Match": seen}).status_code

    with ThreadPoolExecutor(6) as several:
        answers = sorted(several.map(ask, range(6)))
    assert answers == [200, *[412] * 5]


def _changed_at(template: str, read_at: str) -> str:
    if template in {"/budgets", "/progress"}:
        return template
    read_at = read_at.removesuffix("/curation")
    return f"{read_at}/config" if template.endswith("/config") else read_at


def test_what_is_not_there_is_not_made_on_condition(office: Office) -> None:
    for path, body in (("/mcp-servers/none", mcp_server(0)), ("/realtime/rules/none", message_rule(0))):
        answer = office.http.put(f"{V1}{path}", json=body, headers=office.own | {"If-Match": "*"})
        assert answer.status_code == 412
        assert office.http.get(f"{V1}{path}", headers=office.own).status_code == 404


def test_the_key_of_another_user_is_not_shown(office: Office) -> None:
    key = _made_key(office)
    assert office.http.get(f"{V1}{key}", headers=office.people.headers("viewer")).status_code == 404
    assert office.http.get(f"{V1}/keys/{uuid.uuid4().hex[:12]}", headers=office.own).status_code == 404


def _made_key(office: Office) -> str:
    return MADE["/keys/{key_id}"](office)
