"""`s3://bucket/path` as a folder, over the SDK that is there anyway: for outputs of steps that are too large for a row.

fsspec's own way, the package s3fs, wants another release of botocore than boto3 does. The address, the region and the keys are
the SDK's matter: AWS_ENDPOINT_URL_S3 for other vendors' stores, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role.
"""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.spec import AbstractFileSystem

from resources.errors import UnavailableError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


class S3Files(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """What `outputs.py` asks of a file system. Objects appear when they are complete."""

    protocol = "s3"
    cachable = False

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        """Write an object, a large one in parts."""
        del mode, kwargs
        bucket, key = self._split(path)
        with _in_our_words(path):
            _client().upload_fileobj(io.BytesIO(value), bucket, key)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Read an object. Raises FileNotFoundError."""
        del kwargs
        bucket, key = self._split(path)
        with _in_our_words(path):
            body: bytes = _client().get_object(Bucket=bucket, Key=key)["Body"].read()
        return body[start:end]

    def rm_file(self, path: str) -> None:
        """Delete an object; nothing happens if there is none."""
        bucket, key = self._split(path)
        with _in_our_words(path):
            _client().delete_object(Bucket=bucket, Key=key)

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Whether there is anything below the path."""
        del kwargs
        return next(self._objects(path), None) is not None

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """The folders and objects right below the path."""
        del kwargs
        bucket, key = self._split(path)
        prefix = f"{key.rstrip('/')}/" if key else ""
        with _in_our_words(path):
            pages = list(_pages(Bucket=bucket, Prefix=prefix, Delimiter="/"))
        found = [f"{bucket}/{each['Prefix'].rstrip('/')}" for page in pages for each in page.get("CommonPrefixes", ())]
        found += [f"{bucket}/{each['Key']}" for page in pages for each in page.get("Contents", ())]
        return [{"name": name} for name in found] if detail else found

    def find(self, path: str, maxdepth: int | None = None, withdirs: bool = False, **kwargs: Any) -> list[str]:
        """All objects below the path."""
        del maxdepth, withdirs, kwargs
        return list(self._objects(path))

    def modified(self, path: str) -> datetime:
        """When the object was written. Raises FileNotFoundError."""
        bucket, key = self._split(path)
        with _in_our_words(path):
            moment: datetime = _client().head_object(Bucket=bucket, Key=key)["LastModified"]
        return moment

    def _objects(self, path: str) -> Iterator[str]:
        bucket, key = self._split(path)
        prefix = f"{key.rstrip('/')}/" if key else ""
        with _in_our_words(path):
            for page in _pages(Bucket=bucket, Prefix=prefix):
                yield from (f"{bucket}/{each['Key']}" for each in page.get("Contents", ()))

    def _split(self, path: str) -> tuple[str, str]:
        bucket, _, key = str(self._strip_protocol(path)).partition("/")
        return bucket, key


def register() -> None:
    """From now on, fsspec opens `s3://` with this."""
    fsspec.register_implementation("s3", S3Files, clobber=True)


def forget_client() -> None:
    """Connect anew, as the environment now says."""
    _client.cache_clear()


@lru_cache(maxsize=1)
def _client() -> Any:
    import boto3

    return boto3.client("s3")


os.register_at_fork(after_in_child=forget_client)


def _pages(**query: Any) -> Iterator[dict[str, Any]]:
    yield from _client().get_paginator("list_objects_v2").paginate(**query)


@contextmanager
def _in_our_words(path: str) -> Iterator[None]:
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        if code in _MISSING:
            raise FileNotFoundError(path) from error
        raise UpstreamError(f"The object store refuses 's3://{path}': {error}", code="object_store") from error
    except (BotoCoreError, Boto3Error) as error:
        raise UnavailableError(
            f"The object store of 's3://{path}' is out of reach: {error}", dependency="object_store"
        ) from error
