"""By which channel an event's user came: every rule, every order of precedence, and what urls can hold.

Each case is decided three times: by the slow reader, by the audit, and by the loop that has learnt it.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.audit import Record, channels
from flows.audit.parse import parse
from flows.audit.records import Event
from flows.config.channels import CHANNELS, LINK, facts
from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.channels import Link
from flows.decode.intake import Intake
from flows.decode.link_loop import UTM
from flows.decode.texts import SPELLINGS_KEPT
from flows.messages.raw import Raw
from tests.thorough import examples

NINE = 1_772_442_000_000  # 2026-03-02T09:00Z
PAGE = "https://shop.example/"
CONFIG = Config.model_validate(
    {
        "breakdowns": {
            "channel": {"computed": "channel", "own_hosts": ["shop.example", "Pay.Example"], "of": ["events"]},
            "all": {"computed": "traffic", "organic": "all", "of": ["events"]},
            "plan": {"field": "properties.plan", "values": ["free", "team"], "of": ["events"]},
            "traffic": {"computed": "traffic", "own_hosts": ["shop.example", "pay.example"], "of": ["events"]},
        }
    }
)
Context = dict[str, Any]


def campaign(source: Any = None, medium: Any = None, name: Any = None) -> Context:
    said = {"source": source, "medium": medium, "name": name}
    return {"campaign": {key: value for key, value in said.items() if value is not None}}


def page(url: Any = None, referrer: Any = None) -> Context:
    said = {"url": url, "referrer": referrer}
    return {"page": {key: value for key, value in said.items() if value is not None}}


def asked(query: str, referrer: Any = None) -> Context:
    return page(f"{PAGE}?{query}", referrer)


def came(referrer: Any) -> Context:
    return page(PAGE, referrer)


def record(context: Context) -> bytes:
    event = {"type": "page", "userId": "ana", "timestamp": NINE, "context": context, "properties": {"plan": "team"}}
    return json.dumps(event, ensure_ascii=False).encode()


def raw(values: list[bytes]) -> Raw:
    count = len(values)
    return Raw.of("events", 0, 1, list(values), list(range(count)), [NINE] * count, True, None)


def intake(config: Config = CONFIG) -> Intake:
    return Intake(config, Limits(), clock_ms=lambda: NINE)


def labels(dims: int, config: Config = CONFIG) -> dict[str, str]:
    """The values in a word of `dims`."""
    places = enumerate(config.breakdowns.items())
    return {name: one.labels()[dims >> 8 * place & 255] for place, (name, one) in places}


def decided(value: bytes, config: Config = CONFIG) -> dict[str, str]:
    """What every way says of a record, which must be one."""
    reader, poll = intake(config), raw([value])
    slow = reader._one(poll, 0, NINE)
    assert isinstance(slow, tuple), slow
    told = labels(slow[5], config)
    event = parse(Record(value, 0, 0, NINE), config, machine_ms=NINE)
    assert isinstance(event, Event)
    assert told == dict(event.values), "the audit"
    for _ in range(2):
        rows = reader.read(poll)[0].rows
        assert told == labels(int(rows["dims"][0]), config), "the loop, as soon as it has learnt"
    return told


def channel(context: Context) -> str:
    return decided(record(context))["channel"]


RULES: list[tuple[Context, str]] = [
    # what GA4's table says, row by row
    (campaign("amazon", "cpc"), "paid_shopping"),
    (campaign("partner", "cpc", "Spring Shopping"), "paid_shopping"),
    (campaign("partner", "cpc", "e-shop sale"), "paid_shopping"),
    (campaign("partner", "cpc", "eshop"), "paid_shopping"),
    (campaign("partner", "cpc", "workshop"), "paid_other"),
    (campaign("partner", "cpc", "bishop"), "paid_other"),
    (campaign("google", "cpc"), "paid_search"),
    (campaign("bing", "ppc"), "paid_search"),
    (campaign("duckduckgo", "retargeting"), "paid_search"),
    (campaign("facebook", "paid"), "paid_social"),
    (campaign("instagram", "paid_social"), "paid_social"),
    (campaign("tiktok", "cpm"), "paid_social"),
    (campaign("youtube", "cpv"), "paid_video"),
    (campaign("youtube", "cpc"), "paid_video"),
    (campaign("vimeo.com", "paidvideo"), "paid_video"),
    (campaign("adnetwork", "display"), "display"),
    (campaign("adnetwork", "banner"), "display"),
    (campaign("adnetwork", "expandable"), "display"),
    (campaign("adnetwork", "interstitial"), "display"),
    (campaign("adnetwork", "cpm"), "display"),
    (campaign("adnetwork", "cpc"), "paid_other"),
    (campaign("partner", "paid-partnership"), "paid_other"),
    (campaign("etsy", "partner"), "organic_shopping"),
    (campaign("partner", "partner", "shopping"), "organic_shopping"),
    (campaign("reddit", "post"), "organic_social"),
    (campaign("partner", "social"), "organic_social"),
    (campaign("partner", "social-network"), "organic_social"),
    (campaign("partner", "social-media"), "organic_social"),
    (campaign("partner", "sm"), "organic_social"),
    (campaign("partner", "social network"), "organic_social"),
    (campaign("partner", "Social Media"), "organic_social"),
    (campaign("twitch", "stream"), "organic_video"),
    (campaign("partner", "invideo-link"), "organic_video"),
    (campaign("ecosia", "any"), "organic_search"),
    (campaign("partner", "organic"), "organic_search"),
    (campaign("chatgpt.com"), "ai_assistant"),
    (campaign("perplexity", "answer"), "ai_assistant"),
    (campaign("email", "spring"), "email"),
    (campaign("list", "email"), "email"),
    (campaign("list", "e-mail"), "email"),
    (campaign("list", "e_mail"), "email"),
    (campaign("list", "E Mail"), "email"),
    (campaign("blog", "affiliate"), "affiliates"),
    (campaign("blog", "referral"), "referral"),
    (campaign("blog", "app"), "referral"),
    (campaign("blog", "link"), "referral"),
    (campaign("radio", "audio"), "audio"),
    (campaign("sms", "spring"), "sms"),
    (campaign("list", "sms"), "sms"),
    (campaign("firebase", "spring"), "push"),
    (campaign("list", "webpush"), "push"),
    (campaign("list", "mobile-app"), "push"),
    (campaign("list", "notification bar"), "push"),
    (campaign("(direct)", "(none)"), "direct"),
    (campaign("(direct)", "(not set)"), "direct"),
    (campaign("(direct)"), "direct"),
    ({}, "direct"),
    (campaign("partner", "newsletter"), "unassigned"),
    (campaign(None, "(none)"), "unassigned"),
    (campaign(None, None, "spring"), "unassigned"),
]
PRECEDENCE: list[tuple[Context, str]] = [
    # paid: of the medium alone
    (campaign("acast", "podcast"), "unassigned"),  # p-o-d-c-a-s-t has no `cp`
    (campaign("acast", "cpc-podcast"), "paid_other"),
    (campaign("google", "repaid"), "organic_search"),  # it must begin with `paid`
    # the campaign, then the url, then a click id, then the referrer
    (campaign("google", "cpc") | came("https://www.facebook.com/"), "paid_search"),
    (asked("utm_source=google&utm_medium=cpc", "https://www.facebook.com/"), "paid_search"),
    (campaign("list", "email") | asked("utm_source=google&utm_medium=cpc"), "email"),
    (campaign(None, "email") | asked("utm_source=google"), "email"),  # either is enough: no mixture
    (campaign("google") | asked("utm_medium=cpc"), "organic_search"),
    (campaign("google") | asked("gclid=1"), "organic_search"),
    (campaign("", " ") | asked("utm_medium=email"), "email"),
    (asked("utm_medium=email&gclid=1"), "email"),
    (asked("gclid=1", "https://www.facebook.com/"), "paid_search"),
    (came("https://www.facebook.com/"), "organic_social"),
    (asked("utm_source=&utm_medium=", "https://www.facebook.com/"), "organic_social"),
    (asked("utm_source=%20", "https://www.facebook.com/"), "organic_social"),
    (asked("gclid=", "https://www.facebook.com/"), "organic_social"),
    (asked("gclid=%20", "https://www.facebook.com/"), "organic_social"),
    (campaign("(direct)", "(none)") | came("https://www.facebook.com/"), "direct"),
    # the name of a campaign counts wherever source and medium come from
    (campaign(None, None, "shopping") | asked("gclid=1"), "paid_shopping"),
    (asked("gclid=1&utm_campaign=shopping"), "paid_shopping"),
    (campaign(None, None, "spring") | asked("gclid=1&utm_campaign=shopping"), "paid_search"),
    (campaign(None, None, "shopping") | came("https://blog.example/"), "organic_shopping"),
    (campaign(None, None, "shopping"), "organic_shopping"),
    (asked("utm_campaign=spring"), "unassigned"),
    # click ids
    *((asked(f"{name}=x"), "paid_search") for name in ("gclid", "gbraid", "wbraid", "msclkid")),
    *((asked(f"{name}=x"), "paid_social") for name in ("ttclid", "twclid", "li_fat_id")),
    (asked("dclid=x"), "display"),
    (asked("fbclid=x"), "organic_social"),
    (asked("fbclid=x&utm_medium=paid"), "paid_other"),
    (asked("fbclid=x&utm_source=facebook&utm_medium=paid"), "paid_social"),
    (asked("dclid=x&gclid=x"), "paid_search"),
    (asked("fbclid=x&ttclid=x&dclid=x"), "paid_social"),
    (asked("fbclid=x", "https://blog.example/"), "organic_social"),
    (asked("other=gclid"), "direct"),
    # the longest host that is listed decides
    (came("https://www.google.com/"), "organic_search"),
    (came("https://google.co.uk/search?q=1"), "organic_search"),
    (came("https://images.google.com.br/"), "organic_search"),
    (came("https://gemini.google.com/app"), "ai_assistant"),
    (came("https://mail.google.com/mail/u/0/"), "referral"),
    (came("https://shopping.google.de/"), "organic_shopping"),
    (came("https://l.instagram.com/?u=x"), "organic_social"),
    (came("https://m.youtube.com/watch"), "organic_video"),
    (came("https://www.amazon.co.jp/"), "organic_shopping"),
    (came("https://aws.amazon.com/"), "referral"),
    (came("https://notgoogle.com/"), "referral"),
    (came("https://google.evil.example/"), "referral"),
    (came("https://google.com.evil.example/"), "referral"),
    (came("https://blog.example/"), "referral"),
    (came("https://about.google/"), "referral"),  # a name is no host
    (campaign("Google"), "organic_search"),
    (campaign("www.google.com", "cpc"), "paid_search"),
]
URLS: list[tuple[Context, str]] = [
    # the page's own host, and those of the product
    (page("https://shop.example/a", "https://shop.example/b"), "direct"),
    (page("https://www.shop.example/a", "https://shop.example/b"), "direct"),
    (page("https://shop.example/a", "https://WWW.Shop.Example/b"), "direct"),
    (page("https://shop.example:8443/a", "http://shop.example/b"), "direct"),
    (page("https://other.example/", "https://shop.example/"), "direct"),
    (page("https://other.example/", "https://checkout.shop.example/"), "direct"),
    (page("https://other.example/", "https://www.pay.example/"), "direct"),
    (page("https://other.example/", "https://notshop.example/"), "referral"),
    (page("https://other.example/", "https://sub.other.example/"), "referral"),
    (page(None, "https://www.google.com/"), "organic_search"),
    # apps
    (page(None, "android-app://com.google.android.googlequicksearchbox/https/www.google.com"), "organic_search"),
    (page(None, "android-app://com.google.android.gm/"), "referral"),
    (page(None, "android-app://org.telegram.messenger/"), "organic_social"),
    (page("shop://product/1?utm_source=list&utm_medium=push"), "push"),
    (page("shop://product/1", "shop://product/2"), "direct"),
    # written otherwise
    (asked("UTM_SOURCE=Google&Utm_Medium=CPC"), "paid_search"),
    (asked("utm%5Fsource=google&utm_medium=%63pc"), "paid_search"),
    (asked("%75TM_source=google&utm_medium=c%70c"), "paid_search"),
    (asked("utm_medium=social+network"), "organic_social"),
    (asked("utm_medium=social%20media"), "organic_social"),
    (asked("a=1&&=&b&utm_medium=email"), "email"),
    (asked("utm_medium=email&utm_medium=cpc"), "email"),
    (asked("utm_medium=&utm_medium=email"), "email"),
    (asked("utm_medium=%20&utm_medium=email"), "email"),
    (asked("utm_medium=email?x"), "unassigned"),
    (asked("gclid=+&gclid=1"), "paid_search"),
    (page(f"{PAGE}#utm_medium=email"), "direct"),
    (page(f"{PAGE}#/a?utm_medium=email"), "direct"),
    (page(f"{PAGE}?utm_medium=email#utm_medium=cpc"), "email"),
    (page(f"  {PAGE}?utm_medium=email \n"), "email"),
    (page(f"{PAGE}?gclid%00=1"), "direct"),
    (page(f"{PAGE}?xgclid=1&gclidx=1"), "direct"),
    (page(f"{PAGE}?ms\u212alkid=1"), "direct"),
    (page(f"{PAGE}?utm_source=VK%4Fntakte"), "organic_social"),
    (page(f"{PAGE}?q=\u0141\u00f3d\u017a&utm_medium=email"), "email"),
    (campaign("  GOOGLE  ", "\tCpC "), "paid_search"),
    (came("HTTPS://WWW.GOOGLE.COM"), "organic_search"),
    (came("https://www.google.com:443/"), "organic_search"),
    (came("https://www.google.com./"), "organic_search"),
    (came("//www.google.com/"), "organic_search"),
    # hostile, or no urls at all
    (came("https://www.google.com@evil.example/"), "referral"),
    (came("https://evil.example\\@www.google.com/"), "referral"),
    (came("https://evil.example/https://www.google.com/"), "referral"),
    (came("https://evil.example?www.google.com"), "referral"),
    (came("https://evil.example#www.google.com"), "referral"),
    (came("https://[::1]:80/"), "referral"),
    (came("https://xn--gogle-0nd.com/"), "referral"),
    (came("$direct"), "direct"),
    (came("about:blank"), "direct"),
    (came("www.google.com"), "direct"),
    (came("https://"), "direct"),
    (came("https:///path"), "direct"),
    (came("https://:80/"), "direct"),
    (came("://x"), "direct"),
    (came(""), "direct"),
    (came(7), "direct"),
    (came(True), "direct"),
    (came(["https://www.google.com/"]), "direct"),
    (came({"host": "www.google.com"}), "direct"),
    (page({"href": PAGE}, "https://blog.example/"), "referral"),
    (page(7, "https://blog.example/"), "referral"),
    (campaign(7, "cpc"), "paid_other"),
    (campaign(["google"], "cpc"), "paid_other"),
    (campaign({}, {}, {}), "direct"),
    ({"campaign": "google", "page": "https://www.google.com/"}, "direct"),
    (came("https://" + "a." * 8000 + "com/"), "referral"),
    (came("https://" + "\u00e9" * 4000), "referral"),
    (asked("&".join(["utm_source"] * 2000)), "direct"),
    (asked("%" * 5000 + "=1&utm_medium=email"), "email"),
    (page("?" * 5000 + "&utm_medium=email"), "email"),
]


@pytest.mark.parametrize(("context", "expected"), [*RULES, *PRECEDENCE, *URLS], ids=lambda value: str(value)[:60])
def test_every_rule_and_every_order_of_precedence(context: Context, expected: str) -> None:
    assert channel(context) == expected


def test_every_rule_of_the_file_decides_some_case() -> None:
    assert [rule.channel for rule in facts().rules] == list(CHANNELS[:-2])
    assert {expected for _, expected in RULES} == set(CHANNELS)


@pytest.mark.parametrize(
    ("context", "traffic", "all_organic"),
    [
        (campaign("amazon", "cpc"), "paid", "paid"),
        (campaign("x", "banner"), "paid", "paid"),
        (came("https://www.google.com/"), "organic", "organic"),
        (came("https://www.youtube.com/"), "other", "organic"),
        (came("https://chatgpt.com/"), "other", "other"),
        (came("https://blog.example/"), "referral", "referral"),
        (campaign("list", "email"), "other", "other"),
        (campaign("list", "what"), "other", "other"),
        ({}, "direct", "direct"),
    ],
)
def test_traffic_is_channels_in_a_few_groups(context: Context, traffic: str, all_organic: str) -> None:
    told = decided(record(context))
    assert (told["traffic"], told["all"]) == (traffic, all_organic)
    assert told["plan"] == "team"  # what has a field stays at its place


def test_the_config_adds_sources_and_they_go_first() -> None:
    added = {"search": ["suche.example", "Finder"], "social": ["corp-chat"], "shopping": ["mail.google.com"]}
    config = Config.model_validate({"breakdowns": {"c": {"computed": "channel", "sources": added}}})

    def told(context: Context) -> str:
        return decided(record(context), config)["c"]

    assert told(came("https://www.suche.example/")) == "organic_search"
    assert told(campaign("finder", "cpc")) == "paid_search"
    assert told(campaign("Corp-Chat")) == "organic_social"
    assert told(came("https://mail.google.com/")) == "organic_shopping"
    assert told(came("https://drive.google.com/")) == "referral"


def test_the_facts_name_their_sources_and_nothing_twice() -> None:
    told = facts()
    assert all(source.url.startswith("https://") and source.read for source in told.sources.values())
    for listed in ("names", "hosts"):
        texts = [text for members in told.kinds.values() for text in getattr(members, listed)]
        assert len(texts) == len(set(texts))
        assert [text for text in texts if text != text.lower().strip()] == []
    assert sum(len(members.hosts) for members in told.kinds.values()) < 500
    longest = max(map(len, (*UTM, *told.click_ids)))
    assert longest <= 16  # as much of a parameter's name as the loop compares
    assert {rule.kind for rule in told.rules if rule.kind} == told.kinds.keys() - {"neither"}
    assert set(channels.FIELDS.values()) == {".".join(keys) for keys in LINK}


PIECES = st.sampled_from(
    [
        *(
            "https://",
            "http://",
            "//",
            "/",
            ":",
            "?",
            "#",
            "&",
            "=",
            "%",
            "%20",
            "+",
            " ",
            ".",
            "www.",
            "@",
            "\\",
            "[",
            "80",
        ),
        *(
            "utm_source",
            "UTM_medium",
            "utm_campaign",
            "utm%5Fsource",
            "gclid",
            "fbclid",
            "li_fat_id",
            "dclid",
            "%67clid",
        ),
        *("google", "cpc", "email", "shop.example", "SHOP.example", "google.com", "facebook.com", "chatgpt.com", "de"),
        *("\u212a", "\u00e9", "\u3000", '"', "\t", "%00", "%C2%A0", "%ff"),
    ]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join) | st.none() | st.sampled_from([7, [], {}, "(direct)", "(none)"])
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["utm_source", "utm_medium", "Utm_Campaign", "gclid", "fbclid", "dclid", "x", "%67braid", ""]),
        st.sampled_from(["", "1", "google", "cpc", "%20", "+", "email", "facebook", "a%26b", "\u00e9"]),
    ),
    max_size=5,
).map(lambda pairs: PAGE + "?" + "&".join(f"{name}={value}" for name, value in pairs))


@examples(150)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "campaign": st.fixed_dictionaries({}, optional={"source": TEXTS, "medium": TEXTS, "name": TEXTS}),
                "page": st.fixed_dictionaries({}, optional={"url": QUERIES | TEXTS, "referrer": TEXTS}),
            }
        ),
        max_size=12,
    ),
    st.booleans(),
)
def test_the_loop_the_slow_reader_and_the_audit_agree_on_any_texts(contexts: list[Context], escaped: bool) -> None:
    values = [record(context) for context in contexts]
    if escaped:
        values = [value.replace(b"/", b"\\/").replace(b"&", b"\\u0026") for value in values]
    reader, poll = intake(), raw(values)
    first, again = reader.read(poll)[0].rows["dims"], reader.read(poll)[0].rows["dims"]
    for place, value in enumerate(values):
        slow = reader._one(poll, place, NINE)
        event = parse(Record(value, 0, place, NINE), CONFIG, machine_ms=NINE)
        assert isinstance(slow, tuple)
        assert isinstance(event, Event)
        told = [labels(word) for word in (slow[5], int(first[place]), int(again[place]))]
        assert told == [dict(event.values)] * 3


def test_what_a_link_comes_to_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = intake()
    worked_out: list[Link] = []
    word = reader._links.word

    def counted(link: Link) -> int:
        worked_out.append(link)
        return word(link)

    monkeypatch.setattr(reader._links, "word", counted)
    visits = [asked(f"gclid={n}&page={n}", f"https://www.google.com/search?q={n}") for n in range(500)]
    visits += [page(f"{PAGE}p/{n}?color={n}", f"{PAGE}p/{n + 1}") for n in range(500)]
    visits += [page(f"{PAGE}p/{n}") for n in range(500)]
    rows = reader.read(raw([record(one) for one in visits]))[0].rows
    assert len(worked_out) == 1  # all clicks are one; what comes from the site itself is direct, and looked up nowhere
    assert Counter(labels(int(dims))["channel"] for dims in rows["dims"]) == {"direct": 1000, "paid_search": 500}


def test_any_number_of_links_takes_bounded_memory() -> None:
    reader = intake()
    for batch in range(6):
        values = [record(came(f"https://h{batch}-{number}.example/")) for number in range(2000)]
        rows = reader.read(raw(values))[0].rows
        assert {labels(int(dims))["channel"] for dims in np.unique(rows["dims"])} == {"referral"}
    assert np.count_nonzero(reader._links._learnt.keys) <= SPELLINGS_KEPT + 2048


def test_half_a_surrogate_pair_in_a_link_is_refused_where_links_are_read() -> None:
    value = record({}).replace(b'"context": {}', b'"context": {"page": {"referrer": "\\ud800"}}')
    plain = Config()
    assert [one.reason for one in intake().read(raw([value]))[1]] == ["not_json"]
    assert intake(plain).read(raw([value]))[1] == []
    event = parse(Record(value, 0, 0, NINE), CONFIG, machine_ms=NINE)
    assert getattr(event, "reason", "") == "not_json"
