"""METRICS.md 5.7: by which channel the user of an event came, from the facts in `config/channels.yaml`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import yaml

from flows.audit.fields import lookup, text_of
from flows.config.model import OTHER, Breakdown

FIELDS = {
    "source": "context.campaign.source",
    "medium": "context.campaign.medium",
    "campaign": "context.campaign.name",
    "url": "context.page.url",
    "referrer": "context.page.referrer",
}
LONGEST_HOST = 253


@cache
def facts() -> Any:
    """The file of facts, which has no code."""
    file = Path(__file__).parents[1] / "config" / "channels.yaml"
    return yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)


def link_of(document: dict[str, Any]) -> dict[str, Any]:
    """What an event says of the link by which its user came, as it stands there."""
    return {name: lookup(document, field) for name, field in FIELDS.items()}


def computed(link: dict[str, Any], breakdown: Breakdown) -> str:
    """The value of a computed breakdown."""
    texts = {name: (text_of(found) or "").strip() for name, found in link.items()}
    added = tuple((kind, text.lower()) for kind, some in breakdown.sources.items() for text in some)
    channel = channel_of(*texts.values(), own_hosts=breakdown.own_hosts, added=added)
    return channel if breakdown.computed == "channel" else traffic_of(channel, breakdown.organic == "all")


def traffic_of(channel: str, all_organic: bool) -> str:
    """METRICS.md 5.7: "`paid` (paid_*, display), `organic` (organic_search; with `organic: all` every organic_*),
    `direct`, `referral`, `other`".
    """
    paid = ("paid_shopping", "paid_search", "paid_social", "paid_video", "paid_other", "display")
    organic = ("organic_search", "organic_shopping", "organic_social", "organic_video")
    if channel in paid:
        return "paid"
    if channel in (organic if all_organic else organic[:1]):
        return "organic"
    return channel if channel in ("direct", "referral") else OTHER


@lru_cache(100_000)
def channel_of(
    source: str,
    medium: str,
    campaign: str,
    url: str,
    referrer: str,
    *,
    own_hosts: tuple[str, ...] = (),
    added: tuple[tuple[str, str], ...] = (),
) -> str:
    """ "Source and medium: `context.campaign.{source, medium}` if either is there, else `utm_*` of `context.page.url`,
    else from a click id, else from `context.page.referrer`." The texts are without white space around them.
    """
    asked = _asked(url)
    name = campaign.lower() or asked.get("utm_campaign", "")
    if source or medium:
        origin = (source.lower(), medium.lower())
    elif "utm_source" in asked or "utm_medium" in asked:
        origin = (asked.get("utm_source", ""), asked.get("utm_medium", ""))
    elif clicks := [click for key, click in facts()["click_ids"].items() if key in asked]:
        origin = (clicks[0]["source"], clicks[0].get("medium", ""))
    elif foreign := _foreign(_host(referrer), _host(url), own_hosts):
        origin = (foreign, "referral")
    else:
        origin = ("", "")
    return _by_rules(*origin, name, added)


def _by_rules(source: str, medium: str, name: str, added: Iterable[tuple[str, str]]) -> str:
    if not (source or medium or name):
        return "direct"
    if source in facts()["direct"]["source"] and medium in ["", *facts()["direct"]["medium"]]:
        return "direct"
    paid = _is_like(facts()["paid_medium"], medium)
    kind = _kind(source, added)
    for rule in facts()["rules"]:
        asked = {
            "kind": kind is not None and kind == rule.get("kind"),
            "source": source in rule.get("source", ()),
            "medium": medium in rule.get("medium", ()),
            "medium_like": "medium_like" in rule and _is_like(rule["medium_like"], medium),
            "campaign_like": "campaign_like" in rule and _is_like(rule["campaign_like"], name),
        }
        only_paid = not asked.keys() & rule.keys()
        if (paid or not rule.get("paid")) and (only_paid or any(asked.values())):
            return str(rule["channel"])
    return "unassigned"


def _is_like(pattern: str, text: str) -> bool:
    return bool(text) and bool(re.match(f"(?s:{pattern.strip('^$')})\\Z", text))


def _asked(url: str) -> dict[str, str]:
    """The parameters of a url that say something, as they are compared: the first of each name."""
    before_fragment = url.split("#")[0]
    pairs = before_fragment.split("?", 1)[1].split("&") if "?" in before_fragment else []
    found: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        name, value = unquote_plus(name).lower(), unquote_plus(value).strip().lower()
        if value and name not in found:
            found[name] = value
    return found


def _host(url: str) -> str:
    """The host of a url, in lower case; "" where it names none."""
    scheme, slashes, rest = url.partition("//")
    if not slashes or (scheme and not re.fullmatch("[A-Za-z][A-Za-z0-9+.-]*:", scheme)):
        return ""
    place = re.split(r"[/?#\\]", rest)[0].split("@")[-1]
    if place.startswith("["):
        return (place.split("]")[0] + "]").lower()
    return place.split(":")[0].lower().rstrip(".")


def _foreign(referrer: str, page: str, own_hosts: Iterable[str]) -> str:
    """The referrer's host; "" for "the page's own host (with or without `www`)" and for `own_hosts`: "subdomains of
    `own_hosts` are own".
    """
    plain = re.sub("^www[.]", "", referrer)
    own = [re.sub("^www[.]", "", host.lower()) for host in own_hosts]
    if plain == re.sub("^www[.]", "", page) or any(f".{plain}".endswith(f".{host}") for host in own):
        return ""
    return referrer


def _kind(source: str, added: Iterable[tuple[str, str]]) -> str | None:
    """ "A source, else the referrer's host with its parent domains, is looked up in lists": whole names, then hosts,
    the longest first. What the config adds is both, and goes first.
    """
    own = {text: kind for kind, text in added}
    for kind, members in facts()["kinds"].items():
        if source in own or source in members.get("names", ()):
            return own.get(source, str(kind))
    labels = source.split(".")
    if len(source) > LONGEST_HOST:
        return None
    for number in range(len(labels)):
        below = labels[number:]
        ways = [".".join(below)]
        ways += [f"{'.'.join(below[:kept])}.*" for kept in (1, 2) if _is_ending(below[kept:])]
        for way in ways:
            if way in own:
                return own[way]
            for kind, members in facts()["kinds"].items():
                if way in members["hosts"]:
                    return str(kind)
    return None


def _is_ending(labels: list[str]) -> bool:
    """`.*`: "the ending of a country (de, co.uk, com.br) or com"."""
    if len(labels) == 1:
        return labels == ["com"] or re.fullmatch("[a-z][a-z]", labels[0]) is not None
    country = len(labels) == 2 and re.fullmatch("[a-z][a-z]", labels[1])
    return bool(country) and labels[0] in ("co", "com", "org", "net", "ne", "or")
