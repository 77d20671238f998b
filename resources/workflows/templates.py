"""The catalogue of workflows to choose from: what each is for, what it wants and gives, how long it takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime, timedelta

    from resources.workflows.spec import WorkflowSpec


@dataclass(frozen=True, slots=True)
class Template:
    """A workflow in the catalogue. `id` is its name; `name` is for people. Times are None for those of the platform."""

    id: str
    name: str
    description: str
    version: str
    category: str | None
    complexity: str | None
    required_inputs: tuple[str, ...]
    optional_inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    estimated_duration: timedelta | None
    tags: tuple[str, ...]
    author: str | None
    spec: WorkflowSpec
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def of(
        cls, spec: WorkflowSpec, *, created_at: datetime | None = None, updated_at: datetime | None = None
    ) -> Template:
        """The entry for a spec."""
        required = tuple(name for name, one in spec.inputs.items() if one.required and not one.has_default)
        title = spec.metadata.get("title")
        return cls(
            id=spec.name,
            name=title if isinstance(title, str) else spec.name.replace("_", " ").capitalize(),
            description=spec.description,
            version=spec.version,
            category=spec.category,
            complexity=spec.complexity,
            required_inputs=required,
            optional_inputs=tuple(name for name in spec.inputs if name not in required),
            outputs=tuple(spec.outputs),
            estimated_duration=spec.estimated_duration,
            tags=spec.tags,
            author=spec.author,
            spec=spec,
            created_at=created_at,
            updated_at=updated_at,
        )


@dataclass(frozen=True, slots=True)
class TemplateStatistics:
    """Figures about the catalogue. `average_duration` is of those that say how long they take; None when none does."""

    total: int
    by_category: Mapping[str, int]
    by_complexity: Mapping[str, int]
    average_duration: timedelta | None


class Templates:
    """The catalogue. Two entries of one id are refused."""

    def __init__(self, templates: Iterable[Template] = ()) -> None:
        self._templates: dict[str, Template] = {}
        for template in templates:
            self.add(template)

    def add(self, template: Template) -> None:
        """Raises ConflictError (`template_exists`)."""
        if template.id in self._templates:
            raise ConflictError(f"There is a template {template.id!r} already.", code="template_exists", id=template.id)
        self._templates[template.id] = template

    def get(self, id: str) -> Template:
        """Raises NotFoundError."""
        if id not in self._templates:
            raise NotFoundError(f"There is no template {id!r}.", code="template_not_found", id=id)
        return self._templates[id]

    def __iter__(self) -> Iterator[Template]:
        return iter(self._templates.values())

    def __len__(self) -> int:
        return len(self._templates)

    def search(
        self,
        *,
        text: str | None = None,
        category: str | None = None,
        complexity: str | None = None,
        tags: Collection[str] = (),
        has_inputs: Collection[str] = (),
        has_outputs: Collection[str] = (),
        max_duration: timedelta | None = None,
    ) -> list[Template]:
        """Those for which everything holds. One that does not say how long it takes is not within any duration."""

        def holds(one: Template) -> bool:
            return (
                (text is None or text.casefold() in f"{one.id}\n{one.name}\n{one.description}".casefold())
                and category in {None, one.category}
                and complexity in {None, one.complexity}
                and set(tags) <= set(one.tags)
                and set(has_inputs) <= {*one.required_inputs, *one.optional_inputs}
                and set(has_outputs) <= set(one.outputs)
                and (
                    max_duration is None
                    or (one.estimated_duration is not None and one.estimated_duration <= max_duration)
                )
            )

        return [one for one in self if holds(one)]

    def statistics(self) -> TemplateStatistics:
        """Counts and the average duration."""
        durations: list[Any] = [one.estimated_duration for one in self if one.estimated_duration is not None]
        return TemplateStatistics(
            total=len(self),
            by_category=Counter(one.category for one in self if one.category is not None),
            by_complexity=Counter(one.complexity for one in self if one.complexity is not None),
            average_duration=sum(durations[1:], durations[0]) / len(durations) if durations else None,
        )
