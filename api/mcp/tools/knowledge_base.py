"""A knowledge base: the steps of answering a question, and the tools of three well-known services over the platform's own data.

Pages and articles are documents (a database or collection is a tag), conversations and channels are topics of messages, users are
those who have been present. Whoever knows Notion's, Help Scout's or Slack's tools finds them here, and real data behind them.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.mcp.call import Call
from api.mcp.tool import Tools
from api.paging import whole
from api.routes import documents, topics
from api.routes.topics import MessageIn
from resources.content.analysers.words import STOP_WORDS
from resources.content.model import Document, DocumentSource, MediaType, SearchHit
from resources.errors import InvalidInputError, NotFoundError
from resources.support.classify import QUERY_SPAM

_RELEVANT = 80
_SNIPPET = 200
_TOP = 5

Query = Annotated[str, Field(max_length=4000, description="The question")]
Needed = Annotated[str, Field(min_length=1, max_length=1000)]
PageId = Annotated[str, Field(min_length=1, max_length=200, description="Id of a document")]
Title = Annotated[str, Field(min_length=1, max_length=300)]
Content = Annotated[str, Field(min_length=1, max_length=500_000, description="Markdown")]
Size = Annotated[int, Field(ge=1, le=100)]
Channel = Annotated[str, Field(min_length=1, max_length=200, description="A topic, such as `team.general`")]
Json = dict[str, Any]


class CheckedOut(BaseModel):
    is_valid: bool
    reason: str


class QuerySpamOut(BaseModel):
    is_spam: bool
    confidence: float
    reasoning: str


class KeywordsOut(BaseModel):
    query: str
    keywords: list[str]
    route: Literal["search", "reject"]


class FoundOut(BaseModel):
    title: str
    document_id: str
    content: str
    section: str | None
    relevance: int = Field(description="0 to 100; 80 and more answers the question")


class ResultsOut(BaseModel):
    query: str
    results: list[FoundOut]


class SufficientOut(BaseModel):
    is_sufficient: bool
    relevant: int
    total: int
    best: int | None


class ReplyOut(BaseModel):
    response: str
    sources: list[str]
    is_sufficient: bool
    generated_at: datetime


def build() -> Tools:
    """The tools of the knowledge base."""
    tools = Tools(in_context=True)
    _answering(tools)
    _pages(tools)
    _articles(tools)
    _channels(tools)
    return tools


def _answering(tools: Tools) -> None:
    @tools.tool("read:knowledge", title="Search the knowledge base", read_only=True)
    def search_knowledge(call: Call, query: Needed, limit: Size = 10) -> ResultsOut:
        """The passages of the documents whose meaning is closest to the query, best first."""
        return ResultsOut(query=query, results=_search(call, query, limit))

    @tools.tool("read:knowledge", title="Validate a question", read_only=True)
    def validate_query(call: Call, query: Query) -> CheckedOut:
        """Whether it is a question of 3 to 1,000 characters."""
        del call
        length = len(query.strip())
        valid = 3 <= length <= 1000  # noqa: PLR2004  # as documented
        return CheckedOut(is_valid=valid, reason="valid" if valid else f"it has {length} characters, not 3 to 1000")

    @tools.tool("read:knowledge", title="Filter spam from questions", read_only=True)
    def filter_spam_query(call: Call, query: Query) -> QuerySpamOut:
        """Whether the question is spam: by words that give it away, else by its meaning."""
        if said := [word for word in QUERY_SPAM if word in query.lower()]:
            return QuerySpamOut(is_spam=True, confidence=0.95, reasoning=f"it says {', '.join(map(repr, said))}")
        found = call.services.classifier.spam(query)
        reason = "; ".join(found.reasons)
        return QuerySpamOut(is_spam=not found.is_human, confidence=found.confidence, reasoning=reason)

    @tools.tool("read:knowledge", title="Keywords of a question", read_only=True)
    def query_router(call: Call, query: Query) -> KeywordsOut:
        """The words that matter in a question, and whether it should be searched for."""
        del call
        words = dict.fromkeys(word.strip(".,;:!?()[]\"'").lower() for word in query.split())
        keywords = [word for word in words if len(word) > 2 and word not in STOP_WORDS]  # noqa: PLR2004  # as documented
        return KeywordsOut(query=query, keywords=keywords, route="search" if keywords else "reject")

    @tools.tool("read:knowledge", title="Search with checks", read_only=True)
    def search_router(call: Call, query: Query, limit: Size = 10) -> ResultsOut:
        """As search_knowledge, but a question that is not valid, or spam, is refused with the reason."""
        checked = validate_query(call, query)
        if not checked.is_valid:
            raise InvalidInputError(f"The question is not valid: {checked.reason}.", code="query_invalid")
        spam = filter_spam_query(call, query)
        if spam.is_spam:
            raise InvalidInputError(f"The question looks like spam: {spam.reasoning}.", code="query_spam")
        return ResultsOut(query=query, results=_search(call, query, limit))

    @tools.tool("read:knowledge", title="Is that enough to answer?", read_only=True)
    def analyze_knowledge(
        call: Call, query: Needed, results: Annotated[list[FoundOut] | None, Field(max_length=100)] = None
    ) -> SufficientOut:
        """Whether results, or those of a search, answer: at least one has to be relevant (80 and more)."""
        return _sufficient(_search(call, query, 10) if results is None else results)

    @tools.tool("read:knowledge", title="Answer from what was found", read_only=True)
    def generate_knowledge_response(
        call: Call, query: Needed, results: Annotated[list[FoundOut] | None, Field(max_length=100)] = None
    ) -> ReplyOut:
        """The five best results in short, with their sources; an apology when nothing relevant is known."""
        found = _search(call, query, 10) if results is None else results
        enough = _sufficient(found).is_sufficient
        if enough:
            best = sorted(found, key=lambda one: -one.relevance)[:_TOP]
            lines = [f"{number}. {one.title}: {_short(one.content)}" for number, one in enumerate(best, start=1)]
            text = f"Here is what is known about “{query}”:\n\n" + "\n\n".join(lines)
            sources = list(dict.fromkeys(one.document_id for one in best))
        else:
            text = f"I am sorry, the knowledge base has no good answer to “{query}”."
            sources = []
        return ReplyOut(response=text, sources=sources, is_sufficient=enough, generated_at=datetime.now(UTC))

    @tools.tool("write:messages", title="Send an answer")
    def send_knowledge_reply(
        call: Call,
        response: Annotated[str, Field(min_length=1, max_length=20_000)],
        channel: Channel = "knowledge.replies",
        query: Annotated[str | None, Field(max_length=4000)] = None,
    ) -> Json:
        """Publish an answer on a topic; who listens gets it at once."""
        content = {"query": query, "response": response}
        sent = topics.publish_message(channel, MessageIn(content=content), call.services, call.principal)
        return {"message": sent.model_dump(mode="json"), "status": "sent"}


def _pages(tools: Tools) -> None:
    @tools.tool("read:knowledge", title="Search pages", read_only=True)
    def search_pages(call: Call, query: Needed, page_size: Size = 10) -> Json:
        """Pages with a passage close to the query, the closest first."""
        return {"search_results": _pages_of(call, query, page_size)}

    @tools.tool("write:documents", title="Create a page")
    def create_page(
        call: Call,
        parent_id: Annotated[str, Field(max_length=50, description="Tag to put it under")],
        title: Title,
        content: Content,
        properties: Json | None = None,
    ) -> Json:
        """A new document; it can be found when its run has ended, seconds later. Properties: subject, requires, tags."""
        return {"created_page": _written(call, title, content, tags=(parent_id,), properties=properties)}

    @tools.tool("write:documents", title="Update a page", idempotent=True)
    def update_page(
        call: Call, page_id: PageId, content: Content, title: Annotated[str | None, Field(max_length=300)] = None
    ) -> Json:
        """A new revision of a document."""
        source = call.services.documents.get(page_id, tenant=call.tenant).source
        changed = source.model_copy(update={"title": title or source.title, "media_type": MediaType.MARKDOWN})
        receipt = call.services.intake.receive(changed, content.encode(), tenant=call.tenant)
        return {"updated_page": _page(receipt.document), "outcome": receipt.outcome}

    @tools.tool("read:documents", title="Show a page", read_only=True)
    def get_page(call: Call, page_id: PageId) -> Json:
        """A document with its text, as far as it is read."""
        return {"page": _page(documents.show_document(page_id, call.services, call.tenant), call)}

    @tools.tool("read:documents", title="List databases", read_only=True)
    def list_databases(call: Call) -> Json:
        """The tags of documents, with how many have each."""
        return {"databases": _tags(call)}

    @tools.tool("read:documents", title="Query a database", read_only=True)
    def query_database(
        call: Call,
        database_id: Annotated[str, Field(min_length=1, max_length=50, description="A tag")],
        filter: Annotated[Json | None, Field(description="Values of title, status, language or media_type")] = None,
        sorts: Annotated[
            list[Json] | None, Field(description="[{property, direction: ascending or descending}]")
        ] = None,
        page_size: Size = 100,
    ) -> Json:
        """The documents under a tag."""
        found = [_page(one) for one in _all(call) if database_id in one.source.tags]
        found = [
            one for one in found if all(str(one.get(name)) == str(value) for name, value in (filter or {}).items())
        ]
        for wanted in reversed(sorts or []):
            name, down = str(wanted.get("property", "title")), wanted.get("direction") == "descending"
            found.sort(key=lambda one: str(one.get(name) or ""), reverse=down)
        return {"results": found[:page_size], "has_more": len(found) > page_size}


def _articles(tools: Tools) -> None:
    @tools.tool("read:knowledge", title="Search articles", read_only=True)
    def search_articles(
        call: Call,
        keywords: Needed,
        page: Annotated[int, Field(ge=1, le=100)] = 1,
        per_page: Size = 10,
        collection_id: Annotated[str | None, Field(max_length=50, description="A tag")] = None,
    ) -> Json:
        """Articles with a passage close to the keywords."""
        found = _pages_of(call, keywords, 100)
        if collection_id is not None:
            found = [one for one in found if collection_id in one["tags"]]
        start = (page - 1) * per_page
        return {"search_results": found[start : start + per_page], "total": len(found), "page": page}

    @tools.tool("read:documents", title="Show an article", read_only=True)
    def get_article(call: Call, article_id: PageId) -> Json:
        """A document with its text."""
        return {"article": _page(documents.show_document(article_id, call.services, call.tenant), call)}

    @tools.tool("read:documents", title="List collections", read_only=True)
    def list_collections(call: Call) -> Json:
        """The tags of documents, with how many have each."""
        return {"collections": _tags(call)}

    @tools.tool("write:documents", title="Create an article")
    def create_article(
        call: Call,
        collection_id: Annotated[str, Field(max_length=50, description="Tag to put it under")],
        title: Title,
        content: Content,
    ) -> Json:
        """A new document; it can be found when its run has ended, seconds later."""
        return {"created_article": _written(call, title, content, tags=(collection_id,), properties=None)}

    @tools.tool("read:messages", title="Search conversations", read_only=True)
    def search_conversations(
        call: Call,
        query: Annotated[str, Field(min_length=1, max_length=500, description='Words; "quoted", or, -not')],
        mailbox_id: Annotated[str | None, Field(max_length=200, description="First part of topics")] = None,
        status: Annotated[str | None, Field(max_length=50, description="What the message's `event` is")] = None,
        page: Annotated[int, Field(ge=1, le=20)] = 1,
    ) -> Json:
        """Messages that hold all the words, with the topics that they are of."""
        found = topics.search_messages(call.services, call.principal, query, 1000).messages
        if mailbox_id is not None:
            found = [one for one in found if one.topic.startswith(mailbox_id)]
        if status is not None:
            found = [one for one in found if isinstance(one.content, dict) and one.content.get("event") == status]
        start = (page - 1) * 50
        shown = [one.model_dump(mode="json") for one in found[start : start + 50]]
        return {"conversations": shown, "total": len(found), "page": page}

    @tools.tool("read:messages", title="Show a conversation", read_only=True)
    def get_conversation(call: Call, conversation_id: Channel) -> Json:
        """The messages of a topic, oldest first."""
        found = topics.read_messages(conversation_id, call.services, call.principal, limit=200)
        if not found.messages:
            raise NotFoundError(f"There is no conversation {conversation_id!r}.", code="conversation_not_found")
        return {"conversation": {"id": conversation_id, **found.model_dump(mode="json")}}


def _channels(tools: Tools) -> None:
    @tools.tool("write:messages", title="Send a message")
    def send_message(
        call: Call,
        channel: Channel,
        text: Annotated[str, Field(min_length=1, max_length=40_000)],
        thread_ts: Annotated[
            str | None, Field(max_length=100, description="Position of the message it answers")
        ] = None,
        blocks: list[Json] | None = None,
        attachments: list[Json] | None = None,
    ) -> Json:
        """Publish a message on a topic."""
        content = {"text": text, "thread_ts": thread_ts, "blocks": blocks, "attachments": attachments}
        told = {name: value for name, value in content.items() if value is not None}
        sent = topics.publish_message(channel, MessageIn(content=told), call.services, call.principal)
        return {"message": sent.model_dump(mode="json"), "ts": str(sent.position)}

    @tools.tool("read:messages", title="List channels", read_only=True)
    def list_channels(call: Call) -> Json:
        """Topics with messages of late, the newest first."""
        return {"channels": _known_channels(call)}

    @tools.tool("read:messages", title="Show a channel", read_only=True)
    def get_channel_info(call: Call, channel: Channel) -> Json:
        """When something was said on a topic last, and by whom."""
        for known in _known_channels(call):
            if known["id"] == channel:
                return {"channel": known}
        raise NotFoundError(
            f"There is no channel {channel!r}, or nothing was said there of late.", code="channel_not_found"
        )

    @tools.tool("read:presence", title="List users", read_only=True)
    def list_users(call: Call) -> Json:
        """Who is known to have been here, and how they are."""
        found = topics.list_presence(call.services, call.principal, whole())
        return {"users": [one.model_dump(mode="json") for one in found]}

    @tools.tool("read:presence", title="Show a user", read_only=True)
    def get_user_info(call: Call, user: Annotated[str, Field(min_length=1, max_length=200)]) -> Json:
        """How a user is."""
        found = topics.list_presence(call.services, call.principal, whole(), [user])
        if not found:
            raise NotFoundError(f"Nobody has seen a user {user!r}.", code="user_not_found")
        return {"user": found[0].model_dump(mode="json")}

    @tools.tool("read:messages", title="History of a channel", read_only=True)
    def get_channel_history(
        call: Call,
        channel: Channel,
        limit: Annotated[int, Field(ge=1, le=1000)] = 100,
        before: Annotated[int | None, Field(ge=0, description="Only below this position")] = None,
    ) -> Json:
        """The newest messages of a topic, oldest first."""
        found = topics.read_messages(channel, call.services, call.principal, before=before, limit=limit)
        return found.model_dump(mode="json")


def _search(call: Call, query: str, limit: int) -> list[FoundOut]:
    return [_found(hit) for hit in call.services.search.search(query, tenant=call.tenant, limit=limit)]


def _found(hit: SearchHit) -> FoundOut:
    return FoundOut(
        title=hit.document_title or hit.document_id,
        document_id=hit.document_id,
        content=hit.text,
        section=hit.section,
        relevance=_relevance(hit.score),
    )


def _relevance(similarity: float) -> int:
    """Cosine similarities of this model end at about 0.7, and questions are answered from about 0.5 on."""
    return round(100 / (1 + math.exp(-12 * (similarity - 0.4))))


def _sufficient(found: list[FoundOut]) -> SufficientOut:
    relevant = sum(one.relevance >= _RELEVANT for one in found)
    best = max((one.relevance for one in found), default=None)
    return SufficientOut(is_sufficient=relevant > 0, relevant=relevant, total=len(found), best=best)


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _SNIPPET else plain[: _SNIPPET - 1] + "…"


def _pages_of(call: Call, query: str, most: int) -> list[Json]:
    """Documents by their closest passage."""
    best: dict[str, FoundOut] = {}
    for one in _search(call, query, 100):
        best.setdefault(one.document_id, one)
    found = []
    for identity, one in list(best.items())[:most]:
        page = _page(call.services.documents.get(identity, tenant=call.tenant))
        found.append({**page, "snippet": _short(one.content), "relevance": one.relevance})
    return found


def _page(document: Document, call: Call | None = None) -> Json:
    page: Json = {
        "id": document.id,
        "title": document.title or document.source.name,
        "url": document.source.uri,
        "status": document.status.value,
        "language": document.language,
        "media_type": document.media_type.value,
        "tags": list(document.source.tags),
        "updated_at": document.updated_at.isoformat(),
    }
    if call is not None:
        try:
            page["content"] = call.services.documents.get_parsed(document.id, tenant=call.tenant)[1].text
        except NotFoundError:
            page["content"] = None  # nobody has read it yet
    return page


def _written(call: Call, title: str, content: str, *, tags: tuple[str, ...], properties: Json | None) -> Json:
    given = properties or {}
    source = DocumentSource(
        uri=f"mcp:{'/'.join(tag for tag in tags if tag)}/{title}",
        name=f"{title[:200]}.md",
        media_type=MediaType.MARKDOWN,
        title=title,
        subject=given.get("subject"),
        requires=tuple(given.get("requires") or ()),
        tags=tuple(dict.fromkeys((*(tag for tag in tags if tag), *(given.get("tags") or ())))),
    )
    receipt = call.services.intake.receive(source, content.encode(), tenant=call.tenant)
    return {**_page(receipt.document), "outcome": receipt.outcome}


def _all(call: Call) -> list[Document]:
    found: list[Document] = []
    after = None
    while page := call.services.documents.list(tenant=call.tenant, after=after, limit=1000):
        found.extend(page)
        after = page[-1].id
        if len(page) < 1000:  # noqa: PLR2004  # the page that was asked for
            break
    return found


def _tags(call: Call) -> list[Json]:
    counts: dict[str, int] = {}
    for document in _all(call):
        for tag in document.source.tags:
            counts[tag] = counts.get(tag, 0) + 1
    return [{"id": tag, "title": tag, "documents": counts[tag]} for tag in sorted(counts)]


def _known_channels(call: Call) -> list[Json]:
    messages = call.services.publisher.messages
    head = messages.head(tenant=call.tenant)
    found = messages.read(
        tenant=call.tenant, after=max(0, head - 1000), patterns=["**"], user=call.principal.username, limit=1000
    )
    last = {one.topic: one for one in found}
    newest = sorted(last.values(), key=lambda one: -one.position)
    return [
        {"id": one.topic, "name": one.topic, "last_message_at": one.created_at.isoformat(), "last_sender": one.sender}
        for one in newest
    ]
