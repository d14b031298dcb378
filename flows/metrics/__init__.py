"""The metric families: one file each, or a folder where that is long, from definition to charts and alerts.

A family is told the events of its users (`HELD` rows) and the time, keeps its state in containers of `flows.state`,
and reports one flat vector of additive integers. It knows nothing of the other families, Kafka, Redis or wall clocks.
"""
