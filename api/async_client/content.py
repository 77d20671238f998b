"""Documents, and what is known from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import TypeAdapter

from api.async_client.base import HttpClient
from api.client.answers import V1, Seen, model_of
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
from resources.knowledge.answers import Neighbour
from resources.knowledge.model import ConceptView, LearningPath, PathWishes, SavedPath
from resources.knowledge.progress.model import ConceptProgress, ProgressChange, ProgressStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resources.content.model import DocumentStatus

_PATHS = TypeAdapter(list[SavedPath])
_PROGRESS = TypeAdapter(list[ConceptProgress])
_NEAR = TypeAdapter(list[Neighbour])


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
        return model_of(DocumentAccepted, answer)

    async def document(self, document_id: str) -> Document:
        return await self._get(f"{V1}/documents/{document_id}", Document)

    async def remove_document(self, document_id: str) -> None:
        """With its passages, and with what it alone supports in the graph."""
        await self._send("DELETE", f"{V1}/documents/{document_id}")

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
        return model_of(SearchOut, answer)

    async def similar(self, document_id: str, *, limit: int = 10) -> SimilarOut:
        return await self._get(f"{V1}/documents/{document_id}/similar", SimilarOut, limit=limit)

    async def index_state(self, *, limit: int = 1000) -> IndexStateOut:
        return await self._get(f"{V1}/search/state", IndexStateOut, limit=limit)

    async def ask(self, question: str, **more: Any) -> AskOut:
        """`more` is what AskIn knows: filters, passages, sentences, provider, model, wait."""
        body = AskIn(question=question, **more)
        answer = await self._send("POST", f"{V1}/ask", json=body.model_dump(mode="json", exclude_unset=True))
        return model_of(AskOut, answer)

    async def learning_path(self, target: str, *, source: str | None = None) -> LearningPath:
        return await self._get(f"{V1}/learning-path", LearningPath, to=target, **{"from": source})

    async def plan_path(
        self,
        target: str,
        *,
        source: str | None = None,
        known: Iterable[str] = (),
        wishes: PathWishes | None = None,
        use_progress: bool = True,
    ) -> LearningPath:
        """A path as it is wished, from what the user has learned so far."""
        body: dict[str, Any] = {
            "target": target,
            "source": source,
            "known": list(known),
            "use_progress": use_progress,
        }
        if wishes is not None:
            body["wishes"] = wishes.model_dump(mode="json")
        return model_of(LearningPath, (await self._send("POST", f"{V1}/learning-path", json=body)))

    async def keep_path(self, name: str, target: str, **more: Any) -> SavedPath:
        """Plan a path and keep it. `more` is what the route knows: description, audience, source, known, wishes, use_progress."""
        answer = await self._send("POST", f"{V1}/learning-paths", json={"name": name, "target": target, **more})
        return model_of(SavedPath, answer)

    async def kept_paths(self, *, over: str | None = None) -> list[SavedPath]:
        """The paths that are kept, or those that lead over a concept."""
        return _PATHS.validate_python(await self._plain("GET", f"{V1}/learning-paths", over=over))

    async def kept_path(self, path_id: str) -> SavedPath:
        return await self._get(f"{V1}/learning-paths/{quote(path_id, safe='')}", SavedPath)

    async def drop_path(self, path_id: str, *, if_match: Seen | None = None) -> None:
        await self._send("DELETE", f"{V1}/learning-paths/{quote(path_id, safe='')}", if_match=if_match)

    async def progress(self) -> list[ConceptProgress]:
        """What the user has said about concepts, the latest change first."""
        return _PROGRESS.validate_python(await self._plain("GET", f"{V1}/progress"))

    async def progress_of(self, concept: str) -> ConceptProgress:
        """What the user has said about a concept."""
        return await self._get(f"{V1}/progress/{quote(concept, safe='')}", ConceptProgress)

    async def set_progress(
        self, concept: str, status: ProgressStatus | str, *, if_match: Seen | None = None, **more: Any
    ) -> ConceptProgress:
        """`more` is what ProgressChange knows: percent, minutes, difficulty_rating, documents, notes."""
        change = ProgressChange(status=ProgressStatus(status), **more)
        path = f"{V1}/progress/{quote(concept, safe='')}"
        answer = await self._send(
            "PUT", path, json=change.model_dump(mode="json", exclude_unset=True), if_match=if_match
        )
        return model_of(ConceptProgress, answer)

    async def forget_progress(self, concept: str, *, if_match: Seen | None = None) -> None:
        await self._send("DELETE", f"{V1}/progress/{quote(concept, safe='')}", if_match=if_match)

    async def concept(self, concept: str) -> ConceptView:
        return await self._get(f"{V1}/concepts/{quote(concept, safe='')}", ConceptView)

    async def related(self, concept: str, *, depth: int = 1, limit: int = 20) -> list[Neighbour]:
        """What is near a concept, the nearest first."""
        path = f"{V1}/related/{quote(concept, safe='')}"
        return _NEAR.validate_python(await self._plain("GET", path, depth=depth, limit=limit))

    async def statistics(self) -> StatisticsOut:
        return await self._get(f"{V1}/statistics", StatisticsOut)
