"""The library of prompts, kept as events: one stream a prompt, `prompt/<id>`.

A version never changes; publishing the same text again gives the version that is there. A label (`production`, `staging`) names
one version and can be moved, which is told as an event (`PromptLabelled`). `latest` always means the newest.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, Field

from resources.errors import ConcurrencyError, InvalidInputError, NotFoundError
from resources.events.aggregate import Aggregate, on
from resources.events.catalog import PromptLabelled, PromptPublished
from resources.events.model import DEFAULT_TENANT
from resources.events.repository import AggregateRepository
from resources.prompts.includes import flatten
from resources.prompts.model import LABEL, Example, PromptSpec, PromptVersion, Rendered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from resources.events.store import EventStore
    from resources.prompts.engine import PromptEngine

LATEST = "latest"
_ATTEMPTS = 5
_PAGE = 1000
_REFERENCE = re.compile(r"(?P<id>[^@]+)(?:@(?P<which>[a-z0-9-]+))?")


class _State(BaseModel):
    versions: list[PromptVersion] = Field(default_factory=list)
    labels: dict[str, int] = Field(default_factory=dict)


class Prompt(Aggregate[_State]):
    """All versions of one prompt, and its labels."""

    stream_type = "prompt"
    state_type = _State

    def publish(self, version: PromptVersion) -> None:
        self.record(
            PromptPublished(
                prompt_id=self.id,
                version=version.version,
                sha256=version.sha256,
                spec=version.spec.model_dump(mode="json", exclude_defaults=True),
                content=version.content,
                system=version.system,
                includes=version.includes,
                created_by=version.created_by,
                comment=version.comment,
            ),
            now=version.created_at,
        )

    def label(self, label: str, version: int, *, user: str | None) -> None:
        former = self.state.labels.get(label)
        sha256 = self.state.versions[version - 1].sha256
        self.record(
            PromptLabelled(prompt_id=self.id, label=label, version=version, former=former, sha256=sha256, user=user)
        )

    @on(PromptPublished)
    def _published(self, data: PromptPublished, at: datetime) -> None:
        self.state.versions.append(
            PromptVersion(
                version=data.version,
                spec=PromptSpec.model_validate(data.spec),
                content=data.content,
                system=data.system,
                includes=data.includes,
                sha256=data.sha256,
                created_at=at,
                created_by=data.created_by,
                comment=data.comment,
            )
        )

    @on(PromptLabelled)
    def _labelled(self, data: PromptLabelled, at: datetime) -> None:
        del at
        self.state.labels[data.label] = data.version


class TestResult(BaseModel):
    """One golden render: what came instead, None when it was as it should be."""

    __test__ = False  # not a test of pytest's

    number: int
    difference: str | None


class PromptLibrary:
    """Prompts of all tenants. `bundled` are there for everyone, as version 1; a tenant's own versions come after."""

    def __init__(self, events: EventStore, engine: PromptEngine, *, bundled: Iterable[PromptSpec] = ()) -> None:
        self._events = events
        self._repository = AggregateRepository(events)
        self._engine = engine
        self._bundled: dict[str, PromptVersion] = {}
        waiting = {spec.id: spec for spec in bundled}
        for spec in waiting.values():
            self._bundled[spec.id] = self._prepare(
                spec, 1, lambda wanted, _: (1, waiting[wanted].content), user=None, comment="Comes with the platform"
            )

    def publish(
        self,
        spec: PromptSpec,
        *,
        tenant: str = DEFAULT_TENANT,
        user: str | None = None,
        comment: str | None = None,
        labels: Sequence[str] = (),
    ) -> PromptVersion:
        """Store a new version; the newest one when nothing changed. Raises InvalidInputError with all problems, NotFoundError
        for an include that does not exist.
        """
        for label in labels:
            _check_label(label)

        def lookup(id: str, version: int | None) -> tuple[int, str]:
            found = self.get(id if version is None else f"{id}@{version}", tenant=tenant)
            return found.version, found.spec.content

        for attempt in range(_ATTEMPTS):
            prompt = self._repository.load(Prompt, spec.id, tenant=tenant) or self._new(spec.id)
            versions = prompt.state.versions
            coming = self._prepare(spec, len(versions) + 1, lookup, user=user, comment=comment)
            newest = versions[-1] if versions else None
            if newest is not None and (newest.sha256, newest.spec) == (coming.sha256, coming.spec):
                coming = newest
            else:
                prompt.publish(coming)
            for label in labels:
                if prompt.state.labels.get(label) != coming.version:
                    prompt.label(label, coming.version, user=user)
            try:
                self._repository.save(prompt, tenant=tenant)
            except ConcurrencyError:
                if attempt + 1 == _ATTEMPTS:
                    raise
                continue
            return coming
        raise AssertionError

    def label(
        self,
        reference: str,
        label: str,
        *,
        tenant: str = DEFAULT_TENANT,
        user: str | None = None,
        unless: Callable[[int | None], None] | None = None,
    ) -> PromptVersion:
        """Move a label to a version (`id@3`; `id` = the newest), unless `unless` raises for where it stands (None = nowhere).

        Raises NotFoundError, InvalidInputError for a label's name.
        """
        _check_label(label)
        prompt_id, which = _parse(reference)
        for attempt in range(_ATTEMPTS):
            prompt = self._repository.load(Prompt, prompt_id, tenant=tenant)
            if prompt is None:
                if prompt_id in self._bundled:
                    self.publish(
                        self._bundled[prompt_id].spec, tenant=tenant, user=user, comment="Taken over to be labelled"
                    )
                    continue
                raise _unknown(reference)
            version = _choose(prompt.state, which, reference)
            if unless is not None:
                unless(prompt.state.labels.get(label))
            if prompt.state.labels.get(label) == version.version:
                return version
            prompt.label(label, version.version, user=user)
            try:
                self._repository.save(prompt, tenant=tenant)
            except ConcurrencyError:
                if attempt + 1 == _ATTEMPTS:
                    raise
                continue
            return version
        raise _unknown(reference)

    def get(self, reference: str, *, tenant: str = DEFAULT_TENANT) -> PromptVersion:
        """`id`, `id@3`, `id@production` or `id@latest`. Without a part behind the @: what `production` names, else the newest.

        Raises NotFoundError.
        """
        prompt_id, which = _parse(reference)
        prompt = self._repository.load(Prompt, prompt_id, tenant=tenant)
        if prompt is not None:
            return _choose(prompt.state, which, reference)
        if prompt_id in self._bundled and which in {None, LATEST, "1", "production"}:
            return self._bundled[prompt_id]
        raise _unknown(reference)

    def versions(self, id: str, *, tenant: str = DEFAULT_TENANT) -> Sequence[PromptVersion]:
        """All versions, the oldest first. Raises NotFoundError."""
        prompt = self._repository.load(Prompt, id, tenant=tenant)
        if prompt is not None:
            return tuple(prompt.state.versions)
        if id in self._bundled:
            return (self._bundled[id],)
        raise _unknown(id)

    def labels(self, id: str, *, tenant: str = DEFAULT_TENANT) -> Mapping[str, int]:
        """Label → version. Raises NotFoundError."""
        prompt = self._repository.load(Prompt, id, tenant=tenant)
        if prompt is None:
            if id not in self._bundled:
                raise _unknown(id)
            return {}
        return dict(sorted(prompt.state.labels.items()))

    def list(
        self, *, tenant: str = DEFAULT_TENANT, context: str | None = None, tag: str | None = None
    ) -> Sequence[PromptVersion]:
        """The newest version of each prompt, by id."""
        found = dict(self._bundled)
        for prompt_id in self._published(tenant):
            found[prompt_id] = self.versions(prompt_id, tenant=tenant)[-1]
        return [
            prompt
            for _, prompt in sorted(found.items())
            if (context is None or prompt.spec.context == context) and (tag is None or tag in prompt.spec.tags)
        ]

    def render(self, reference: str, variables: Mapping[str, Any], *, tenant: str = DEFAULT_TENANT) -> Rendered:
        """Fill in. Raises NotFoundError, InvalidInputError."""
        return self._engine.render(self.get(reference, tenant=tenant), variables)

    def preview(self, spec: PromptSpec, variables: Mapping[str, Any], *, tenant: str = DEFAULT_TENANT) -> Rendered:
        """Fill in what is not published. Raises as `publish` and `render` do."""

        def lookup(id: str, version: int | None) -> tuple[int, str]:
            found = self.get(id if version is None else f"{id}@{version}", tenant=tenant)
            return found.version, found.spec.content

        return self._engine.render(self._prepare(spec, 0, lookup, user=None, comment=None), variables)

    def test(self, reference: str, *, tenant: str = DEFAULT_TENANT) -> Sequence[TestResult]:
        """Render the examples of a prompt and compare. Raises NotFoundError."""
        prompt = self.get(reference, tenant=tenant)
        return [
            TestResult(number=number, difference=self._difference(prompt, example))
            for number, example in enumerate(prompt.spec.examples)
        ]

    def diff(self, one: str, other: str, *, tenant: str = DEFAULT_TENANT) -> str:
        """What changed between two versions, as a unified diff of their YAML-like source; empty when nothing did."""
        before, after = self.get(one, tenant=tenant), self.get(other, tenant=tenant)
        lines = difflib.unified_diff(
            _source(before), _source(after), fromfile=before.reference, tofile=after.reference, lineterm=""
        )
        return "\n".join(lines)

    def pick(self, context: str, variables: Mapping[str, Any], *, tenant: str = DEFAULT_TENANT) -> PromptVersion:
        """The prompt of this context that fits the variables best: 1, and 2 for each variable of the right type (1 for one of
        another type), and 1 when there are as many variables as the prompt has; the first by id among equals.

        Raises NotFoundError.
        """
        candidates = self.list(tenant=tenant, context=context)
        if not candidates:
            raise NotFoundError(f"There is no prompt for {context!r}.", code="prompt_not_found")
        return max(candidates, key=lambda prompt: self._fit(prompt.spec, variables))

    def _new(self, id: str) -> Prompt:
        """A tenant's own. What comes with the platform under the id stays its version 1, as answers are linked to that."""
        prompt = Prompt(id)
        if id in self._bundled:
            prompt.publish(self._bundled[id])
        return prompt

    def _fit(self, spec: PromptSpec, variables: Mapping[str, Any]) -> int:
        score = 1 + (len(variables) == len(spec.variables))
        for name in variables.keys() & spec.variables.keys():
            only = spec.model_copy(update={"variables": {name: spec.variables[name]}, "strict": False})
            try:
                self._engine._checked(only, {name: variables[name]})  # noqa: SLF001  # the same check, of one variable
            except InvalidInputError:
                score += 1
            else:
                score += 2
        return score

    def _prepare(
        self, spec: PromptSpec, version: int, lookup: Any, *, user: str | None, comment: str | None
    ) -> PromptVersion:
        content, taken = flatten(spec.content, lookup, within=(spec.id,))
        system, more = (None, {}) if spec.system is None else flatten(spec.system, lookup, within=(spec.id,))
        self._engine.check(spec, content=content, system=system)
        rendered_from = {
            "content": content,
            "system": system,
            "variables": {name: found.model_dump(mode="json") for name, found in spec.variables.items()},
            "model": spec.model,
            "strict": spec.strict,
            "output_format": spec.output_format,
        }
        return PromptVersion(
            version=version,
            spec=spec,
            content=content,
            system=system,
            includes={**taken, **more},
            sha256=hashlib.sha256(orjson.dumps(rendered_from, option=orjson.OPT_SORT_KEYS)).hexdigest(),
            created_at=datetime.now(UTC),
            created_by=user,
            comment=comment,
        )

    def _difference(self, prompt: PromptVersion, example: Example) -> str | None:
        try:
            rendered = self._engine.render(prompt, example.variables)
        except InvalidInputError as error:
            return error.message
        wanted = [*(example.system or "").splitlines(), *example.text.splitlines()]
        got = [
            *((rendered.system or "") if example.system is not None else "").splitlines(),
            *rendered.text.splitlines(),
        ]
        if wanted == got:
            return None
        return "\n".join(difflib.unified_diff(wanted, got, fromfile="wanted", tofile="rendered", lineterm=""))

    def _published(self, tenant: str) -> set[str]:
        ids: set[str] = set()
        position = 0
        while page := self._events.read_all(
            after_position=position, types={PromptPublished.event_type}, limit=_PAGE, tenant=tenant
        ):
            ids |= {event.data["prompt_id"] for event in page}
            position = page[-1].position
        return ids


