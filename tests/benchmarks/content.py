"""How many documents a second are read and analysed, format by format and stage by stage; what one takes; how good it is.

The documents are real: those that come with the packages installed here (HTML, Markdown, reStructuredText, JSON, CSV, code);
for PDF, DOCX and EPUB the longest texts among them, written in that format, as nobody ships such files. Files that hold no text
are left out. Figures of formats and stages are of CPU seconds in one process; those of processes are wall time, with the
documents dealt out.

Quality is measured by `content_quality`, which also runs alone.
"""

from __future__ import annotations

import gc
import statistics
import sys
import sysconfig
import tempfile
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

import orjson

from resources.content.analysers import analyse, grades, terms
from resources.content.analysers.entities import entities
from resources.content.analysers.language import language
from resources.content.analysers.objectives import objectives
from resources.content.analysers.reading import read
from resources.content.analysers.sentiment import sentiment
from resources.content.analysers.summary import summary
from resources.content.model import MediaType
from resources.content.parsers import ParseLimits
from resources.content.parsers import read as parse
from resources.content.sniff import EXTENSIONS
from resources.errors import PlatformError
from tests.benchmarks import content_quality, harness
from tests.fixtures.office import make_docx, make_epub
from tests.fixtures.pdf import make_pdf

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.content.model import ParsedDocument
    from tests.benchmarks.harness import Number, Report

BAR: Final = 1000.0
LARGEST: Final = 64 * 1024
LEAST: Final = 500
_PER_FORMAT: Final = 300
_MADE: Final = 60
_SECONDS: Final = 3.0
_LIMITS: Final = ParseLimits()
_WORKER: Final[list[str | Path]] = [sys.executable, "-m", "tests.benchmarks.content_worker"]

Documents = list[tuple[str, bytes]]


def corpus(*, most: int = _PER_FORMAT) -> dict[MediaType, Documents]:
    """Real documents by format, each read once to see that there is something in it."""
    found: dict[MediaType, Documents] = {kind: [] for kind in MediaType}
    packages = Path(sysconfig.get_paths()["purelib"])
    for path in sorted(packages.rglob("*")):
        kind = EXTENSIONS.get(path.suffix.lower())
        if kind is None or len(found[kind]) >= most or not path.is_file():
            continue
        if not LEAST <= path.stat().st_size <= LARGEST or path.name in {"top_level.txt", "entry_points.txt"}:
            continue
        content = path.read_bytes()
        if _is_read(kind, content, path.name):
            found[kind].append((path.name, content))
    return found | _made(found)


def _is_read(kind: MediaType, content: bytes, name: str) -> bool:
    try:
        return bool(parse(kind, content, limits=_LIMITS, name=name).text.strip())
    except (PlatformError, RecursionError):
        return False


def _made(found: dict[MediaType, Documents]) -> dict[MediaType, Documents]:
    """PDF, DOCX and EPUB with the text of real documents."""
    texts = sorted(found[MediaType.MARKDOWN], key=lambda item: -len(item[1]))[:_MADE]
    made: dict[MediaType, Documents] = {MediaType.PDF: [], MediaType.DOCX: [], MediaType.EPUB: []}
    for name, content in texts:
        paragraphs = [part.strip() for part in content.decode("utf-8", "replace").split("\n\n") if part.strip()]
        lines = [
            line.encode("latin-1", "replace").decode("latin-1")[:90] for part in paragraphs for line in part.split("\n")
        ]
        pages = [lines[start : start + 45] for start in range(0, len(lines), 45)]
        body = "".join(f"<w:p><w:r><w:t>{escape(_plain(part))}</w:t></w:r></w:p>" for part in paragraphs)
        chapters = [
            "".join(f"<p>{escape(_plain(part))}</p>" for part in paragraphs[at : at + 20])
            for at in range(0, len(paragraphs), 20)
        ]
        made[MediaType.PDF].append((f"{name}.pdf", make_pdf(pages)))
        made[MediaType.DOCX].append((f"{name}.docx", make_docx(body)))
        made[MediaType.EPUB].append((f"{name}.epub", make_epub(*chapters)))
    return made


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter in "\n\t" or letter.isprintable())


