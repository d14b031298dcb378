from __future__ import annotations

import pytest

from deploy.bench import bounded


def test_a_million_tickets_and_ten_million_orders_take_no_more_than_the_limits_allow(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bounded.main() == 0
    assert capsys.readouterr().out.count("bounded: True") == 2
