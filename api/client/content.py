"""Documents, and what is known from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.client.answers import V1
from api.client.base import HttpClient
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

    def upload(
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
        answer = self._send(
            "POST",
            f"{V1}/documents",
            params={**parameters, "requires": list(requires), "tags": list(tags)},
            content=content,
            headers={"Content-Type": media_type or "application/octet-stream"},
        )
        return DocumentAccepted.model_validate_json(answer.content)

    def document(self, document_id: str) -> Document:
        return self._get(f"{V1}/documents/{document_id}", Document)

    def documents(
        self, *, after: str | None = None, limit: int = 100, status: DocumentStatus | None = None
    ) -> DocumentPage:
        return self._get(f"{V1}/documents", DocumentPage, after=after, limit=limit, status=status)

    def search(self, query: str, *, limit: int = 10) -> SearchOut:
        return self._get(f"{V1}/search", SearchOut, q=query, limit=limit)

    def learning_path(self, target: str, *, source: str | None = None) -> LearningPath:
        return self._get(f"{V1}/learning-path", LearningPath, to=target, **{"from": source})

    def concept(self, concept: str) -> ConceptView:
        return self._get(f"{V1}/concepts/{concept}", ConceptView)

    def statistics(self) -> StatisticsOut:
        return self._get(f"{V1}/statistics", StatisticsOut)
