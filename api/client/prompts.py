"""Prompts and their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from api.client.answers import V1, Answer, Seen, named
from api.client.base import HttpClient

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class PromptsClient(HttpClient):
    """Prompts and their versions."""

    def prompts(self, *, context: str | None = None, tag: str | None = None) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/prompts", context=context, tag=tag))

    def prompt(self, reference: str) -> Answer:
        prompt_id, which = named(reference)
        return self._mapping("GET", f"{V1}/prompts/{quote(prompt_id, safe='')}", which=which)

    def publish_prompt(
        self, prompt: Mapping[str, Any], *, comment: str | None = None, labels: Sequence[str] = ()
    ) -> Answer:
        body = {"prompt": prompt, "comment": comment, "labels": list(labels)}
        return self._mapping("POST", f"{V1}/prompts", json=body)

    def label_prompt(self, prompt_id: str, label: str, *, version: int, if_match: Seen | None = None) -> Answer:
        path = f"{V1}/prompts/{quote(prompt_id, safe='')}/labels/{quote(label, safe='')}"
        return self._mapping("PUT", path, json={"version": version}, if_match=if_match)

    def prompt_label(self, prompt_id: str, label: str) -> Answer:
        """The `version` that the label names."""
        return self._mapping("GET", f"{V1}/prompts/{quote(prompt_id, safe='')}/labels/{quote(label, safe='')}")

    def render_prompt(self, reference: str, variables: Mapping[str, Any]) -> Answer:
        prompt_id, which = named(reference)
        body = {"variables": variables}
        return self._mapping("POST", f"{V1}/prompts/{quote(prompt_id, safe='')}/render", json=body, which=which)

    def test_prompt(self, reference: str) -> list[dict[str, Any]]:
        prompt_id, which = named(reference)
        return list(self._plain("POST", f"{V1}/prompts/{quote(prompt_id, safe='')}/test", which=which))

    def diff_prompt(self, prompt_id: str, one: str, other: str) -> str:
        return str(self._plain("GET", f"{V1}/prompts/{quote(prompt_id, safe='')}/diff", one=one, other=other)["diff"])

    def preview_prompt(self, prompt: Mapping[str, Any], variables: Mapping[str, Any]) -> Answer:
        """Render what is not published."""
        body = {"prompt": dict(prompt), "variables": dict(variables)}
        return self._mapping("POST", f"{V1}/prompts/preview", json=body)

    def prompt_versions(self, prompt_id: str) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/prompts/{quote(prompt_id, safe='')}/versions"))
