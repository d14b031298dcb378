"""The channels by which users come, and the file of facts that tells them apart (`channels.yaml`)."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from functools import cache
from typing import Final, Literal

import msgspec

CHANNELS: Final = (
    *("paid_shopping", "paid_search", "paid_social", "paid_video", "display", "paid_other"),
    *("organic_shopping", "organic_social", "organic_video", "organic_search", "ai_assistant"),
    *("email", "affiliates", "referral", "audio", "sms", "push", "direct", "unassigned"),
)
"""In the order in which rules are tried; `direct` is decided before all, `unassigned` is what no rule takes."""
DIRECT: Final = "direct"
UNASSIGNED: Final = "unassigned"
TRAFFIC: Final = ("paid", "organic", DIRECT, "referral")
"""Channels in a few groups; all others are `other`."""

Computed = Literal["channel", "traffic"]
Kind = Literal["search", "social", "video", "shopping", "assistant"]
VALUES: Final[Mapping[str, tuple[str, ...]]] = {"channel": CHANNELS, "traffic": TRAFFIC}
"""The values of a computed breakdown, besides `other` and `unknown`."""
LINK: Final = (
    ("context", "campaign", "source"),
    ("context", "campaign", "medium"),
    ("context", "campaign", "name"),
    ("context", "page", "url"),
    ("context", "page", "referrer"),
)
"""The fields of an event that say by which link its user came."""
LAST_MS: Final = 90 * 86_400_000
"""How long `direct: last` looks back."""


def is_paid(value: str) -> bool:
    """Whether a channel, or a kind of traffic, is of ads."""
    return value == "display" or value.partition("_")[0] == "paid"


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What makes an event one of a channel."""

    channel: str
    paid: bool = False
    kind: str = ""
    source: tuple[str, ...] = ()
    medium: tuple[str, ...] = ()
    medium_like: str = ""
    campaign_like: str = ""

    @property
    def only_paid(self) -> bool:
        """Whether it asks for nothing but a paid medium."""
        return not (self.kind or self.source or self.medium or self.medium_like or self.campaign_like)


class Click(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the parameter of an ad system stands for."""

    source: str
    medium: str = ""


class Members(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is of a kind: whole sources, and hosts with all below them."""

    hosts: tuple[str, ...]
    names: tuple[str, ...] = ()


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sources and mediums."""

    source: tuple[str, ...]
    medium: tuple[str, ...]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where facts were read, and when."""

    title: str
    url: str
    read: str


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    sources: dict[str, Source]
    paid_medium: str
    rules: tuple[Rule, ...]
    direct: Words
    click_ids: dict[str, Click]
    kinds: dict[str, Members]


@cache
def facts() -> Facts:
    """The file of facts; it is read where a config asks for channels, and nowhere else."""
    text = importlib.resources.files("flows.config").joinpath("channels.yaml").read_bytes()
    return msgspec.yaml.decode(text, type=Facts)
