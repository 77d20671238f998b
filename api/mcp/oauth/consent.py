"""The page where somebody logs in and agrees: which program asks, where it lives, and what it wants to do in their name.

It takes no cookies: who agrees shows a password, each time. A tenant's user agrees for that user alone.
"""

from __future__ import annotations

import base64
import hashlib
import time
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from anyio import to_thread
from mcp.server.auth.provider import construct_redirect_uri
from starlette.responses import HTMLResponse, RedirectResponse

from api.mcp.oauth.sealed import Code, Request
from resources.errors import LimitExceededError, PlatformError
from resources.tenants.permissions import narrowed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response

    from api.mcp.oauth.sealed import Seals
    from resources.tenants.identity import Identity
    from resources.tenants.model import Principal, TokenPair

_CODE_SECONDS: Final = 60.0
_STYLE = """
:root{color-scheme:light dark}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:#f4f5f7;color:#1c2430;
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:min(26rem,calc(100vw - 3rem));margin:1.5rem 0;padding:2rem;background:#fff;border:1px solid #dde1e7;border-radius:12px}
h1{margin:0 0 .25rem;font-size:1.25rem}
p,summary{margin:0 0 1rem;color:#5a6675;font-size:.9rem}
b{color:#1c2430;overflow-wrap:anywhere}
ul{margin:0 0 1rem;padding-left:1.2rem;font-size:.85rem;columns:2}
label{display:block;margin:0 0 .25rem;font-size:.85rem;font-weight:600}
input{box-sizing:border-box;width:100%;margin:0 0 1rem;padding:.6rem .7rem;font:inherit;color:inherit;background:transparent;
border:1px solid #b8c0cc;border-radius:8px}
input:focus-visible,button:focus-visible{outline:2px solid #3b5bdb;outline-offset:1px}
button{width:100%;padding:.65rem;font:inherit;font-weight:600;color:#fff;background:#3b5bdb;border:0;border-radius:8px;cursor:pointer}
button.plain{margin-top:.75rem;color:inherit;background:transparent;border:1px solid #b8c0cc}
[role=alert]{padding:.6rem .7rem;color:#8f1d1d;background:#fdecec;border-radius:8px}
@media (prefers-color-scheme:dark){body{background:#12161c;color:#e8ebf0}main{background:#1a2029;border-color:#2c3542}
p,summary{color:#9aa6b5}b{color:#e8ebf0}[role=alert]{color:#ffc9c9;background:#3a1d20}}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Agree</title><style>{style}</style></head><body><main>{content}</main></body></html>"""
_FORM = """<h1>{client} asks for access</h1>
<p>It is at <b>{where}</b> and wants to act in your name on this platform, as far as you may yourself:</p>
<ul>{scopes}</ul>{alert}
<form method="post" action="/oauth/consent"><input type="hidden" name="request" value="{request}">
<label for="tenant">Tenant</label>
<input id="tenant" name="tenant" value="{tenant}" autocomplete="organization" required maxlength="63">
<label for="username">User name or email</label>
<input id="username" name="username" value="{username}" autocomplete="username" required autofocus maxlength="1024">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="1024">
<button name="decision" value="agree">Log in and agree</button>
<button class="plain" name="decision" value="refuse" formnovalidate>Refuse</button></form>"""
_OVER = """<h1>This has taken too long</h1><p>Go back to the program, and begin anew.</p>"""


