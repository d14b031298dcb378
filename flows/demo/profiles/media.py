"""A magazine: articles are read and videos watched, in the evening and at weekends, and most visits are short."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from flows.demo.profile import BOUNCES, END, Expense, Facts, Later, Persona, Profile, Rhythm, Scene, Subscribers, Way
from flows.demo.profiles.arrivals import campaign, link
from flows.demo.profiles.support import SUPPORT, one_of

PERSONAS: Final = (
    Persona("passer-by", share=0.58, returns=0.18, chances={
        BOUNCES: 0.80, "reads": 0.45, "watches": 0.05, "goes on": 0.15, "subscribes": 0.002,
    }),
    Persona("reader", share=0.30, returns=0.68, chances={
        BOUNCES: 0.50, "reads": 0.65, "watches": 0.08, "goes on": 0.50, "subscribes": 0.02,
    }),
    Persona("fan", share=0.12, returns=0.94, chances={
        BOUNCES: 0.40, "reads": 0.75, "watches": 0.15, "goes on": 0.60, "subscribes": 0.05,
    }),
)  # fmt: skip

SITE: Final = "https://magazine.example/"
WAYS: Final = (
    Way(0.26),
    Way(0.26, link(SITE, "https://www.google.com/")),
    Way(0.14, link(SITE, "https://news.google.com/")),
    Way(0.16, link(SITE, "https://www.facebook.com/")),
    Way(0.10, campaign(SITE, "newsletter", "email", "morning"), "email", cost=0.01),
    Way(0.08, campaign(SITE, "instagram", "paid_social", "weekend"), "paid_social", cost=0.06),
)

SECTIONS: Final = ("politics", "economy", "science", "sports", "culture", "travel")


def _article(facts: Facts, rng: Random) -> Mapping[str, object]:
    facts["article"] = {"article_id": f"a-{int(rng.paretovariate(1.1)):d}", "section": rng.choice(SECTIONS)}
    return _same_article(facts, rng)


def _same_article(facts: Facts, rng: Random) -> Mapping[str, object]:
    article: Mapping[str, object] = facts["article"]
    return article


def _video(facts: Facts, rng: Random) -> Mapping[str, object]:
    facts["video"] = {"content_asset_id": f"v-{rng.randrange(1, 80)}", "total_length": rng.choice((60, 90, 180, 600))}
    return _same_video(facts, rng)


def _same_video(facts: Facts, rng: Random) -> Mapping[str, object]:
    video: Mapping[str, object] = facts["video"]
    return video


SCENES: Final[Mapping[str, Scene]] = {
    # Most come from a link, to an article, and some to the front page.
    "front page": Scene(
        "view", "Front Page", {END: BOUNCES, "article": 0.8, "video": "watches"}, path="/", arrives=True
    ),
    "landing": Scene("view", "Article", {END: BOUNCES, "read": "reads", "more": 1}, path="/article", arrives=True),
    "article": Scene("view", "Article", {"read": "reads", "more": 1}, path="/article"),
    "read": Scene(
        "track",
        "Article Read",
        {"share": 0.03, "newsletter": "subscribes", "feedback": 0.003, "wish": 0.001, "more": 1},
        _article,
        pause_s=75.0,
        later=(Later("recommendation", 0.003, mean_days=2.0), Later("ticket", 0.0008, mean_days=0.2)),
        subscribes=0.0006,
    ),
    "share": Scene("track", "Article Shared", {"more": 1}, _same_article),
    "newsletter": Scene(
        "track",
        "Newsletter Subscribed",
        {"signing up": 0.5, "more": 1},
        later=(Later("effort", 0.08, mean_days=0.1),),
        sells=True,
    ),
    "signing up": Scene(
        "track", "Signed Up", {"identify": 1}, one_of(method=("newsletter",)), only="stranger", signs_up=True
    ),
    "identify": Scene("identify", then={"more": 1}),
    "video": Scene("track", "Video Playback Started", {"watched": 0.45, "more": 1}, _video),
    "watched": Scene("track", "Video Playback Completed", {"more": 1}, _same_video, pause_s=90.0, sells=True),
    "more": Scene("", then={"again": "goes on"}),
    "again": Scene("", then={"video": "watches", "section": 0.3, "article": 1}),
    "section": Scene("view", "Section", {"article": 0.8}, path="/section"),
    **SUPPORT,
}

RHYTHM: Final = Rhythm(
    hours=(
        0.70, 0.48, 0.38, 0.35, 0.38, 0.55, 0.95, 1.20, 1.10, 0.95, 0.90, 0.95,
        1.15, 1.05, 0.92, 0.92, 1.00, 1.15, 1.35, 1.60, 1.85, 1.90, 1.60, 1.10,
    ),
    weekdays=(0.90, 0.90, 0.92, 0.92, 0.96, 1.18, 1.22),
)  # fmt: skip
"""On the way to work, in the evening, and at weekends."""

LIFE: Final = {
    "trialing": {"converts": 1.1, "lapses": 1.0},
    "active": {
        "upgrades": 0.01, "downgrades": 0.008, "switches to yearly": 0.02, "payment fails": 0.04,
        "wants to leave": 0.022, "leaves": 0.016, "pauses": 0.006,
    },
    "past_due": {"pays after all": 5.0, "is cut off": 0.8},
    "paused": {"goes on": 1.0, "leaves": 0.4},
    "cancelled": {"comes back": 0.03},
    "expired": {"comes back": 0.01},
}  # fmt: skip

MEDIA: Final = Profile(
    "media",
    "an online magazine",
    personas=PERSONAS,
    platforms={"web": 0.46, "ios": 0.26, "android": 0.26, "tv": 0.015, None: 0.005},
    ways=WAYS,
    begins={"landing": 0.65, "front page": 1},
    scenes=SCENES,
    rhythm=RHYTHM,
    events_per_visit=2.3,
    subscribers=Subscribers(
        there=2_000,
        prices=("4.90", "9.90", "14.90"),
        trials=0.6,
        life=LIFE,
    ),
    expenses=(Expense("marketing", 40.0, "email"), Expense("other", 80.0)),
)
