"""The page of guarantees promises nothing without a test; that the named tests exist, tests/test_docs.py holds."""

from __future__ import annotations

import re

from tests.test_architecture import ROOT

PAGE = (ROOT / "flows" / "GUARANTEES.md").read_text(encoding="utf-8")


def test_every_promise_names_the_test_that_holds_it() -> None:
    promised = PAGE[PAGE.index("## Promised") : PAGE.index("## Not promised")]
    rows = [row.strip("|").split("|") for row in promised.splitlines() if row.startswith("|")][2:]
    assert len(rows) > 15
    assert [row[0].strip() for row in rows if not re.search(r"`test_\w+`", row[-1])] == []
