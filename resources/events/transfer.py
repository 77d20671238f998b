"""A tenant's events out of one store and into another: JSON lines, and a manifest that tells whether all are there.

    events.jsonl    one event a line, as it was recorded, in order of position
    manifest.json   format, tenant, number of events, range of positions, sha256 of events.jsonl

Ids, streams, versions, times of occurrence and old schemas survive; positions and times of recording are the new store's. An
import may be repeated, also after it was interrupted.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from resources.errors import InvalidInputError
from resources.events.envelope import check_tenant
from resources.events.model import RecordedEvent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from resources.events.store import EventStore

FORMAT = "aiw-events/1"
EVENTS, MANIFEST = "events.jsonl", "manifest.json"
_PAGE = 1000

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(RecordedEvent).decode


class Manifest(msgspec.Struct, frozen=True):
    """What an export holds. Positions are None when it holds nothing."""

    tenant: str
    events: int
    first_position: int | None
    last_position: int | None
    sha256: str
    exported_at: datetime
    format: str = FORMAT


def export_events(
    store: EventStore, folder: Path, *, tenant: str, progress: Callable[[int], None] | None = None
) -> Manifest:
    """Write the tenant's events, up to the newest at the start, into `folder` (created; must be empty)."""
    check_tenant(tenant)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise InvalidInputError(f"The folder {str(folder)!r} is not empty. Name a new one.", code="folder_not_empty")
    head, position, first, count, digest = store.head(tenant=tenant), 0, None, 0, hashlib.sha256()
    with (folder / EVENTS).open("wb") as file:
        while page := store.read_all(
            after_position=position, up_to_position=head, limit=_PAGE, tenant=tenant, upcast=False
        ):
            lines = b"".join(_ENCODE(event) + b"\n" for event in page)
            file.write(lines)
            digest.update(lines)
            first, position, count = first or page[0].position, page[-1].position, count + len(page)
            if progress is not None:
                progress(count)
    manifest = Manifest(tenant, count, first, position or None, digest.hexdigest(), datetime.now(UTC))
    (folder / MANIFEST).write_bytes(msgspec.json.format(_ENCODE(manifest)) + b"\n")
    return manifest


def import_events(
    store: EventStore, folder: Path, *, tenant: str, progress: Callable[[int], None] | None = None
) -> int:
    """Write an export into `tenant` of this store; returns how many events were new.

    Nothing is written before the whole file has been compared with the manifest. Raises InvalidInputError when they differ.
    """
    check_tenant(tenant)
    _verify(folder)
    done = new = 0
    with (folder / EVENTS).open("rb") as file:
        while page := [_DECODE(line) for line in _lines(file)]:
            new += store.restore(page, tenant=tenant)
            done += len(page)
            if progress is not None:
                progress(done)
    return new


def _verify(folder: Path) -> None:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidInputError(
            f"{str(folder)!r} holds no readable manifest: {error}", code="export_invalid"
        ) from error
    if manifest.format != FORMAT:
        raise InvalidInputError(f"{manifest.format!r} is not {FORMAT!r}.", code="export_invalid")
    digest, count = hashlib.sha256(), 0
    with (folder / EVENTS).open("rb") as file:
        for line in file:
            digest.update(line)
            count += 1
    if digest.hexdigest() != manifest.sha256 or count != manifest.events:
        raise InvalidInputError(
            f"{EVENTS} in {str(folder)!r} is not what was exported: {count} of {manifest.events} events, other checksum.",
            code="export_invalid",
        )


def _lines(file: BinaryIO) -> list[bytes]:
    lines: list[bytes] = []
    while len(lines) < _PAGE and (line := file.readline()):
        lines.append(line)
    return lines
