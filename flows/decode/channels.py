"""By which channel the user of an event came: the slow way, which decides (METRICS.md 5.7).

The parts of the link are checked in this order, and the first that names a source wins:

    source and medium    context.campaign, utm_* of the page's url, an ad system's click id in it, the referrer's host
    name of a campaign   context.campaign, utm_campaign

Then the rules of `config/channels.yaml` are tried in their order. Texts count without the white space around them, and
in lower case; parameters of urls are decoded as forms are, and of one that is there twice the first that says something
counts. A referrer of the page's own host, or of one of the product's, is none. Nothing raises, whatever an event holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from flows.config.channels import DIRECT, UNASSIGNED, Rule, facts, is_paid
from flows.config.model import OTHER, Breakdown

_AUTHORITY: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//([^/?#\\]*)", re.ASCII | re.IGNORECASE)
_COUNTRY: Final = re.compile(r"[a-z]{2}|com|(?:com?|org|net|ne|or)\.[a-z]{2}")
"""What `.*` of a host stands for."""
_LONGEST: Final = 253
"""Characters of a host; what is longer is none (RFC 1035), and takes no time to look up."""
_REFERRAL: Final = "referral"


class Link(NamedTuple):
    """The link that led to an event, as the event describes it; None where it does not."""

    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    url: str | None = None
    referrer: str | None = None


class Channels:
    """The channels, or the kinds of traffic, of one computed breakdown."""

    def __init__(self, breakdown: Breakdown) -> None:
        self._facts = facts()
        self._traffic = breakdown.computed == "traffic"
        self._all_organic = breakdown.organic == "all"
        self._own_hosts = [bare(host.lower()) for host in breakdown.own_hosts]
        self._names = {name: kind for kind, members in self._facts.kinds.items() for name in members.names}
        self._hosts = {host: kind for kind, members in self._facts.kinds.items() for host in members.hosts}
        for kind, added in breakdown.sources.items():
            for text in added:
                self._names[text.lower()] = self._hosts[text.lower()] = kind

    def value_of(self, link: Link) -> str:
        """The value of the breakdown."""
        channel = self.channel_of(link)
        return traffic_of(channel, all_organic=self._all_organic) if self._traffic else channel

    def channel_of(self, link: Link) -> str:
        """One of CHANNELS."""
        told = parameters(link.url)
        source, medium = self._origin(link, told)
        campaign = said(link.campaign) or said(told.get("utm_campaign"))
        none = self._facts.direct
        if (source, medium, campaign) == ("", "", "") or (
            source in none.source and (not medium or medium in none.medium)
        ):
            return DIRECT
        kind = self._kind_of(source)
        for rule in self._facts.rules:
            if self._holds(rule, source, medium, campaign, kind):
                return rule.channel
        return UNASSIGNED

    def _origin(self, link: Link, told: Mapping[str, str]) -> tuple[str, str]:
        """Source and medium; empty: there is none."""
        campaign = said(link.source), said(link.medium)
        if any(campaign):
            return campaign
        tagged = said(told.get("utm_source")), said(told.get("utm_medium"))
        if any(tagged):
            return tagged
        for name, click in self._facts.click_ids.items():
            if said(told.get(name)):
                return click.source, click.medium
        referrer, page = host_of(link.referrer), host_of(link.url)
        if not referrer or bare(referrer) == bare(page) or self._is_own(bare(referrer)):
            return "", ""
        return referrer, _REFERRAL

    def _is_own(self, host: str) -> bool:
        return any(host == own or host.endswith(f".{own}") for own in self._own_hosts)

    def _kind_of(self, source: str) -> str | None:
        if source in self._names:
            return self._names[source]
        return next((self._hosts[host] for host in above(source) if host in self._hosts), None)

    def _holds(self, rule: Rule, source: str, medium: str, campaign: str, kind: str | None) -> bool:
        if rule.paid and not _like(self._facts.paid_medium, medium):
            return False
        return (
            rule.only_paid
            or (kind is not None and kind == rule.kind)
            or source in rule.source
            or medium in rule.medium
            or (rule.medium_like != "" and _like(rule.medium_like, medium))
            or (rule.campaign_like != "" and _like(rule.campaign_like, campaign))
        )


def traffic_of(channel: str, *, all_organic: bool) -> str:
    """The kind of traffic that a channel is."""
    if is_paid(channel):
        return "paid"
    if channel == "organic_search" or (all_organic and channel.startswith("organic_")):
        return "organic"
    return channel if channel in (DIRECT, _REFERRAL) else OTHER


def said(text: str | None) -> str:
    """A text as it is compared; empty: it says nothing."""
    return (text or "").strip().lower()


def parameters(url: str | None) -> dict[str, str]:
    """The parameters of a url that say something, by their names in lower case."""
    query = (url or "").strip().partition("#")[0].partition("?")[2]
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        value = unquote_plus(value)
        if said(value):
            found.setdefault(unquote_plus(name).lower(), value)
    return found


def host_of(url: str | None) -> str:
    """The host of a url; empty: it names none."""
    match = _AUTHORITY.match((url or "").strip())
    if match is None:
        return ""
    place = match[1].rpartition("@")[2]
    host = f"{place.partition(']')[0]}]" if place.startswith("[") else place.partition(":")[0]
    return host.lower().rstrip(".")


def bare(host: str) -> str:
    """A host without `www`."""
    return host.removeprefix("www.")


def above(host: str) -> Iterator[str]:
    """A host and those above it, the longest first, each also with `.*` for the ending of a country."""
    labels = host.split(".") if len(host) <= _LONGEST else []
    for first in range(len(labels)):
        yield ".".join(labels[first:])
        for end in (first + 1, first + 2):
            if _COUNTRY.fullmatch(".".join(labels[end:])):
                yield ".".join((*labels[first:end], "*"))


def _like(pattern: str, text: str) -> bool:
    return text != "" and re.fullmatch(pattern, text, re.DOTALL) is not None
