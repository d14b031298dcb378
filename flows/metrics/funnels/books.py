"""Where the attempts of a funnel are counted, by their entry: in windows, once they have matured, and by age."""

from __future__ import annotations

from typing import NamedTuple

from flows.compiled.loops import inlined
from flows.metrics.family import Split, group_of
from flows.metrics.funnels.cells import BUCKETS, COMPLETED, CONVERT_MS, CONVERTED, ENTERED, IN_PROGRESS
from flows.metrics.histograms import BOUNDS_S, bucket_of
from flows.metrics.minutes import Page
from flows.state.windows import PANES, Ring, add, move, pane_of


class Books(NamedTuple):
    """The counters of one funnel, and what says where an attempt counts in them."""

    window: int  # of the funnel, ms
    steps: int
    counters: int  # of a group in `windows`: attempts by step reached, then what has become of them
    windows: Ring
    matured: Ring  # stands a funnel window behind
    under_way: Ring  # over the funnel window: attempts that have not converted
    by_age: Ring  # over the funnel window: conversions by age
    page: Page
    page_column: int  # of `entered` in the minute book; `converted` is the next


@inlined
def stand_at(books: Books, now: int) -> None:
    """Let everything that moves with time stand at `now` (ms)."""
    move(books.windows, now)
    move(books.matured, now - books.window)
    move(books.under_way, now)
    move(books.by_age, now)


@inlined
def enter(dims: int, start: int, amount: int, books: Books, split: Split) -> None:
    """Book an attempt that begins at `start` (amount 1), or take it back (-1)."""
    _count(dims, start, 0, amount, amount, books, split)
    for d in range(len(split.base)):
        add(books.under_way, start, group_of(split, d, dims), amount)


@inlined
def reach(dims: int, reached: int, start: int, ts: int, books: Books, split: Split) -> None:
    """Book that an attempt has `reached` so many steps at `ts`, and that it has converted when these are all."""
    age = ts * PANES // books.window - start * PANES // books.window
    bucket = bucket_of(BOUNDS_S, ts - start)
    converts = reached == books.steps
    windows = books.windows
    for w in range(len(windows.widths)):
        pane = pane_of(windows, w, start)
        if pane < 0:
            continue
        for d in range(len(split.base)):
            first = group_of(split, d, dims) * books.counters
            outcome = first + books.steps
            for counts in (windows.panes[w, pane], windows.totals[w]):
                counts[first + reached - 1] += 1
                if converts:
                    counts[outcome + CONVERTED] += 1
                    counts[outcome + IN_PROGRESS] -= 1
                    counts[outcome + CONVERT_MS] += ts - start
                    if bucket < len(BOUNDS_S):
                        counts[outcome + BUCKETS + bucket] += 1
    if converts:
        for d in range(len(split.base)):
            group = group_of(split, d, dims)
            add(books.under_way, start, group, -1)
            add(books.by_age, start, group * PANES + min(age, PANES - 1), 1)


@inlined
def end(dims: int, start: int, outcome: int, amount: int, books: Books, split: Split) -> None:
    """Book that an attempt in progress came to an end that is no conversion (amount 1), or take that back (-1)."""
    _count(dims, start, books.steps + outcome, amount, -amount, books, split)


@inlined
def mature(dims: int, start: int, converted: int, amount: int, books: Books, split: Split) -> None:
    """Book an attempt whose time is up, `converted` (1) or not (0); with amount -1 take that back."""
    for d in range(len(split.base)):
        group = group_of(split, d, dims)
        add(books.matured, start, group * 2 + ENTERED, amount)
        if converted:
            add(books.matured, start, group * 2 + COMPLETED, amount)


@inlined
def _count(dims: int, start: int, field: int, amount: int, in_progress: int, books: Books, split: Split) -> None:
    """Count `amount` in `field` of all windows that hold `start`, and so many in progress."""
    windows = books.windows
    for w in range(len(windows.widths)):
        pane = pane_of(windows, w, start)
        if pane < 0:
            continue
        for d in range(len(split.base)):
            first = group_of(split, d, dims) * books.counters
            for counts in (windows.panes[w, pane], windows.totals[w]):
                counts[first + field] += amount
                counts[first + books.steps + IN_PROGRESS] += in_progress
