r"""Who pays, how much a month, who stopped and who came back (METRICS.md 3.6, ordered).

A *state* is what one `Subscription Changed` says of one subscription of one customer: its status, plan, monthly
recurring revenue (MRR, integer minor units, `schemas/subscription.py` computes it) and whether its cancellation has been
requested. A subscription is known by the pair (customer, subscription_id): the same id under another customer is another
subscription. Its MRR is 0 unless its status is `active` or `past_due`. A customer's MRR is the sum of its subscriptions.

When a state is used, and what it does
--------------------------------------
Accepted events with a state are used, a copy (same user, messageId and customer) is not. Each has the times

    issued     (ts, partition, offset) of its event
    effective  `effective_at`, else ts; at most 400 days after ts
    used       max(ts, clock - lateness): the clock is the running clock of its partition, with the event, or T where that
               is ahead, as for lateness. So used = ts for an event on time; a late one takes its turn when it is read.

States are used one by one in the order of (used, partition, offset), once W > used. A state is

    due now    when effective <= used. It *applies* when the subscription is not known yet, or (effective, issued) is later
               than that of the state last applied to it; otherwise it is stale and changes nothing.
    ahead      when effective > used. It becomes the pending state of its subscription, one each, in place of an older
               pending one. It is stale when a pending state is there that was issued later, or when the state last applied
               is `cancelled` or `expired` and was issued later. It applies at `effective`, once W > effective, before any
               state with the same `used`; pending states of the same moment in the order of their `issued`.

A state that applies with status `cancelled` or `expired` drops the pending state of its subscription if that was issued
before it. (Nothing else withdraws one; another state ahead replaces it.) A state that becomes pending makes its
subscription known, with nothing to pay. Stale states are counted since the beginning, `subscriptions.stale`.

What applies to each subscription therefore depends on what was said and not on the order in which it was read, as long as
no state ahead is read later than its `effective`.

What is booked
--------------
Everything that comes of a state is booked at its `effective`: in the panes of that time, which may have left a window,
and in the totals since the beginning. Let a subscription of plan p and MRR a become one of plan q and MRR b, and its
customer's MRR go from x to y = x - a + b. When x = y there is no movement. Otherwise it is one movement of |y - x|:

    new          x = 0, and the customer's MRR has never been above 0       counts in customers.new, too
    reactivated  x = 0, and it has                                          counts in customers.reactivated
    churned      y = 0                                                      counts in customers.churned
    expansion    0 < x < y
    contraction  0 < y < x

(Each state is a change of its own: to cancel one subscription and then to begin another is to churn and to come back, even
in one millisecond.) The movement belongs to plan q, but to p when b = 0. When p is not q and both a and b are above 0, the
amount a has *moved* from p to q, whether x = y or not, so that a change of plan is neither churn nor new. At all times, in
total and in every shard, since the beginning:

    mrr        = new + reactivated + expansion - contraction - churned
    mrr{plan}  = new + reactivated + expansion - contraction - churned + moved_in - moved_out      all of that plan
    customers.active = customers.new + customers.reactivated - customers.churned

A cancellation is requested by a state that applies with `cancel_at` and a status other than `cancelled` and `expired` when
the one applied before it had no `cancel_at`, or there was none. One withdrawn is not counted back.

Cells
-----
Plans are those of the config, `other` and `unknown`. Cells with (plan) exist in total and for each as `{plan=...}`:

    customers.active (plan)             customers with MRR > 0; by plan: with MRR > 0 on that plan
    subscriptions.active                subscriptions `active` or `past_due`, whatever they pay
    subscriptions.pending               subscriptions with a pending state
    subscriptions.stale                 states that changed nothing, since the beginning
    subscriptions.refused               states refused at the limit (see below), since the beginning
    mrr (plan)                          now
    customers.M.<w> (plan)              M of new, churned, reactivated; by plan: of the plan the movement belongs to
    mrr.M.<w> (plan)                    M of new, expansion, contraction, churned, reactivated
    mrr.moved_in.<w>{plan=}, mrr.moved_out.<w>{plan=}    by plan only
    mrr.moved.<from>.<to>.<w>           for the pairs in `moves`: by default all pairs of listed plans
    subscriptions.cancel_requested.<w>

<w> are the `windows` of the config, and `total`: since the beginning (panes do not matter there).
Derived, over `ratio_windows` where they have a window:

    arr (plan)                          12 * mrr, an integer
    arpa (plan)                         mrr / customers.active, minor units
    mrr.difference (plan)               mrr less the right side of its identity above, always 0, an integer
    customer_churn_rate.<w>             churned / S,   S = customers.active - new - reactivated + churned
    mrr_churn_rate.<w>                  (churned + contraction) / R
    net_mrr_churn_rate.<w>              (churned + contraction - expansion - reactivated) / R
                                        with R = mrr - new - reactivated - expansion + contraction + churned

S and R are what there was when the window began; rates are absent unless that is above 0.

A shard keeps at most `users_per_shard` subscriptions. A state of one more is refused and counted.
"""
