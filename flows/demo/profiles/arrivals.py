"""What the context of a visit's first event says about the way that led to the product."""

from __future__ import annotations

from collections.abc import Mapping

Context = Mapping[str, object]


def link(site: str, referrer: str) -> Context:
    """A link on another site."""
    return {"page": {"url": site, "referrer": referrer}}


def campaign(site: str, source: str, medium: str, name: str = "", click: str = "") -> Context:
    """A link of a campaign; `click` is the parameter by which an ad system finds its clicks again."""
    said = {"source": source, "medium": medium} | ({"name": name} if name else {})
    query = [*([click] if click else []), *(f"utm_{'campaign' if key == 'name' else key}={said[key]}" for key in said)]
    return {"page": {"url": f"{site}?{'&'.join(query)}"}, "campaign": said}
