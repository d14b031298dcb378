"""Real Kafka, real Redis, real `tidegauge run` processes under load, and everything around them broken by a seed.

load.py       what producers send: all that is usual, and all that is bad
proxy.py      a network between the job and a server that can be cut, black-holed and slowed
launcher.py   `tidegauge run` as it is, but for one named point at which it kills or freezes itself, or one mutation
stage.py      one broker or three, one Redis, the network; a history is one product, from first event to last check
faults.py     every fault: how it is made, and when it has ended
report.py     the table: fault, times injected, recovery, differences
campaign.py   `make faults`: many histories, one after another
mutations.py  `make mutations`: the same with the code made wrong, which has to be noticed
"""
