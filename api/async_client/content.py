"""Documents, and what is known from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.async_client.base import HttpClient
from api.client.answers import V1
from api.schemas import (
    DocumentAccepted,
    DocumentPage,
    SearchOut,
    StatisticsOut,
)
from resources.content.model import Document
from resources.knowledge.model import ConceptView, LearningPath

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resources.content.model import DocumentStatus


class ContentClient(HttpClient):
    """Documents, and what is known from them."""

    async def upload(
        self,
        content: bytes,
        *,
        name: str,
        uri: str | None = None,
        media_type: str | None = None,
        title: str | None = None,
        subject: str | None = None,
        requires: Iterable[str] = (),
        tags: Iterable[str] = (),
    ) -> DocumentAccepted:
        """Hand a document in. Raises InvalidInputError or LimitExceededError when it is refused, with the reason."""
        fields: dict[str, Any] = {"name": name, "uri": uri, "title": title, "subject": subject}
        parameters = {key: value for key, value in fields.items() if value is not None}
        answer = await self._send(
            "POST",
            f"{V1}/documents",
            params={**parameters, "requires": list(requires), "tags": list(tags)},
            content=content,
            headers={"Content-Type": media_type or "application/octet-stream"},
        )
        return DocumentAccepted.model_validate_json(answer.content)

    async def document(self, document_id: str) -> Document:
        return await self._get(f"{V1}/documents/{document_id}", Document)

    async def documents(
        self, *, after: str | None = None, limit: int = 100, status: DocumentStatus | None = None
    ) -> DocumentPage:
        return await self._get(f"{V1}/documents", DocumentPage, after=after, limit=limit, status=status)

    async def search(self, query: str, *, limit: int = 10) -> SearchOut:
        return await self._get(f"{V1}/search", SearchOut, q=query, limit=limit)

    async def learning_path(self, target: str, *, source: str | None = None) -> LearningPath:
        return await self._get(f"{V1}/learning-path", LearningPath, to=target, **{"from": source})

    async def concept(self, concept: str) -> ConceptView:
        return await self._get(f"{V1}/concepts/{concept}", ConceptView)

    async def statistics(self) -> StatisticsOut:
        return await self._get(f"{V1}/statistics", StatisticsOut)
