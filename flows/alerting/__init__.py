"""Alerts: Prometheus rules made from a config, and their replay over a recorded stream.

Each alert of the product wants all of: a change that matters, one that is no accident, enough volume, fresh data.

A family declares its alerts as data, each in one of seven shapes (flows/metrics/alerts.py); flows/alerting/shapes makes
the rules of a shape.

*No accident* is a test against the same hour last week (churn and MRR: against the trailing time), in standard errors:

* **Counted shares** (bounce): the two-proportion z-test with the pooled share. The hour of last week counts as many
  windows as fit into it, but at least one: longer windows share most of what they count.
* **Estimated shares** (conversion): the difference of two Kaplan-Meier estimates over their standard errors
  (Greenwood). Greenwood's error is 0 where nobody has converted, so the variance is at least c (1 - c) / n, that of the
  usual conversion c without any censoring.
* **Counts** (users, key actions, cancellations): Anscombe's transform. For x from a Poisson distribution of mean mu,
  2 (sqrt(x + 3/8) - sqrt(mu + 3/8)) is nearly normal with variance 1 (F. J. Anscombe, The transformation of Poisson,
  binomial and negative-binomial data, Biometrika 35, 1948). Counts of people vary more than that: the variance is
  multiplied by the index of dispersion (variance over mean, at least 1) of the past it is compared with, and by 1 + the
  share of the present window in that past, for the mean is an estimate itself.
* **Means** (duration, NPS): the difference over the standard error, from the coefficient of variation of single items.
  Where the mean is published with its standard error, from the variance of all items of both times, as if nothing had
  changed. For NPS that is p + d - (p - d)^2, with p and d the shares of promoters and detractors among all of them.
* **Stocks** (MRR): the share lost, less its trailing mean, over the standard deviation of the trailing hours. Money
  is no count, so its own past is the only measure of chance.

A ratio test wants independent counts. So a surge of traffic with unchanged rates moves no share and no conversion, and
raises counts that are watched for drops only.
"""