class Consent:
    """GET shows the page, POST is the answer; then the browser goes back to the program."""

    def __init__(self, identity: Identity, seals: Seals) -> None:
        self._identity = identity
        self._seals = seals

    async def show(self, request: HttpRequest) -> Response:
        """The page."""
        text = request.query_params.get("request", "")
        asked = self._asked(text)
        return _gone() if asked is None else self._form(asked, text, tenant=self._identity.home)

    async def decide(self, request: HttpRequest, *, issuer: str) -> Response:
        """The answer. A wrong password shows the page again."""
        form = await request.form(max_files=0, max_fields=10)
        text, tenant, username, password = (
            str(form.get(name, ""))[:8192] for name in ("request", "tenant", "username", "password")
        )
        asked = self._asked(text)
        if asked is None:
            return _gone()
        if form.get("decision") != "agree":
            return _back(asked, issuer, error="access_denied", error_description="The user has refused.")
        if asked.resource is not None and not f"{asked.resource.rstrip('/')}/".startswith(f"{issuer}/"):
            return _back(asked, issuer, error="invalid_target", error_description="The resource is not of this server.")
        address = request.client.host if request.client else None
        try:
            pair = await to_thread.run_sync(self._login, username, password, tenant, address)
        except PlatformError as error:
            status = HTTPStatus.TOO_MANY_REQUESTS if isinstance(error, LimitExceededError) else HTTPStatus.UNAUTHORIZED
            return self._form(asked, text, tenant=tenant, username=username, alert=error.message, status=status)
        granted = narrowed(pair.principal.scopes, asked.scopes)
        if not granted:
            await to_thread.run_sync(self._identity.authentication.logout, pair.principal)
            return _back(asked, issuer, error="access_denied", error_description="The user may do nothing of it.")
        await to_thread.run_sync(self._admit, asked, pair.principal, granted)
        assert pair.refresh_token is not None  # a login has one
        code = Code(
            client_id=asked.client_id,
            redirect_uri=asked.redirect_uri,
            explicit=asked.explicit,
            scopes=tuple(sorted(granted)),
            challenge=asked.challenge,
            resource=asked.resource,
            refresh=pair.refresh_token,
            until=time.time() + _CODE_SECONDS,
        )
        return _back(asked, issuer, code=self._seals.seal(code))

    def _login(self, username: str, password: str, tenant: str, address: str | None) -> TokenPair:
        return self._identity.authentication.login(username, password, tenant=tenant, address=address)

    def _admit(self, asked: Request, principal: Principal, granted: Iterable[str]) -> None:
        """Nobody is given a code before it is on record who let them in."""
        self._identity.authentication.admit_client(
            principal,
            client=asked.client_name,
            place=_origin(asked.redirect_uri),
            scopes=granted,
            resource=asked.resource,
        )

    def _asked(self, text: str) -> Request | None:
        asked = self._seals.open(text, Request)
        return None if asked is None or asked.until < time.time() else asked

    def _form(
        self,
        asked: Request,
        text: str,
        *,
        tenant: str,
        username: str = "",
        alert: str = "",
        status: int = HTTPStatus.OK,
    ) -> HTMLResponse:
        content = _FORM.format(
            client=escape(asked.client_name),
            where=escape(_origin(asked.redirect_uri)),
            scopes="".join(f"<li>{escape(scope)}</li>" for scope in asked.scopes),
            alert=f'<p role="alert">{escape(alert)}</p>' if alert else "",
            request=escape(text),
            tenant=escape(tenant),
            username=escape(username),
        )
        return _page(content, status=status, form_action=_origin(asked.redirect_uri))


def _back(asked: Request, issuer: str, **given: str) -> RedirectResponse:
    where = construct_redirect_uri(asked.redirect_uri, **given, state=asked.state, iss=issuer)
    return RedirectResponse(
        where, HTTPStatus.FOUND, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    )


def _gone() -> HTMLResponse:
    return _page(_OVER, status=HTTPStatus.BAD_REQUEST)


def _page(content: str, *, status: int, form_action: str = "") -> HTMLResponse:
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self' {form_action}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
    return HTMLResponse(_PAGE.format(style=_STYLE, content=content), status, headers=headers)


def _origin(uri: str) -> str:
    """Where a redirect leads, as people and browsers name it: the origin, or the scheme of a program."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in {"http", "https"} else f"{parts.scheme}:"
