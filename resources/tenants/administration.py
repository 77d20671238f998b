"""Giving and taking rights: tenants, users, keys. Every change is an event."""

from __future__ import annotations

from resources.tenants.administering.keys import KeyOffice
from resources.tenants.administering.tenants import TenantOffice
from resources.tenants.administering.users import UserOffice


class Administration(TenantOffice, UserOffice, KeyOffice):
    """All of it in one place."""