def measure(report: Report, quick: bool) -> None:
    """All of it."""
    report.versions |= harness.version_of(
        "selectolax", "lxml", "pypdfium2", "markdown-it-py", "docutils", "pygments", "py3langid"
    )
    documents = corpus(most=60 if quick else _PER_FORMAT)
    rounds = 1 if quick else 3
    seconds = _SECONDS / 3 if quick else _SECONDS
    parsed: dict[MediaType, list[ParsedDocument]] = {}
    for kind, items in documents.items():
        parsed[kind] = [parse(kind, content, limits=_LIMITS, name=name) for name, content in items]
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        for kind, items in documents.items():
            if items:
                report.add(_format(kind, items, parsed[kind], seconds / 3))
        report.add(_stages(parsed[MediaType.HTML], seconds / 3))
        for processes in (1, 2):
            report.add(_processes(documents[MediaType.HTML], processes, seconds))
    report.add(_memory(documents))
    content_quality.measure(report, quick)
    pages = documents[MediaType.HTML]
    size = statistics.mean(len(content) for _, content in pages)
    report.bar(
        "HTML read and analysed, documents/s on two processes",
        report.median("html_2_processes_docs_s"),
        BAR,
        better="more",
        why=f"the pages are large: {size:,.0f} bytes each, and each word costs microseconds in several stages, of which none "
        "stands out (html_*_us); of pages up to 6,000 bytes: html_2_processes_small_docs_s",
    )


def _format(kind: MediaType, items: Documents, parsed: list[ParsedDocument], seconds: float) -> dict[str, Number]:
    name = kind.name.lower()
    rate = _rate(lambda index: parse(kind, items[index][1], limits=_LIMITS, name=items[index][0]), len(items), seconds)
    size = statistics.mean(len(content) for _, content in items)
    return {
        f"{name}_documents": len(items),
        f"{name}_bytes": round(size),
        f"{name}_parse_docs_s": rate,
        f"{name}_parse_mb_s": rate * size / 1e6,
        f"{name}_analyse_docs_s": _rate(lambda index: analyse(parsed[index]), len(items), seconds),
    }


def _stages(parsed: list[ParsedDocument], seconds: float) -> dict[str, Number]:
    """Microseconds of one page of HTML in each stage of the analysis."""
    readings = [read(document) for document in parsed]
    concepts = [terms.concepts(reading) for reading in readings]
    stages: dict[str, Callable[[int], object]] = {
        "read": lambda index: read(parsed[index]),
        "grade": lambda index: grades.quality(readings[index], grades.count(readings[index]), 50.0),
        "concepts": lambda index: terms.concepts(readings[index]),
        "keywords": lambda index: terms.keywords(readings[index]),
        "summary": lambda index: summary(readings[index]),
        "language": lambda index: language(parsed[index].text, readings[index]),
        "entities": lambda index: entities(readings[index], concepts[index]),
        "objectives": lambda index: objectives(readings[index], concepts[index], "advanced"),
        "sentiment": lambda index: sentiment(readings[index]),
    }
    return {f"html_{name}_us": 1e6 / _rate(work, len(parsed), seconds / 3) for name, work in stages.items()}


def _rate(work: Callable[[int], object], count: int, seconds: float) -> float:
    """Times a second of CPU, over all documents at least once."""
    done, begun, until = 0, time.process_time(), time.monotonic() + seconds
    while done < count or time.monotonic() < until:
        work(done % count)
        done += 1
    return done / (time.process_time() - begun)


def _processes(items: Documents, count: int, seconds: float) -> dict[str, Number]:
    """Pages a second of wall time, parsed and analysed by so many processes, which have all started before."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        pages = Path(folder) / "pages.json"
        pages.write_bytes(orjson.dumps([content.decode("utf-8", "replace") for _, content in items]))
        workers = [
            stack.enter_context(harness.Worker([*_WORKER, pages, str(number), str(count)])) for number in range(count)
        ]
        for worker in workers:
            worker.ask("warm")
        figures: dict[str, Number] = {}
        with ThreadPoolExecutor(count) as threads:
            for what in ("all", "small"):
                answers = list(threads.map(lambda worker, do=what: worker.ask(do, seconds=seconds), workers))
                key = f"html_{count}_processes_{'' if what == 'all' else 'small_'}docs_s"
                figures[key] = sum(answer["documents"] / answer["seconds"] for answer in answers)
    return figures


def _memory(documents: dict[MediaType, Documents]) -> dict[str, Number]:
    """The most that Python allocates for one document above what it had, in kilobytes, on average, from bytes to analysis."""
    figures: dict[str, Number] = {}
    for kind, items in documents.items():
        peaks = []
        for name, content in items[:20]:
            tracemalloc.start()
            analyse(parse(kind, content, limits=_LIMITS, name=name))
            peaks.append(tracemalloc.get_traced_memory()[1] / 1024)
            tracemalloc.stop()
        if peaks:
            figures[f"{kind.name.lower()}_peak_kb"] = statistics.mean(peaks)
    return figures


if __name__ == "__main__":
    harness.run("content", measure)
