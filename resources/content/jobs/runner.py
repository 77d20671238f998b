"""The work of a job: parse, analyse by rule or by a model, and say what came of it. The same for a request that waits."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from resources.ai.call import CallOptions
from resources.content.analysers import analyse
from resources.content.analysers.llm import analyse_with_model
from resources.content.jobs.model import AnalysisResult, DocumentFacts, JobError, JobStatus, PluginFindings, Structure
from resources.content.model import sha256_of
from resources.content.parse import parse_document
from resources.errors import InvalidInputError, LimitExceededError, PlatformError, UnavailableError
from resources.plugins.model import PluginInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from resources.ai.model import CallContext
    from resources.ai.pipeline import AiCalls
    from resources.content.jobs.model import AnalysisJob, AnalysisRequest
    from resources.content.jobs.store import AnalysisJobs
    from resources.content.model import Analysis, ParsedDocument
    from resources.content.parsers.base import ParseLimits
    from resources.plugins.model import Processed

    PluginCall = Callable[[str, PluginInput], Processed]


def analyse_request(
    request: AnalysisRequest,
    *,
    limits: ParseLimits,
    plugins: PluginCall,
    ai: AiCalls | None = None,
    caller: CallContext | None = None,
) -> tuple[AnalysisResult, tuple[JobError, ...]]:
    """The result, and what a model (rules have answered then) or a plugin could not do. `plugins` calls one by its name.

    Raises InvalidInputError and LimitExceededError for a document that cannot be read.
    """
    started = time.monotonic()
    within = replace(limits, timeout=min(limits.timeout, request.options.timeout_seconds))
    parsed = parse_document(request.content, name=request.name, declared=request.media_type, limits=within)
    analysis, errors = _analysed(parsed, request, ai, caller, started)
    findings, failures = _with_plugins(parsed, request, plugins)
    facts = DocumentFacts(
        name=request.name,
        content_type=parsed.media_type,
        size_bytes=len(request.content),
        sha256=sha256_of(request.content),
        title=parsed.title,
        author=parsed.author,
        encoding=parsed.encoding,
        pages=parsed.pages,
        characters=len(parsed.text),
    )
    structure = Structure(
        sections=parsed.tree(),
        links=parsed.links,
        citations=parsed.citations,
        media=parsed.media,
        tables=len(parsed.tables),
    )
    spent = round((time.monotonic() - started) * 1000)
    result = AnalysisResult(
        document=facts, structure=structure, analysis=analysis, plugin_results=findings, processing_ms=spent
    )
    return result, (*errors, *failures)


def run_job(
    job_id: UUID,
    jobs: AnalysisJobs,
    *,
    limits: ParseLimits,
    plugins: PluginCall,
    ai: AiCalls,
    caller: CallContext,
    clock: Callable[[], datetime],
) -> AnalysisJob:
    """Do the work of a job, and end it. A job that has ended is left as it is. Raises UnavailableError, to be tried again."""
    request = jobs.start(job_id, tenant=caller.tenant, now=clock())
    if request is None:
        return jobs.get(job_id, tenant=caller.tenant)
    try:
        result, errors = analyse_request(request, limits=limits, plugins=plugins, ai=ai, caller=caller)
    except (InvalidInputError, LimitExceededError) as error:
        failure = JobError(code=error.code, message=error.message)
        return jobs.end(job_id, JobStatus.FAILED, errors=(failure,), tenant=caller.tenant, now=clock())
    status = JobStatus.PARTIAL if errors else JobStatus.COMPLETED
    return jobs.end(job_id, status, result=result, errors=errors, tenant=caller.tenant, now=clock())


def _with_plugins(
    parsed: ParsedDocument, request: AnalysisRequest, plugins: PluginCall
) -> tuple[dict[str, PluginFindings], list[JobError]]:
    """What each plugin found in the text, and what went wrong; one that fails does not stop the others."""
    findings: dict[str, PluginFindings] = {}
    failures = []
    for name in dict.fromkeys(request.options.plugins):
        given = PluginInput(
            content=parsed.text,
            metadata={"name": request.name, "title": parsed.title, "media_type": parsed.media_type.value},
            config=request.options.plugin_params.get(name, {}),
        )
        try:
            found = plugins(name, given)
        except PlatformError as error:
            if isinstance(error, UnavailableError) and error.details.get("dependency") == "database":
                raise
            failures.append(JobError(code=error.code, message=error.message, part="plugin", plugin=name))
            continue
        findings[name] = PluginFindings(
            data=found.output.extracted_data,
            metadata=found.output.metadata_updates,
            content=found.output.modified_content,
            milliseconds=found.processing_time_ms,
            cached=found.cached,
        )
    return findings, failures


def _analysed(
    parsed: ParsedDocument,
    request: AnalysisRequest,
    ai: AiCalls | None,
    caller: CallContext | None,
    started: float,
) -> tuple[Analysis, tuple[JobError, ...]]:
    options = request.options
    if options.provider is None or options.model is None or ai is None or caller is None:
        return analyse(parsed), ()
    left = max(1.0, options.timeout_seconds - (time.monotonic() - started))
    try:
        analysis = analyse_with_model(
            parsed,
            ai,
            provider=options.provider,
            model=options.model,
            caller=caller,
            options=CallOptions(timeout=left),
        )
    except UnavailableError as error:
        if error.details.get("dependency") == "database":
            raise
        return analyse(parsed), (JobError(code=error.code, message=error.message, part="model"),)
    except PlatformError as error:
        return analyse(parsed), (JobError(code=error.code, message=error.message, part="model"),)
    return analysis, _lacking(analysis)


def _lacking(analysis: Analysis) -> tuple[JobError, ...]:
    if not analysis.by_rule:
        return ()
    parts = ", ".join(analysis.by_rule)
    message = f"The model gave no valid {parts}; rules have answered for it."
    return (JobError(code="answer_invalid", message=message, part="model"),)
