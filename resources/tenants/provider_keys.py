"""The tenants' own keys of AI providers, opened for the calls that are made with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from resources.tenants.store import context_of_provider_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resources.tenants.store import SecretStore
    from resources.tenants.vault import Vault


class ProviderKeys:
    """Safe to share between threads. Nothing of it is ever logged: keys are `SecretStr`."""

    def __init__(self, secrets: SecretStore, vault: Vault) -> None:
        self._secrets = secrets
        self._vault = vault

    def __call__(self, tenant: str) -> Mapping[str, tuple[SecretStr, str | None]]:
        """Key and address by the provider's name. Raises ConflictError when one cannot be opened, and UnavailableError."""
        found = {}
        for stored in self._secrets.provider_keys(tenant=tenant):
            opened = self._vault.open(stored.sealed, context=context_of_provider_key(tenant, stored.provider))
            found[stored.provider] = (SecretStr(opened.decode()), stored.base_url)
        return found
