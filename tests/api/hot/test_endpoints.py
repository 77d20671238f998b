"""Routes that are answered without the framework's way of calling functions: each must say what the framework would have said."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import ResponseValidationError
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from api import problems
from api.endpoints import Endpoint, app_of
from api.matching import IndexedRoutes
from resources.errors import NotFoundError


class Thing(BaseModel):
    name: str = Field(alias="called")
    note: str | None = None


async def agent(request: Request) -> str:
    if "x-broken" in request.headers:
        raise NotFoundError("There is no agent.", code="agent_not_found")
    return request.headers["user-agent"]


async def query(limit: int = 1) -> int:
    return limit


Agent = Annotated[str, Depends(agent)]
router = APIRouter()


@router.get("/things/{name}")
def thing(name: str, agent: Agent, limit: Annotated[int, Query(le=9)] = 3) -> Thing:
    return Thing(called=f"{name} {agent} {limit}")


@router.get("/awaited", response_model_exclude_none=True)
async def awaited(request: Request, if_match: Annotated[str | None, Header(alias="If-Match")] = None) -> Thing:
    return Thing(called=f"{request.url.path} {if_match}")


@router.get("/tagged", status_code=203)
def tagged(response: Response, other: bool = False) -> Thing:
    response.headers["ETag"] = '"1"'
    response.status_code = 202 if other else None  # type: ignore[assignment]  # what the framework does with it, too
    return Thing(called="tagged")


@router.get("/told", response_model=Thing)
def told() -> Any:
    return PlainTextResponse("as it is", status_code=201)


@router.get("/mapping", response_model=Thing)
async def mapping() -> Any:
    return {"called": "mapping", "other": 1}


@router.get("/wrong", response_model=Thing)
def wrong() -> Any:
    return {"note": "no name"}


@router.get("/nested")
async def nested(limit: Annotated[int, Depends(query)]) -> Thing:
    return Thing(called=str(limit))


@router.post("/things")
def make(body: Thing) -> Thing:
    return body


PLAIN = {"thing", "awaited", "tagged", "told", "mapping", "wrong"}


def application(*, indexed: bool) -> FastAPI:
    app = FastAPI()
    problems.install(app)
    app.include_router(router, prefix="/api/v1", dependencies=[Depends(agent)])
    if indexed:
        app.router.routes.insert(0, IndexedRoutes(app.router.routes))
    return app


def answer(method: str, path: str, headers: dict[str, str], *, indexed: bool) -> tuple[int, dict[str, str], bytes]:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(application(indexed=indexed))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(
                method, f"/api/v1{path}", headers=headers, json={"called": "x"} if method == "POST" else None
            )

    found = asyncio.run(ask())
    return found.status_code, dict(found.headers), found.content


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/things/a%20b", {}),
        ("GET", "/things/a?limit=4&limit=5&unknown=1", {}),
        ("GET", "/things/a?limit=10", {}),
        ("GET", "/things/a?limit=x", {}),
        ("GET", "/things/a", {"x-broken": "1"}),
        ("GET", "/awaited", {}),
        ("GET", "/awaited", {"If-Match": "*"}),
        ("GET", "/tagged", {}),
        ("GET", "/tagged?other=true", {}),
        ("GET", "/told", {}),
        ("GET", "/mapping", {}),
        ("GET", "/nested?limit=7", {}),
        ("GET", "/nested?limit=x", {}),
        ("POST", "/things", {}),
        ("DELETE", "/things/a", {}),
    ],
)
def test_a_route_says_what_it_says_in_the_framework(method: str, path: str, headers: dict[str, str]) -> None:
    assert answer(method, path, headers, indexed=True) == answer(method, path, headers, indexed=False)


def test_an_answer_that_is_not_what_was_declared_is_not_sent() -> None:
    with pytest.raises(ResponseValidationError):
        answer("GET", "/wrong", {}, indexed=True)


def test_routes_that_use_more_of_the_framework_are_left_to_it() -> None:
    included = next(
        route for route in application(indexed=False).router.routes if hasattr(route, "effective_route_contexts")
    )
    contexts: list[Any] = list(included.effective_route_contexts())
    assert {context.name for context in contexts if isinstance(app_of(context), Endpoint)} == PLAIN
