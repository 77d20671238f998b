from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import ConflictError, InvalidInputError
from resources.tenants.vault import Vault, new_master_key

OLD, NEW = new_master_key(), new_master_key()


@given(secret=st.binary(max_size=2000), context=st.text(max_size=50))
def test_what_is_sealed_opens_in_its_place_alone(secret: bytes, context: str) -> None:
    vault = Vault([OLD])
    sealed = vault.seal(secret, context=context)
    assert vault.open(sealed, context=context) == secret
    with pytest.raises(ConflictError, match="does not open"):
        vault.open(sealed, context=f"{context}!")


def test_the_same_secret_never_looks_the_same() -> None:
    vault = Vault([OLD])
    assert vault.seal(b"secret", context="x") != vault.seal(b"secret", context="x")


@given(position=st.integers(min_value=0, max_value=90), bit=st.integers(min_value=0, max_value=7))
def test_a_changed_bit_is_noticed(position: int, bit: int) -> None:
    sealed = bytearray(Vault([OLD]).seal(b"secret", context="x"))
    sealed[position] ^= 1 << bit
    with pytest.raises(ConflictError):
        Vault([OLD]).open(bytes(sealed), context="x")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"nonsense" * 20])
def test_nonsense_does_not_open(sealed: bytes) -> None:
    with pytest.raises(ConflictError):
        Vault([OLD]).open(sealed, context="x")


def test_a_master_key_is_replaced_without_losing_anything() -> None:
    sealed = Vault([OLD]).seal(b"secret", context="x")
    both = Vault([NEW, OLD])
    assert both.open(sealed, context="x") == b"secret"
    rewrapped = both.rewrap(sealed, context="x")
    assert Vault([NEW]).open(rewrapped, context="x") == b"secret"
    assert both.rewrap(rewrapped, context="x") == rewrapped
    with pytest.raises(ConflictError, match="another master key"):
        Vault([OLD]).open(rewrapped, context="x")


@pytest.mark.parametrize(
    "key",
    ["", "short", "not base64!", base64.b64encode(b"\0" * 32).decode(), base64.b64encode(b"x" * 31).decode(), "é" * 44],
)
def test_a_weak_master_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidInputError):
        Vault([key])


def test_without_a_master_key_nothing_is_sealed() -> None:
    with pytest.raises(ConflictError, match="AIW_AUTH__MASTER_KEY"):
        Vault([]).seal(b"x", context="x")
