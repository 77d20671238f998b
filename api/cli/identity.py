"""Logging in, and who may do what: `aiw login`, `logout`, `whoami`, `tenants`, `users`, `keys`."""

from __future__ import annotations

import secrets
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import AsJson, Commands, asked, print_json, remark, show, table, when
from api.cli.session import session_of
from resources.errors import ConflictError, InvalidInputError, NotFoundError
from resources.tenants.model import Status
from resources.tenants.permissions import Role

if TYPE_CHECKING:
    from uuid import UUID

    from api.client import ApiClient
    from resources.tenants.administration import Administration

tenants = typer.Typer(cls=Commands, help="Whose platform this is.", no_args_is_help=True)
users = typer.Typer(cls=Commands, help="Who may do what in the tenant.", no_args_is_help=True)
keys = typer.Typer(cls=Commands, help="API keys, signing keys, and keys of AI providers.", no_args_is_help=True)

Username = Annotated[str, typer.Argument(help="Name of the user.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]

_QUOTA = "-1 = as many as it likes."


def login(
    context: typer.Context,
    username: Annotated[str | None, typer.Argument(help="User name; asked for if not given.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant. [default: the platform's own]")] = None,
    password_stdin: PasswordStdin = False,
    as_json: AsJson = False,
) -> None:
    """Log in. The tokens are kept in a file that only you can read, and sent by all further commands."""
    session = session_of(context)
    name = username or asked("User", instead="Give the name of the user: `aiw login NAME`.")
    password = _password(stdin=password_stdin, confirm=False)
    with session.client() as client:
        answer = client.login(name, password, tenant=tenant)
        session.tokens.write(client.url, answer)
    if as_json:
        print_json(answer.model_dump(mode="json", include={"tenant", "user_id", "username", "role"}))
    else:
        remark(f"logged in as {answer.username!r} ({answer.role.value}) of the tenant {answer.tenant!r}.")


def logout(context: typer.Context) -> None:
    """Log out. The session ends on the server too."""
    session = session_of(context)
    with session.client() as client:
        kept = session.tokens.read(client.url)
        if kept is None:
            remark("you were not logged in.")
            return
        client.logout(refresh_token=kept["refresh_token"])
        session.tokens.write(client.url, None)
    remark("logged out.")


def whoami(context: typer.Context, as_json: AsJson = False) -> None:
    """Show who you are, and what you may do."""
    with session_of(context).client() as client:
        who = client.whoami()
    if as_json:
        print_json(who)
        return
    rows = [
        ("user", who.username),
        ("tenant", who.tenant),
        ("role", who.role.value),
        ("may", ", ".join(who.scopes)),
        ("until", when(who.expires_at)),
    ]
    show(table(("", ""), rows))


@tenants.command("create")
def create_tenant(
    context: typer.Context,
    tenant: Annotated[str, typer.Argument(help="Id: lower case letters, digits, - and _.")],
    name: Annotated[str | None, typer.Option(help="Name for people. [default: the id]")] = None,
    admin: Annotated[str | None, typer.Option(help="User name of its first admin.")] = None,
    own_schema: Annotated[
        bool, typer.Option("--own-schema", help="Keep its content apart, in a schema of its own.")
    ] = False,
    password_stdin: PasswordStdin = False,
    as_json: AsJson = False,
) -> None:
    """Create a tenant, and its first admin, directly in the database: whoever may write there needs no login.

    Without --password-stdin and without a terminal a password is made up, and shown once. An existing tenant gets the admin.
    """
    administration, close = _administration(context)
    try:
        try:
            made = administration.create_tenant(tenant, name=name, own_schema=own_schema, actor=None)
        except ConflictError:
            if admin is None:
                raise
            made = administration.tenant(tenant)
        result: dict[str, Any] = {"tenant": made.id, "name": made.name}
        if admin is not None:
            made_up = not password_stdin and not sys.stdin.isatty()
            password = secrets.token_urlsafe(18) if made_up else _password(stdin=password_stdin, confirm=True)
            administration.create_user(admin, tenant=tenant, role=Role.ADMIN, password=password, actor=None)
            result |= {"admin": admin} | ({"password": password} if made_up else {})
    finally:
        close()
    if as_json:
        print_json(result)
    else:
        show(table(("", ""), result.items()))


@tenants.command("list")
def list_tenants(context: typer.Context, as_json: AsJson = False) -> None:
    """List all tenants, for the platform's admins."""
    with session_of(context).client() as client:
        found = client.tenants()
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    rows = [(one.id, one.name, one.status.value, one.limits or None, one.created_at.date()) for one in found]
    show(table(("tenant", "name", "status", "limits", "since"), rows))


@tenants.command("suspend")
def suspend_tenant(
    context: typer.Context,
    tenant: Annotated[str, typer.Argument(help="Id of the tenant.")],
    resume: Annotated[bool, typer.Option("--resume", help="Let it act again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Suspend a tenant: nobody of it gets in."""
    with session_of(context).client() as client:
        changed = client.change_tenant(tenant, status="active" if resume else "suspended")
    if as_json:
        print_json(changed)
    else:
        show(f"{changed.id}: {changed.status.value}")


@tenants.command("erase")
def erase_tenant(
    context: typer.Context,
    tenant: Annotated[str, typer.Argument(help="Id of the tenant.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove all that a suspended tenant with a schema of its own has, but its events. For good: nothing brings it back."""
    if not yes and not sys.stdin.isatty():
        raise InvalidInputError("There is no terminal to ask on. --yes erases without asking.", code="not_confirmed")
    if not yes:
        typer.confirm(f"Erase all that {tenant!r} has?", abort=True, err=True)
    with session_of(context).client() as client:
        erased = client.erase_tenant(tenant)
    if as_json:
        print_json(erased)
    else:
        show(f"{erased.id}: erased")


@tenants.command("quota")
def quota(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Argument(help="Id of the tenant. [default: your own]")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=-1, help=_QUOTA)] = None,
    runs_per_day: Annotated[int | None, typer.Option(min=-1, help=_QUOTA)] = None,
    concurrent_runs: Annotated[int | None, typer.Option(min=-1, help="Runs beyond it wait.")] = None,
    storage_bytes: Annotated[int | None, typer.Option(min=-1, help="Of documents.")] = None,
    sockets: Annotated[int | None, typer.Option(min=-1, help="Connections at a time.")] = None,
    usd_per_month: Annotated[float | None, typer.Option(min=-1, help="For calls of models.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a tenant uses of what it may, or change that: as an admin of the platform. -1 = as much as it likes."""
    given = {
        "requests_per_minute": requests_per_minute,
        "runs_per_day": runs_per_day,
        "concurrent_runs": concurrent_runs,
        "storage_bytes": storage_bytes,
        "sockets": sockets,
        "usd_per_month": None if usd_per_month is None else str(usd_per_month),
    }
    changes = {name: value for name, value in given.items() if value is not None}
    with session_of(context).client() as client:
        name = tenant or client.whoami().tenant
        if changes:
            client.change_limits(name, changes)
        found = client.quota(name)
    if as_json:
        print_json(found)
        return
    rows: list[tuple[str, object, object]] = [("requests per minute", None, found.requests_per_minute)]
    counted = ("runs_per_day", "concurrent_runs", "storage_bytes", "sockets", "usd_per_month")
    for field in counted:
        one = getattr(found, field)
        rows.append((field.replace("_", " "), one.used, one.limit))
    rows.append(("documents", found.documents, None))
    show(table(("", "used", "may"), rows))


@users.command("list")
def list_users(context: typer.Context, as_json: AsJson = False) -> None:
    """List the users of your tenant."""
    with session_of(context).client() as client:
        found = client.users()
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    rows = [(one.username, one.role.value, one.status.value, one.email, when(one.last_login_at)) for one in found]
    show(table(("user", "role", "status", "email", "last login"), rows))


@users.command("create")
def create_user(
    context: typer.Context,
    username: Username,
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.MEMBER,
    email: Annotated[str | None, typer.Option(help="Email.")] = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="It logs in elsewhere, or with keys.")] = False,
    password_stdin: PasswordStdin = False,
    as_json: AsJson = False,
) -> None:
    """Create a user of your tenant."""
    password = None if no_password else _password(stdin=password_stdin, confirm=True)
    with session_of(context).client() as client:
        made = client.create_user(username, role=role, email=email, password=password)
    if as_json:
        print_json(made)
    else:
        show(f"{made.username}: {made.role.value}")


@users.command("change")
def change_user(
    context: typer.Context,
    username: Username,
    role: Annotated[Role | None, typer.Option(help="New role.")] = None,
    status: Annotated[Status | None, typer.Option(help="Suspended: it gets in no more.")] = None,
    email: Annotated[str | None, typer.Option(help="New email.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a user's role, status or email. It holds at once."""
    if role is None and status is None and email is None:
        raise typer.BadParameter("say --role, --status or --email.")
    with session_of(context).client() as client:
        changed = client.change_user(_user_id(client, username), role=role, status=status, email=email)
    if as_json:
        print_json(changed)
    else:
        show(f"{changed.username}: {changed.role.value}, {changed.status.value}")


@users.command("password")
def set_password(context: typer.Context, username: Username, password_stdin: PasswordStdin = False) -> None:
    """Set a user's password. All its sessions end."""
    with session_of(context).client() as client:
        user_id = _user_id(client, username)
        client.set_password(user_id, _password(stdin=password_stdin, confirm=True))
    remark(f"{username!r} has a new password, and must log in again.")


@keys.command("list")
def list_keys(context: typer.Context, as_json: AsJson = False) -> None:
    """List your API keys; as an admin, all of the tenant."""
    with session_of(context).client() as client:
        found = client.keys()
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    rows = [
        (
            one.id,
            one.name,
            " ".join(one.scopes),
            "revoked" if one.revoked_at else when(one.expires_at),
            when(one.last_used_at),
        )
        for one in found
    ]
    show(table(("key", "name", "may", "until", "last used"), rows))


@keys.command("create")
def create_key(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do: ACTION or ACTION:AREA; may be repeated. [default: all]")
    ] = None,
    days: Annotated[int, typer.Option(min=0, max=3650, help="Days that it is good for; 0 = for ever.")] = 90,
    as_json: AsJson = False,
) -> None:
    """Create an API key. It is shown this once."""
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with session_of(context).client() as client:
        made = client.create_key(name, scopes=scope, expires_at=expires_at)
    if as_json:
        print_json(made)
    else:
        show(made.key)
        remark("keep it now: it is not shown again. Send it as `Authorization: Bearer KEY`.")


@keys.command("revoke")
def revoke_key(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="Id of the key (12 characters).")],
    as_json: AsJson = False,
) -> None:
    """Revoke an API key."""
    with session_of(context).client() as client:
        revoked = client.revoke_key(key)
    if as_json:
        print_json(revoked)
    else:
        remark(f"{key!r} is good for nothing from now on.")


@keys.command("rotate")
def rotate(
    context: typer.Context,
    drop_former: Annotated[
        bool, typer.Option("--drop-former", help="For keys that somebody else may have: all access tokens end now.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sign access tokens with a new key. Those of the former stay good until they expire."""
    with session_of(context).client() as client:
        rotated = client.rotate_signing_key(drop_former=drop_former)
    if as_json:
        print_json(rotated)
    else:
        show(rotated.kid)


@keys.command("master")
def master() -> None:
    """Make a master key, for AIW_AUTH__MASTER_KEY."""
    from resources.tenants.vault import new_master_key

    show(new_master_key())


@keys.command("rewrap")
def rewrap(context: typer.Context) -> None:
    """Bring all stored secrets under the present master key, so that the former ones can be thrown away."""
    administration, close = _administration(context)
    try:
        changed = administration.rewrap(actor=None)
    finally:
        close()
    show(f"{changed} secrets are under the present master key now.")


@keys.command("provider")
def store_provider_key(
    context: typer.Context,
    provider: Annotated[str, typer.Argument(help="Name of the AI provider.")],
    remove: Annotated[bool, typer.Option("--remove", help="Remove the tenant's key.")] = False,
    as_json: AsJson = False,
) -> None:
    """Store your tenant's own key of an AI provider, read from standard input or asked for. It is kept encrypted."""
    with session_of(context).client() as client:
        if remove:
            client.remove_provider_key(provider)
            remark(f"there is no key of {provider!r} any more.")
            return
        key = typer.prompt("Key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline().strip()
        stored = client.store_provider_key(provider, key)
    if as_json:
        print_json(stored)
    else:
        show(f"{stored.provider}: {stored.hint}")


def _administration(context: typer.Context) -> tuple[Administration, Any]:
    """The services of identity on the database itself."""
    from api.composition import build_administration

    session = session_of(context)
    return build_administration(session.settings, session.database_url())


def _password(*, stdin: bool, confirm: bool) -> str:
    if not stdin:
        return asked("Password", instead="Send it with --password-stdin.", hidden=True, twice=confirm)
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise InvalidInputError("There is no password on standard input.", code="password_missing")
    return password


def _user_id(client: ApiClient, username: str) -> UUID:
    for one in client.users():
        if one.username == username:
            return one.id
    raise NotFoundError(f"There is no user {username!r}.", code="user_not_found")