@lru_cache(maxsize=4096)
def _parse(reference: str) -> tuple[str, str | None]:
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise NotFoundError(
            f"There is no prompt {reference!r}; one is named id, id@3 or id@label.", code="prompt_not_found"
        )
    return found["id"], found["which"]


def _choose(state: _State, which: str | None, reference: str) -> PromptVersion:
    newest = len(state.versions)
    if which is None:
        number = state.labels.get("production", newest)
    elif which == LATEST:
        number = newest
    elif which.isdecimal():
        number = int(which)
    else:
        number = state.labels.get(which, 0)
    if not 1 <= number <= newest:
        labels = ", ".join(sorted(state.labels)) or "none"
        raise NotFoundError(
            f"There is no prompt {reference!r}: it has the versions 1 to {newest} and the labels {labels}.",
            code="prompt_not_found",
        )
    return state.versions[number - 1]


def _check_label(label: str) -> None:
    if LABEL.fullmatch(label) is None or label == LATEST:
        raise InvalidInputError(
            f"{label!r} cannot be a label: small letters, digits and hyphens, a letter first, and not {LATEST!r}.",
            code="label_invalid",
        )


def _unknown(reference: str) -> NotFoundError:
    return NotFoundError(f"There is no prompt {reference!r}.", code="prompt_not_found")


def _source(prompt: PromptVersion) -> list[str]:
    fields = prompt.spec.model_dump(mode="json", exclude_defaults=True, exclude={"content", "system", "examples"})
    lines = orjson.dumps(fields, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode().splitlines()
    for field, text in (("system", prompt.system), ("content", prompt.content)):
        if text is not None:
            lines += ["", f"--- {field}", *text.splitlines()]
    return lines
