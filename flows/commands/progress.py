"""How far a file has been read, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from flows.source import file as file_source


@contextmanager
def progress_shown() -> Iterator[file_source.Progress]:
    """What a `FileSource` tells shows as a bar on standard error, where that is a terminal; it goes away at the end."""
    console = Console(stderr=True)
    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    # Elsewhere even a bar that is not visible would leave an empty line.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)

        def tell(read: int, total: int | None) -> None:
            bar.update(task, completed=read, total=total)

        yield tell
