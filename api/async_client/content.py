"""Documents, and what is known from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.async_client.base import HttpClient
from api.client.answers import V1
from api.schemas import (
    AskIn,
    AskOut,
    DocumentAccepted,
    DocumentPage,
    IndexStateOut,
    SearchIn,
    SearchOut,
    SimilarOut,
    StatisticsOut,
)
from resources.content.model import Document
from resources.content.retrieval.model import Filters, Mode
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

    async def search(
        self,
        query: str,
        *,
        mode: Mode = Mode.HYBRID,
        filters: Filters | None = None,
        limit: int = 10,
        cursor: str | None = None,
        rerank: bool = False,
    ) -> SearchOut:
        """Passages, best first. Without filters it is a plain GET, which is retried when the connection breaks."""
        if filters is None:
            return await self._get(
                f"{V1}/search", SearchOut, q=query, mode=mode.value, limit=limit, cursor=cursor, rerank=rerank
            )
        body = SearchIn(query=query, mode=mode, filters=filters, limit=limit, cursor=cursor, rerank=rerank)
        answer = await self._send("POST", f"{V1}/search", json=body.model_dump(mode="json"))
        return SearchOut.model_validate_json(answer.content)

    async def similar(self, document_id: str, *, limit: int = 10) -> SimilarOut:
        return await self._get(f"{V1}/documents/{document_id}/similar", SimilarOut, limit=limit)

    async def index_state(self, *, limit: int = 1000) -> IndexStateOut:
        return await self._get(f"{V1}/search/state", IndexStateOut, limit=limit)

    async def ask(self, question: str, **more: Any) -> AskOut:
        """`more` is what AskIn knows: filters, passages, sentences, provider, model, wait."""
        body = AskIn(question=question, **more)
        answer = await self._send("POST", f"{V1}/ask", json=body.model_dump(mode="json", exclude_unset=True))
        return AskOut.model_validate_json(answer.content)

    async def learning_path(self, target: str, *, source: str | None = None) -> LearningPath:
        return await self._get(f"{V1}/learning-path", LearningPath, to=target, **{"from": source})

    async def concept(self, concept: str) -> ConceptView:
        return await self._get(f"{V1}/concepts/{concept}", ConceptView)

    async def statistics(self) -> StatisticsOut:
        return await self._get(f"{V1}/statistics", StatisticsOut)
