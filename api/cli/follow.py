"""Waits for a replay with a progress bar, and for its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from api.cli.output import progress_console

if TYPE_CHECKING:
    from api.client import ApiClient
    from api.schemas import ReplayOut

_LOOK_EVERY = 0.2


def follow(client: ApiClient, replay: ReplayOut, *, what: str) -> ReplayOut:
    """Look at the replay until it has ended. Ctrl-C leaves it running."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = progress_console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[events]:,} events"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=1.0, events=replay.events)
        while replay.state == "running":
            time.sleep(_LOOK_EVERY)
            replay = client.replay(replay.id)
            progress.update(task, completed=replay.share, events=replay.events)
    return replay
