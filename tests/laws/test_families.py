"""Every family of the catalogue by itself, over the configs that it offers."""

from __future__ import annotations

import pytest

from flows.commands.metrics_page import EVERYTHING
from flows.metrics.catalogue import families
from flows.metrics.family import Family
from flows.metrics.minutes import MinuteBook
from tests.laws.check_family import check_family

FAMILIES = list(dict.fromkeys(type(member) for member in families(EVERYTHING, MinuteBook(EVERYTHING)).values()))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_a_family_obeys_all_laws_under_every_config_that_it_offers(family: type[Family]) -> None:
    check_family(family)
