from __future__ import annotations

from itertools import pairwise

import pytest

from resources.errors import InvalidInputError
from resources.tenants.permissions import ROLES, Action, Role, allows, check_scopes, narrowed, scopes_of


def test_each_role_can_do_what_the_lower_one_can() -> None:
    order = [Role.VIEWER, Role.MEMBER, Role.OPERATOR, Role.ADMIN]
    granted = [scopes_of(role, at_home=False) for role in order]
    assert all(lower < higher for lower, higher in pairwise(granted))
    assert set(ROLES) == set(Role)


def test_only_the_platforms_own_admins_administer_the_platform() -> None:
    system = {Action.SYSTEM_ADMIN, Action.SYSTEM_OPERATE, Action.SYSTEM_READ}
    assert {role for role in Role if scopes_of(role, at_home=False) & system} == set()
    assert {role for role in Role if "system_admin" in scopes_of(role, at_home=True)} == {Role.ADMIN}


@pytest.mark.parametrize(
    ("granted", "scope", "expected"),
    [
        ({"read"}, "read", True),
        ({"read"}, "read:events", True),
        ({"read:events"}, "read:events", True),
        ({"read:events"}, "read", False),
        ({"read:events"}, "read:documents", False),
        ({"write"}, "read:events", False),
        (set(), "read", False),
    ],
)
def test_an_action_holds_in_every_area(granted: set[str], scope: str, expected: bool) -> None:
    assert allows(granted, scope) is expected


def test_nobody_hands_on_what_they_do_not_have() -> None:
    assert narrowed(frozenset({"read", "write:documents"}), ["read:events", "write", "write:documents"]) == {
        "read:events",
        "write:documents",
    }


def test_every_wrong_scope_is_named() -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_scopes(["read", "fly", "read:", "read:UPPER"])
    assert len(caught.value.problems) == 3
