"""How orders are drawn: revenue, what is behind it, and who comes back."""

from __future__ import annotations

from flows.metrics.charts import ByBreakdown, ChartRow, Course, Line, Number

HEADLINES = [
    Number("orders.revenue", "Revenue", "What the orders of the window bring, before refunds.", good="up"),
    Number("average_order_value", "Average order", "Revenue per order.", good="up"),
]
CHARTS = ChartRow(
    "Orders",
    [
        Course(
            "Revenue",
            "What the orders of the window bring, and at the same time last week.",
            [Line("orders.revenue")],
            last_week=True,
            width=8,
        ),
        Course(
            "Revenue and refunds",
            "What the window brought (green) and gave back (red); net revenue is the difference.",
            [Line("orders.revenue", "revenue"), Line("orders.refund_amount", "refunds", below_zero=True)],
            width=8,
        ),
        ByBreakdown("orders.revenue", "Revenue"),
        Course(
            "Orders",
            "Orders of the window, and at the same time last week.",
            [Line("orders.completed")],
            last_week=True,
            width=8,
        ),
        Course(
            "Average order value",
            "Revenue per order, and at the same time last week.",
            [Line("average_order_value")],
            last_week=True,
            width=8,
        ),
        Course(
            "First orders and repeat orders",
            "Orders of users who had never ordered before, and of all others.",
            [Line("orders.first", "first"), Line("orders.repeat", "repeat")],
            width=8,
        ),
        Course(
            "Revenue per user and per buyer",
            "Revenue of the window over active users, and over those who bought.",
            [Line("arpu.orders", "per active user"), Line("arppu", "per buyer")],
            width=8,
        ),
        Course(
            "Buyers and repeat orders, shares",
            "Buyers among visitors, and orders of users who had ordered before among all orders.",
            [Line("buyer_rate", "buyers"), Line("repeat_share", "repeat orders")],
            width=8,
        ),
        Course(
            "Refunds and cancellations",
            "How many refunds were given and orders called off in the window.",
            [Line("orders.refunded", "refunds"), Line("orders.cancelled", "cancellations")],
            width=8,
        ),
        Course(
            "Customers who order",
            "Users whose latest order is at most `lapse_after` ago, and at the same time last week.",
            [Line("orders.customers_active")],
            last_week=True,
            width=8,
        ),
        Course(
            "Buyers, and customers who lapsed",
            "In the window: users who ordered, and users who passed `lapse_after` without an order.",
            [Line("orders.buyers", "buyers"), Line("orders.lapsed", "lapsed")],
            width=8,
        ),
        Course("Refund rate", "Refunds over orders of the window.", [Line("refund_rate")], width=8),
    ],
)
