from __future__ import annotations

import tracemalloc

from deploy.bench.everything import everything
from flows.measure.shard import Shard
from flows.metrics.cost import cost


def test_what_shards_hold_without_users_is_known_before() -> None:
    config = everything()
    Shard(config)  # what is loaded once is not meant
    tracemalloc.start()
    shard = Shard(config)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.9 < cost(config).fixed_bytes / config.shards / held < 1.1, shard
