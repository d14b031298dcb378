from __future__ import annotations

import pytest

from deploy.bench.scrape import Scrape, config_of, count_of


@pytest.mark.parametrize("series", [1_000, 5_000])
def test_a_config_has_about_as_many_series_as_asked(series: int) -> None:
    assert count_of(config_of(series)) == pytest.approx(series, rel=0.15)


def test_series_are_the_lines_with_a_value() -> None:
    page = b'# HELP a b\n# TYPE a gauge\na{product="x"} 1\nb 2\n\n# EOF\n'
    assert Scrape(1.0, 10, page).series == 2
