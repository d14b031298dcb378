"""`tidegauge` with a confluent-kafka whose clients are kept where nobody expects them.

python -m tests.job.unknown_client run ...
"""

from __future__ import annotations

import sys

import confluent_kafka

from flows.app import main
from flows.kafka import librdkafka
from tests.kafka.test_librdkafka import OF_THE_TYPE

if __name__ == "__main__":
    confluent_kafka.__version__ = "99.0"  # type: ignore[assignment] # a text, whatever its types say
    librdkafka._HANDLE_OFFSET = OF_THE_TYPE  # type: ignore[misc] # the wrong place
    sys.exit(main(sys.argv[1:]))
