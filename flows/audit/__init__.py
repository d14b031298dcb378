"""The slow, obvious reference that all fast code is judged by.

Written from the contract of every number alone, batch style: parse everything, decide what is late or a copy
in the order of reading, then compute each metric from scratch by applying its definition to the list of
events. No incremental state, nothing clever; `recompute` is the one door.

Choices where the contract leaves room (parse.py and states.py have those about single records):

* Without any accepted event T is `as_of_ms` when given, else None; counts are 0 and derived cells absent
  either way.
* `users.known` counts the users with an on-time event that the watermark has passed: all ever new;
  `users.evicted` is 0, for the reference forgets nobody.
* `active_users.day` and `stickiness` are broken down like the other active users.
* `active_users` of a minute counts the events that `active_users.events` names, like `active_users.<window>`.
* A breakdown value that is not listed is `other`, even when its text is "unknown".
* Subscriptions, where METRICS.md 3.6 leaves room: as flows/metrics/subscriptions promises; no state is ever
  refused, `subscriptions.refused` is 0. What becomes of single properties is said in states.py.
* Minutes: those that start at or after `W - minute_history`; minutes in which every number is 0 are left out.
* Ratios, quantiles and Kaplan-Meier are computed in exact fractions and rounded once, to the nearest float.
"""

from __future__ import annotations

from flows.audit.recompute import Result, recompute
from flows.audit.records import Event, Record, Rejection

__all__ = ["Event", "Record", "Rejection", "Result", "recompute"]
