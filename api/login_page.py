"""`/login` for people: a page, and the cookie that Dagster's UI is used with.

The cookie holds an access token of the person's session. No script can read it, and no page of another site makes a browser send
it; the API itself takes no cookies at all, so there is nothing there that one could be abused for.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from anyio import to_thread
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route

from api.running import UI_PATH
from resources.errors import NotPermittedError, PlatformError, UnauthenticatedError
from resources.tenants.tokens import LONGEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from resources.tenants.identity import Identity
    from resources.tenants.model import Principal

LOGIN = "/login"
COOKIE = "aiw_session"
SECONDS = LONGEST
_DEFAULT = f"{UI_PATH}/"
_STYLE = """
:root{color-scheme:light dark}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:#f4f5f7;color:#1c2430;
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:min(22rem,calc(100vw - 3rem));padding:2rem;background:#fff;border:1px solid #dde1e7;border-radius:12px}
h1{margin:0 0 .25rem;font-size:1.25rem}
p{margin:0 0 1.25rem;color:#5a6675;font-size:.9rem}
label{display:block;margin:0 0 .25rem;font-size:.85rem;font-weight:600}
input{box-sizing:border-box;width:100%;margin:0 0 1rem;padding:.6rem .7rem;font:inherit;color:inherit;background:transparent;
border:1px solid #b8c0cc;border-radius:8px}
input:focus-visible,button:focus-visible{outline:2px solid #3b5bdb;outline-offset:1px}
button{width:100%;padding:.65rem;font:inherit;font-weight:600;color:#fff;background:#3b5bdb;border:0;border-radius:8px;cursor:pointer}
button.plain{margin-top:.75rem;color:inherit;background:transparent;border:1px solid #b8c0cc}
[role=alert]{padding:.6rem .7rem;color:#8f1d1d;background:#fdecec;border-radius:8px}
a{color:#3b5bdb}
@media (prefers-color-scheme:dark){body{background:#12161c;color:#e8ebf0}main{background:#1a2029;border-color:#2c3542}
p{color:#9aa6b5}[role=alert]{color:#ffc9c9;background:#3a1d20}a{color:#91a7ff}}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",  # without it the form's own Origin would be told as `null`
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Log in</title><style>{style}</style></head><body><main>{content}</main></body></html>"""
_FORM = """<h1>AI Workflow Engine</h1><p>Log in to see the runs of the platform.</p>{alert}
<form method="post" action="/login/session"><input type="hidden" name="next" value="{next}">
<label for="username">User name or email</label>
<input id="username" name="username" value="{username}" autocomplete="username" required autofocus maxlength="1024">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="1024">
<button>Log in</button></form>"""
_INSIDE = """<h1>AI Workflow Engine</h1><p>Logged in as <b>{username}</b> ({role}).</p>{alert}
<p><a href="{next}">Go to Dagster's UI</a></p>
<form method="post" action="/login/end"><button class="plain">Log out</button></form>"""

_OUTSIDE = """<h1>AI Workflow Engine</h1><p>Logged in as <b>{username}</b> ({role}). Dagster's UI shows the runs of all tenants,
and is not for you: see your own through the API.</p>{alert}"""
_ELSEWHERE = """<p><a href="/api/v1/auth/oidc/start?next={next}">Log in with your organisation</a></p>"""


class LoginPage:
    """The routes of it. `check` raises NotPermittedError for who has no business behind the door."""

    def __init__(
        self,
        identity: Identity,
        *,
        check: Callable[[Principal], object],
        public_url: str | None = None,
        elsewhere: bool = False,
    ) -> None:
        """`elsewhere`: people can log in with an OpenID Connect provider, too."""
        self._identity = identity
        self._check = check
        self._public_url = public_url
        self._elsewhere = elsewhere

    @property
    def routes(self) -> list[Route]:
        return [
            Route(LOGIN, self.show, methods=["GET"], include_in_schema=False),
            Route(f"{LOGIN}/session", self.begin, methods=["POST"], include_in_schema=False),
            Route(f"{LOGIN}/end", self.end, methods=["POST"], include_in_schema=False),
        ]

    async def show(self, request: Request) -> Response:
        """The form, or who is logged in."""
        wanted = _wanted(request.query_params.get("next"))
        principal = await self._principal(request)
        if principal is None:
            return self._form(wanted)
        return _page(_INSIDE, username=principal.username, role=principal.role, next=wanted)

    async def begin(self, request: Request) -> Response:
        """Log in, and go where one wanted to."""
        self._check_origin(request)
        form = await request.form(max_files=0, max_fields=10)
        username, password = str(form.get("username", ""))[:1024], str(form.get("password", ""))[:1024]
        wanted = _wanted(str(form.get("next", "")))
        address = request.client.host if request.client else None
        try:
            token = await to_thread.run_sync(self._login, username, password, address)
        except PlatformError as error:
            status = HTTPStatus.FORBIDDEN if isinstance(error, NotPermittedError) else HTTPStatus.UNAUTHORIZED
            return self._form(wanted, alert=error.message, username=username, status=status)
        answer = RedirectResponse(wanted, HTTPStatus.SEE_OTHER)
        self._keep(request, answer, token)
        return answer

    def admit(self, request: Request, answer: Response, principal: Principal) -> bool:
        """Give who has logged in elsewhere the cookie, if they have business behind the door."""
        try:
            self._check(principal)
        except NotPermittedError:
            return False
        self._keep(request, answer, self._identity.authentication.lasting_token(principal, seconds=SECONDS))
        return True

    def welcome(self, request: Request, principal: Principal, next: str | None) -> Response:
        """The page behind a login elsewhere: a link, as browsers send a strict cookie with what is clicked on our own pages."""
        username, role = principal.username, principal.role
        answer = _page(_INSIDE, username=username, role=role, next=_wanted(next))
        if self.admit(request, answer, principal):
            return answer
        return _page(_OUTSIDE, username=username, role=role, status=HTTPStatus.FORBIDDEN)

    def _keep(self, request: Request, answer: Response, token: str) -> None:
        answer.set_cookie(
            COOKIE, token, max_age=SECONDS, path="/", httponly=True, samesite="strict", secure=self._secure(request)
        )

    async def end(self, request: Request) -> Response:
        """Log out."""
        self._check_origin(request)
        principal = await self._principal(request)
        if principal is not None:
            await to_thread.run_sync(self._identity.authentication.logout, principal)
        answer = RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer

    def _form(self, wanted: str, *, alert: str = "", username: str = "", status: int = HTTPStatus.OK) -> HTMLResponse:
        content = _FORM + (_ELSEWHERE.format(next=quote(wanted, safe="/")) if self._elsewhere else "")
        return _page(content, alert=alert, username=username, next=wanted, status=status)

    def _login(self, username: str, password: str, address: str | None) -> str:
        authentication = self._identity.authentication
        pair = authentication.login(username, password, tenant=self._identity.home, address=address)
        try:
            self._check(pair.principal)
        except NotPermittedError:
            authentication.logout(pair.principal)
            raise
        return authentication.lasting_token(pair.principal, seconds=SECONDS)

    async def _principal(self, request: Request) -> Principal | None:
        token = request.cookies.get(COOKIE)
        if not token:
            return None
        try:
            return await to_thread.run_sync(self._identity.verified.authenticate, token)
        except UnauthenticatedError:
            return None

    def _check_origin(self, request: Request) -> None:
        """Nobody else's page logs anybody in or out."""
        origin = request.headers.get("origin")
        ours = {f"{request.url.scheme}://{request.headers.get('host', '')}"}
        if self._public_url is not None:
            parts = urlsplit(self._public_url)
            ours.add(f"{parts.scheme}://{parts.netloc}")
        if origin is not None and origin not in ours:
            raise NotPermittedError(f"Pages of {origin!r} may not log anybody in.", code="origin_not_allowed")

    def _secure(self, request: Request) -> bool:
        return (self._public_url or str(request.url)).startswith("https://")


def _page(content: str, *, alert: str = "", status: int = HTTPStatus.OK, **fields: str) -> HTMLResponse:
    told = f'<p role="alert">{escape(alert)}</p>' if alert else ""
    filled = content.format(alert=told, **{name: escape(value) for name, value in fields.items()})
    return HTMLResponse(_PAGE.format(style=_STYLE, content=filled), status, headers=_HEADERS)


def _wanted(next: str | None) -> str:
    """Where to go on: within the UI, and nowhere else."""
    return next if next and next.startswith(_DEFAULT) and "\\" not in next else _DEFAULT
