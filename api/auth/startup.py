"""What must be true before anybody is let in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from resources.settings import Settings

_MASTER = "make one with `aiw keys master`, and keep it where only the platform can read it"


def check_auth(settings: Settings) -> None:
    """Raises InvalidInputError with everything about the settings that would let the wrong people in."""
    from resources.tenants.tokens import check_secret
    from resources.tenants.vault import Vault

    auth, problems = settings.auth, []
    production = settings.environment == "production"
    if production and auth.mode == "local":
        problems.append(Problem("AIW_AUTH__MODE", "is 'local', which lets everybody in", "set it to 'required'"))
    if (production or auth.mode == "required") and auth.master_key is None:
        problems.append(Problem("AIW_AUTH__MASTER_KEY", "is missing", _MASTER))
    if auth.master_key is not None:
        try:
            Vault([auth.master_key.get_secret_value()])
        except InvalidInputError:
            problems.append(Problem("AIW_AUTH__MASTER_KEY", "is no master key", _MASTER))
    if auth.algorithm == "HS256":
        try:
            check_secret(None if auth.secret is None else auth.secret.get_secret_value())
        except InvalidInputError as error:
            problems.append(Problem("AIW_AUTH__SECRET", "is missing or weak", error.message))
    if auth.oidc_issuer is not None:
        if auth.oidc_client_id is None:
            problems.append(
                Problem("AIW_AUTH__OIDC_CLIENT_ID", "is missing", "register the platform with the provider")
            )
        if production and not auth.oidc_issuer.startswith("https://"):
            problems.append(Problem("AIW_AUTH__OIDC_ISSUER", "is not https", "tokens would cross the network in clear"))
    if problems:
        raise InvalidInputError(
            "Refusing to start: " + "; ".join(map(str, problems)) + ".", code="auth_unsafe", problems=tuple(problems)
        )
