from __future__ import annotations

from flows.config.event_codes import Codes, Condition

WEEKLY = Condition("properties.kind", frozenset({"weekly"}))
DAILY = Condition("properties.kind", frozenset({"daily"}))
SERVER = Condition("channel", frozenset({"server"}))


def test_codes_are_translated_by_name_and_by_the_conditions_met() -> None:
    old = Codes({"other": {SERVER}, "gone": {SERVER}, "report": {WEEKLY, SERVER}})
    new = Codes({"other": {SERVER}, "a_new_one": set(), "report": {DAILY, SERVER}})

    def met(codes: Codes, code: int) -> tuple[str, set[Condition]]:
        return codes.names[codes.name_of[code]], set(codes._among(int(codes.meets[code])))

    for code, now in enumerate(new.translated(old.legend()).tolist()):
        name, conditions = met(old, code)
        assert met(new, now) == ("other" if name == "gone" else name, conditions - {WEEKLY})


def test_the_same_codes_stay_what_they_are() -> None:
    codes = Codes({"other": {SERVER}, "report": {WEEKLY, DAILY, SERVER}})
    assert codes.translated(codes.legend()).tolist() == list(range(len(codes)))
