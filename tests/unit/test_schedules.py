"""When a followed profile is looked at again."""

import doctest
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import schedules
from ingest.schedules import (
    SHORTEST_EVERY,
    Jitter,
    Quiet,
    Schedule,
    after_run,
    following,
    next_run,
    out_of_quiet,
    parse_jitter,
    parse_quiet,
    parse_schedule,
    say,
    spread,
)

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
BERLIN, NEW_YORK, LORD_HOWE, CAIRO = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"


def at(text: str) -> int:
    """``2026-03-29 01:00`` is UTC; with an offset, as it says."""
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def shown(ms: int, zone: str) -> str:
    """What a clock on the wall shows, and how far it is from UTC."""
    return datetime.fromtimestamp(ms / 1000, ZoneInfo(zone)).strftime("%m-%d %H:%M %z")


def runs(schedule: Schedule, after: str, n: int) -> list[str]:
    return [shown(ms, schedule.zone) for ms in following(schedule, at(after), 0, n)]


# What people write ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "sentence"),
    [
        ({}, "a schedule is either every"),
        ({"every": "6h", "cron": "0 0 * * *"}, "a schedule is either every"),
        ({"every": "", "cron": ""}, "a schedule is either every"),
        ({"every": "often"}, "'often' is not a duration"),
        ({"every": "9s"}, "every 9 s is too often; 10 s is the shortest"),
        ({"every": "0"}, "is too often"),
        ({"every": "90.5s"}, "every 90.5s is no whole number of seconds"),
        ({"every": "367d"}, "every 367d is longer than a year"),
        ({"every": "9" * 400}, "is longer than a year"),
        ({"cron": "@daily"}, "'@daily' is no cron of five fields; write for example 0 \\*/6 \\* \\* \\*"),
        ({"cron": "30 0 0 * * *"}, "is no cron of five fields"),
        ({"cron": "60 * * * *"}, "'60 \\* \\* \\* \\*' is no cron: bad minute"),
        ({"cron": "0 24 * * *"}, "is no cron: bad hour"),
        ({"cron": "0 0 32 * *"}, "is no cron: bad day-of-month"),
        ({"cron": "0 0 1 13 *"}, "is no cron: bad month"),
        ({"cron": "0 0 * * 8"}, "is no cron: bad day-of-week"),
        ({"cron": "0 0 * * FRI-SUN"}, "is no cron: bad day-of-week"),
        ({"cron": "0 0 30 2 *"}, "'0 0 30 2 \\*' never runs: no such day exists"),
        ({"cron": "0 0 31 4,6,9,11 *"}, "never runs"),
        ({"cron": "0 0 */5 2 1#5"}, "never runs"),
        ({"cron": "0 0 * * *", "zone": "Berlin"}, "'Berlin' is no time zone; write for example Europe/Berlin"),
        ({"cron": "0 0 * * *", "zone": "Europe"}, "'Europe' is no time zone"),
        ({"cron": "0 0 * * *", "zone": ""}, "'' is no time zone"),
        ({"cron": "0 0 * * *", "zone": "../../etc/passwd"}, "is no time zone"),
        ({"cron": "0 0 * * *", "zone": "localtime"}, "is no time zone"),
        ({"every": "6h", "quiet": "22-6"}, "'22-6' are no quiet hours; write for example 22:00-06:00"),
        ({"every": "6h", "quiet": "22:00-25:00"}, "are no quiet hours"),
        ({"every": "6h", "quiet": "22:60-06:00"}, "are no quiet hours"),
        ({"every": "6h", "quiet": "24:01-06:00"}, "are no quiet hours"),
        ({"every": "6h", "quiet": "22:00-22:00"}, "quiet hours 22:00-22:00 cover the whole day"),
        ({"every": "6h", "quiet": "00:00-24:00"}, "cover the whole day"),
        ({"every": "6h", "quiet": "06:00-05:00"}, "quiet hours 06:00-05:00 leave less than 2 hours"),
        ({"every": "6h", "jitter": "60%"}, "a jitter of 60% is too much; 50% is the most"),
        ({"every": "6h", "jitter": "4h"}, "a jitter of 4 h is too much for every 6 h; 3 h is the most"),
        ({"every": "6h", "jitter": "-5%"}, "is not a duration"),
        ({"every": "6h", "jitter": "9" * 400}, "is longer than a year"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_one_sentence(given_, sentence):
    with pytest.raises(ValueError, match=sentence) as refusal:
        parse_schedule(**given_)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Schedule(every=SHORTEST_EVERY - 1),
        lambda: Schedule(every=10**12),
        lambda: Jitter(ms=-1),
        lambda: Jitter(percent=-1),
        lambda: Jitter(ms=1, percent=1),
        lambda: Quiet(0, 1440),
        lambda: Quiet(-1, 300),
    ],
)
def test_no_door_lets_a_schedule_in_that_cannot_be_run(wrong):
    with pytest.raises(ValueError):
        wrong()


@settings(deadline=None)
@given(st.text(alphabet="0123456789*/,-#LW MONJAN", max_size=20), st.text(max_size=8))
def test_any_text_is_a_schedule_or_a_sentence(cron, other):
    for words in (
        {"cron": cron},
        {"cron": "0 0 * * *", "zone": other},
        {"every": other},
        {"every": "6h", "quiet": other},
    ):
        try:
            schedule = parse_schedule(**words)
        except ValueError:
            continue
        assert next_run(schedule, at("2026-01-01"), 0) > at("2026-01-01")


def test_a_cron_may_name_days_that_are_rare():
    assert next_run(Schedule(cron="0 0 * 2 MON#5"), at("2026-01-01"), 0) == at("2044-02-29")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"every": "6h"}, "every 6 h"),
        ({"every": "90m"}, "every 1 h 30 min"),
        ({"every": "6h", "zone": BERLIN}, "every 6 h"),
        ({"every": "6h", "zone": BERLIN, "quiet": "22:00-6:00"}, "every 6 h, not 22:00-06:00 in Europe/Berlin"),
        ({"cron": "0 */6 * * *"}, "at 0 */6 * * * in UTC"),
        (
            {"cron": "0  */6 * *  *", "zone": BERLIN, "quiet": "22:00-06:00"},
            "at 0 */6 * * * in Europe/Berlin, not 22:00-06:00",
        ),
        ({"every": "6h", "jitter": "10%"}, "every 6 h, up to 10% later"),
        (
            {"cron": "0 7 * * *", "jitter": "5m", "quiet": "20:00-24:00"},
            "at 0 7 * * * in UTC, not 20:00-00:00, up to 5 min later",
        ),
    ],
)
def test_a_schedule_is_said_in_words(words, said):
    assert say(parse_schedule(**words)) == said


@pytest.mark.parametrize("text", ["22:00-06:00", "00:00-06:30", "08:15-12:45"])
def test_quiet_hours_are_written_as_they_are_read(text):
    assert str(parse_quiet(text)) == text


@settings(deadline=None)
@given(st.one_of(st.builds(Jitter, ms=st.integers(0, 10**10)), st.builds(Jitter, percent=st.integers(1, 50))))
def test_a_jitter_is_written_as_it_is_read(jitter):
    assert parse_jitter(str(jitter)) == jitter


def test_the_examples_of_the_module_hold():
    assert doctest.testmod(schedules).failed == 0


# Every so often -------------------------------------------------------------------------------------------------------


def test_every_counts_from_its_anchor_and_does_not_drift():
    schedule = Schedule(every=6 * 3600)
    anchor = at("2026-01-01 00:07")
    late = at("2026-01-05 06:11:13")
    assert next_run(schedule, late, anchor) == at("2026-01-05 12:07")
    assert next_run(schedule, at("2026-01-05 12:07"), anchor) == at("2026-01-05 18:07")
    assert next_run(schedule, anchor - 1, anchor) == anchor


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_every_is_elapsed_time_when_the_clock_is_changed(day):
    found = following(Schedule(every=3600, zone=BERLIN), at(day), at(day), 6)
    assert [later - earlier for earlier, later in pairwise(found)] == [HOUR] * 5


# By a cron: where the clock is changed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "after", "cron", "expected"),
    [
        # Berlin, 29 March 2026: 02:00 is 03:00.
        (BERLIN, "2026-03-28 12:00", "30 2 * * *", ["03-29 03:00 +0200", "03-30 02:30 +0200"]),
        (BERLIN, "2026-03-28 12:00", "0,30 2 * * *", ["03-29 03:00 +0200", "03-30 02:00 +0200"]),
        (BERLIN, "2026-03-28 12:00", "*/15 2 * * *", ["03-29 03:00 +0200", "03-30 02:00 +0200"]),
        (BERLIN, "2026-03-28 12:00", "0 2,3 * * *", ["03-29 03:00 +0200", "03-30 02:00 +0200"]),
        (BERLIN, "2026-03-29 00:59:59.999", "15,45 2 * * *", ["03-29 03:00 +0200", "03-30 02:15 +0200"]),
        (BERLIN, "2026-03-28 22:30", "0 */2 * * *", ["03-29 00:00 +0100", "03-29 03:00 +0200", "03-29 04:00 +0200"]),
        (BERLIN, "2026-03-29 00:45", "*/10 * * * *", ["03-29 01:50 +0100", "03-29 03:00 +0200", "03-29 03:10 +0200"]),
        (BERLIN, "2026-03-29 00:20", "30 * * * *", ["03-29 01:30 +0100", "03-29 03:30 +0200", "03-29 04:30 +0200"]),
        # Berlin, 25 October 2026: 03:00 is 02:00.
        (BERLIN, "2026-10-24 12:00", "30 2 * * *", ["10-25 02:30 +0200", "10-26 02:30 +0100"]),
        (BERLIN, "2026-10-25 01:15", "30 2 * * *", ["10-26 02:30 +0100"]),  # asked at 02:15, the second time
        (BERLIN, "2026-10-24 23:00", "0 */2 * * *", ["10-25 02:00 +0200", "10-25 04:00 +0100"]),
        (BERLIN, "2026-10-25 00:45", "*/10 * * * *", ["10-25 02:50 +0200", "10-25 02:00 +0100", "10-25 02:10 +0100"]),
        (BERLIN, "2026-10-25 00:00", "30 * * * *", ["10-25 02:30 +0200", "10-25 02:30 +0100", "10-25 03:30 +0100"]),
        # New York, 8 March 2026: 02:00 is 03:00; 1 November: 02:00 is 01:00.
        (NEW_YORK, "2026-03-07 12:00", "15 2 * * *", ["03-08 03:00 -0400", "03-09 02:15 -0400"]),
        (NEW_YORK, "2026-03-08 06:30", "*/20 * * * *", ["03-08 01:40 -0500", "03-08 03:00 -0400", "03-08 03:20 -0400"]),
        (NEW_YORK, "2026-10-31 12:00", "15 1 * * *", ["11-01 01:15 -0400", "11-02 01:15 -0500"]),
        (NEW_YORK, "2026-11-01 05:30", "*/20 * * * *", ["11-01 01:40 -0400", "11-01 01:00 -0500", "11-01 01:20 -0500"]),
        # Lord Howe, 4 October 2026: 02:00 is 02:30; 5 April: 02:00 is 01:30.
        (LORD_HOWE, "2026-10-03 12:00", "15 2 * * *", ["10-04 02:30 +1100", "10-05 02:15 +1100"]),
        (LORD_HOWE, "2026-10-03 12:00", "0 */6 * * *", ["10-04 00:00 +1030", "10-04 06:00 +1100", "10-04 12:00 +1100"]),
        (
            LORD_HOWE,
            "2026-10-03 15:15",
            "*/20 * * * *",
            ["10-04 02:40 +1100", "10-04 03:00 +1100", "10-04 03:20 +1100"],
        ),
        (LORD_HOWE, "2026-04-04 12:00", "45 1 * * *", ["04-05 01:45 +1100", "04-06 01:45 +1030"]),
        (LORD_HOWE, "2026-04-04 12:00", "0 */6 * * *", ["04-05 00:00 +1100", "04-05 06:00 +1030", "04-05 12:00 +1030"]),
        (
            LORD_HOWE,
            "2026-04-04 14:35",
            "*/20 * * * *",
            ["04-05 01:40 +1100", "04-05 01:40 +1030", "04-05 02:00 +1030"],
        ),
        # Cairo, 24 April 2026 has no midnight; 29 October has its last hour twice.
        (CAIRO, "2026-04-23 12:00", "0 0 * * *", ["04-24 01:00 +0300", "04-25 00:00 +0300"]),
        (CAIRO, "2026-04-23 12:00", "0 */6 * * *", ["04-23 18:00 +0200", "04-24 01:00 +0300", "04-24 06:00 +0300"]),
        (CAIRO, "2026-10-29 12:00", "30 23 * * *", ["10-29 23:30 +0300", "10-30 23:30 +0200"]),
        (CAIRO, "2026-10-29 12:00", "0 0 * * *", ["10-30 00:00 +0200", "10-31 00:00 +0200"]),
    ],
)
def test_where_the_clock_is_changed(zone, after, cron, expected):
    assert runs(Schedule(cron=cron, zone=zone), after, len(expected)) == expected


def test_a_day_that_a_zone_left_out_still_has_its_run():
    # Samoa went over the date line: no 30 December 2011.
    schedule = Schedule(cron="0 12 * * *", zone="Pacific/Apia")
    assert runs(schedule, "2011-12-29 23:00", 3) == ["12-31 00:00 +1400", "12-31 12:00 +1400", "01-01 12:00 +1400"]


def test_a_leap_day_comes_when_there_is_one():
    found = following(Schedule(cron="0 12 29 2 *", zone=BERLIN), at("2026-01-01"), 0, 3)
    assert found == [at("2028-02-29 11:00"), at("2032-02-29 11:00"), at("2036-02-29 11:00")]
    century = following(Schedule(cron="*/30 23 29 2 *"), at("2096-02-29 23:29"), 0, 2)
    assert century == [at("2096-02-29 23:30"), at("2104-02-29 23:00")]


def test_the_hour_of_a_cron_follows_the_clock_and_not_the_day_before():
    schedule = Schedule(cron="0 7 * * *", zone=BERLIN)
    found = following(schedule, at("2026-03-27 12:00"), 0, 3)
    assert [later - earlier for earlier, later in pairwise(found)] == [23 * HOUR, 24 * HOUR]


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, "UTC"])
@pytest.mark.parametrize(
    "cron", ["30 2 * * *", "15 1,2,3 * * *", "0 1 8,29 3 *", "*/10 * * * *", "5 * * * *", "0 2 L * *"]
)
@pytest.mark.parametrize(("first", "last"), [("2026-03-06", "2026-04-01"), ("2026-10-23", "2026-11-03")])
def test_where_the_library_is_right_about_a_zone_we_say_the_same(zone, cron, first, last):
    moments = CronSim(cron, datetime.fromtimestamp(at(first) / 1000, ZoneInfo(zone)))
    theirs = [
        round(moment.timestamp() * 1000)
        for moment in takewhile(lambda moment: moment < datetime.fromisoformat(last).replace(tzinfo=UTC), moments)
    ]
    found = following(Schedule(cron=cron, zone=zone), at(first), 0, len(theirs) + 1)
    # It repeats a run whose time the leap of the clock moved onto another one.
    assert found[: len(set(theirs))] == list(dict.fromkeys(theirs))
    assert found[len(set(theirs))] >= at(last)


# Quiet hours ----------------------------------------------------------------------------------------------------------


def test_what_falls_due_in_one_quiet_night_is_one_run_at_its_end():
    schedule = parse_schedule(cron="0 */2 * * *", zone=BERLIN, quiet="21:00-06:30")
    assert runs(schedule, "2026-01-10 17:00", 4) == [
        "01-10 20:00 +0100",
        "01-11 06:30 +0100",
        "01-11 08:00 +0100",
        "01-11 10:00 +0100",
    ]


def test_a_run_at_the_end_of_the_night_is_the_nights_run_too():
    schedule = parse_schedule(cron="0 */2 * * *", quiet="21:00-06:00")
    assert runs(schedule, "2026-01-10 23:10", 2) == ["01-11 06:00 +0000", "01-11 08:00 +0000"]


def test_what_fell_due_this_night_waits_for_its_end_whenever_one_asks():
    schedule = parse_schedule(cron="0 23 * * *", quiet="22:00-06:00")
    for asked in ("2026-01-10 22:59", "2026-01-10 23:30", "2026-01-11 05:59:59"):
        assert next_run(schedule, at(asked), 0) == at("2026-01-11 06:00")
    assert next_run(schedule, at("2026-01-11 06:00"), 0) == at("2026-01-12 06:00")


def test_every_comes_back_to_its_rhythm_after_the_night():
    schedule = parse_schedule(every="5h", quiet="22:00-06:00")
    assert [shown(ms, "UTC") for ms in following(schedule, at("2026-01-10 15:00"), at("2026-01-10 00:30"), 3)] == [
        "01-10 15:30 +0000",
        "01-10 20:30 +0000",
        "01-11 06:00 +0000",
    ]
    assert next_run(schedule, at("2026-01-11 06:00"), at("2026-01-10 00:30")) == at("2026-01-11 06:30")


@pytest.mark.parametrize(
    ("zone", "after", "quiet", "expected"),
    [
        # The end is leapt over: right after the leap.
        (BERLIN, "2026-03-28 20:35", "22:00-02:30", ["03-28 21:40 +0100", "03-28 21:50 +0100", "03-29 03:00 +0200"]),
        (BERLIN, "2026-03-29 00:45", "02:30-06:00", ["03-29 01:50 +0100", "03-29 06:00 +0200"]),
        # They are leapt over wholly: nothing waits.
        (BERLIN, "2026-03-29 00:45", "02:10-02:50", ["03-29 01:50 +0100", "03-29 03:00 +0200"]),
        # The end is shown twice: one night until the second time.
        (BERLIN, "2026-10-24 19:35", "22:00-02:30", ["10-24 21:40 +0200", "10-24 21:50 +0200", "10-25 02:30 +0100"]),
        # The start is shown twice: from the first time on.
        (BERLIN, "2026-10-25 00:15", "02:30-06:00", ["10-25 02:20 +0200", "10-25 06:00 +0100"]),
        (LORD_HOWE, "2026-10-03 15:05", "23:00-02:15", ["10-04 02:30 +1100", "10-04 02:40 +1100"]),
        (LORD_HOWE, "2026-04-04 14:05", "23:00-01:45", ["04-05 01:45 +1030", "04-05 01:50 +1030"]),
        (CAIRO, "2026-04-23 12:00", "00:00-06:00", None),
    ],
)
def test_quiet_hours_where_the_clock_is_changed(zone, after, quiet, expected):
    schedule = parse_schedule(cron="*/10 * * * *", zone=zone, quiet=quiet)
    if expected is None:
        assert out_of_quiet(schedule, at("2026-04-24 01:00+03:00")) == at("2026-04-24 06:00+03:00")
    else:
        assert runs(schedule, after, len(expected)) == expected


def test_an_owed_run_waits_for_the_end_of_the_night_too():
    schedule = parse_schedule(every="6h", zone=BERLIN, quiet="22:00-06:00")
    assert out_of_quiet(schedule, at("2026-01-10 22:00+01:00")) == at("2026-01-11 06:00+01:00")
    assert out_of_quiet(schedule, at("2026-01-11 06:00+01:00")) == at("2026-01-11 06:00+01:00")
    just_before = at("2026-01-10 22:00+01:00") - 1
    assert out_of_quiet(schedule, just_before) == just_before


# Catching up ----------------------------------------------------------------------------------------------------------


def test_after_a_week_of_downtime_one_run_is_owed():
    schedule = Schedule(every=3600)
    due, now = at("2026-01-01 01:00"), at("2026-01-08 10:20")
    assert after_run(schedule, due, now, at("2026-01-01")) == at("2026-01-08 11:00")


def test_a_claimer_whose_clock_is_behind_is_not_given_the_same_run_again():
    schedule = Schedule(every=3600)
    assert after_run(schedule, at("2026-01-01 01:00"), at("2026-01-01 00:59:58"), 0) == at("2026-01-01 02:00")


# Jitter ---------------------------------------------------------------------------------------------------------------


def test_a_jitter_is_the_same_in_every_process_and_on_every_day():
    schedule = Schedule(every=6 * 3600, jitter=Jitter(percent=10))
    assert spread(schedule, at("2026-01-01"), 0, "creator:7") == at("2026-01-01 00:09:27.469")
    assert spread(schedule, at("2026-01-01 06:00"), 0, "creator:7") == at("2026-01-01 06:16:57.571")


def test_without_a_seed_or_a_jitter_a_run_comes_when_it_is_due():
    assert spread(Schedule(every=3600, jitter=Jitter(percent=10)), HOUR, 0, None) == HOUR
    assert spread(Schedule(every=3600), HOUR, 0, 7) == HOUR


def test_profiles_that_are_due_together_are_spread_over_the_whole_jitter():
    schedule = parse_schedule(cron="0 0 * * *", jitter="1h")
    late = sorted(spread(schedule, DAY, 0, creator) - DAY for creator in range(1000))
    assert late[0] < 2 * MINUTE and late[-1] > 58 * MINUTE
    assert all(80 < sum(n * 6 * MINUTE <= ms < (n + 1) * 6 * MINUTE for ms in late) < 120 for n in range(1, 9))


def test_a_jitter_ends_before_the_quiet_hours_begin():
    schedule = parse_schedule(cron="59 21 * * *", quiet="22:00-06:00", jitter="2h")
    late = [spread(schedule, at("2026-01-10 21:59"), 0, creator) for creator in range(200)]
    assert max(late) < at("2026-01-10 22:00") and len(set(late)) > 150


def test_a_run_in_the_last_moment_before_the_quiet_hours_is_not_late():
    schedule = parse_schedule(every="1d", quiet="22:00-06:00", jitter="2h")
    last = at("2026-01-10 22:00") - 1
    assert {spread(schedule, last, last, creator) for creator in range(50)} == {last}


def test_a_cron_with_a_large_jitter_still_runs_as_often_as_it_says():
    schedule = parse_schedule(cron="*/10 * * * *", jitter="3h")
    found = following(schedule, 0, 0, 300, seed=1)
    assert all(0 <= run - due <= 5 * MINUTE for run, due in zip(found, following(schedule, 0, 0, 300), strict=True))


# Whatever the schedule ------------------------------------------------------------------------------------------------

ZONES = [
    "UTC",
    BERLIN,
    NEW_YORK,
    LORD_HOWE,
    CAIRO,
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "America/Havana",
    "America/St_Johns",
    "Africa/Casablanca",
    "Pacific/Apia",
]


def _edges() -> list[int]:
    """Every change of a clock of these zones in 2026."""
    found = []
    for name in ZONES:
        offsets = [
            datetime.fromtimestamp(at("2026-01-01") / 1000 + n * 1800, ZoneInfo(name)).utcoffset()
            for n in range(48 * 365)
        ]
        found += [at("2026-01-01") + n * 30 * MINUTE for n in range(1, len(offsets)) if offsets[n] != offsets[n - 1]]
    return found


EDGES = _edges()
anywhen = st.one_of(
    st.integers(at("2000-01-01"), at("2090-01-01")),
    st.builds(int.__add__, st.sampled_from(EDGES), st.integers(-12 * HOUR, 12 * HOUR)),
    st.builds(int.__add__, st.sampled_from(EDGES), st.integers(-15, 15).map(lambda n: n * 10 * MINUTE)),
)
minute_field = st.one_of(
    st.sampled_from(["*", "*/10", "*/7", "0", "30", "0,30"]), st.integers(0, 59).map(str), st.just("15-45/15")
)
hour_field = st.one_of(st.sampled_from(["*", "*/2", "*/6", "0", "0-23", "1,2,3", "22-23"]), st.integers(0, 23).map(str))
day_fields = st.sampled_from(
    ["* * *"] * 6 + ["1 * *", "L * *", "* * 1", "* * SUN", "25-31 3,10 SUN", "*/2 * *", "29 2 *"]
)
crons = st.builds(lambda *fields: " ".join(fields), minute_field, hour_field, day_fields)
quiets = st.builds(
    lambda end, open_for: Quiet((end + open_for) % 1440, end), st.integers(0, 1439), st.integers(120, 1439)
)
jitters = st.one_of(
    st.just(Jitter()), st.builds(Jitter, ms=st.integers(1, DAY)), st.builds(Jitter, percent=st.integers(1, 50))
)
by_cron = st.builds(
    Schedule, cron=crons, zone=st.sampled_from(ZONES), quiet=st.one_of(st.none(), quiets), jitter=jitters
)
by_every = st.builds(
    lambda every, zone, quiet, percent: Schedule(every, None, zone, quiet, Jitter(percent=percent)),
    st.one_of(st.integers(60, 90_000), st.integers(60, 366 * 86400)),
    st.sampled_from(ZONES),
    st.one_of(st.none(), quiets),
    st.integers(0, 50),
)
any_schedule = st.one_of(by_cron, by_every)
anchors = st.integers(at("2020-01-01"), at("2030-01-01"))
thorough = settings(max_examples=150, deadline=None)


def quiet_on_the_wall(schedule: Schedule, ms: int) -> bool:
    if schedule.quiet is None:
        return False
    moment = datetime.fromtimestamp(ms // 1000, ZoneInfo(schedule.zone))
    minute, quiet = moment.hour * 60 + moment.minute, schedule.quiet
    if quiet.start < quiet.end:
        return quiet.start <= minute < quiet.end
    return minute >= quiet.start or minute < quiet.end


@thorough
@given(any_schedule, anywhen, anchors)
def test_a_run_is_strictly_later_than_asked_and_never_in_quiet_hours(schedule, after, anchor):
    found = next_run(schedule, after, anchor)
    assert found > after
    assert not quiet_on_the_wall(schedule, found)
    assert out_of_quiet(schedule, found) == found


@thorough
@given(any_schedule, anywhen, anchors, st.floats(0, 1))
def test_whoever_asks_between_two_runs_hears_the_second(schedule, after, anchor, share):
    first = next_run(schedule, after, anchor)
    assert next_run(schedule, after + int((first - 1 - after) * share), anchor) == first
    assert next_run(schedule, first - 1, anchor) == first


@thorough
@given(any_schedule, anywhen, anywhen, anchors)
def test_who_asks_later_never_hears_of_an_earlier_run(schedule, one, other, anchor):
    earlier, later = sorted((one, other))
    assert next_run(schedule, earlier, anchor) <= next_run(schedule, later, anchor)


@thorough
@given(any_schedule, anywhen, anchors, st.integers())
def test_a_jitter_only_adds_and_ends_before_the_next_run_and_the_quiet_hours(schedule, after, anchor, seed):
    due, following_one = following(schedule, after, anchor, 2)
    late = spread(schedule, due, anchor, seed)
    gap = following_one - due
    assert 0 <= late - due <= gap // 2
    assert late - due <= (schedule.jitter.ms or gap * schedule.jitter.percent / 100)
    assert not quiet_on_the_wall(schedule, late) and out_of_quiet(schedule, late) == late
    assert late == spread(schedule, due, anchor, seed)
    # So going on from a run that came late leaves nothing out.
    assert next_run(schedule, late, anchor) == following_one


@thorough
@given(any_schedule, anywhen, st.integers(0, 40 * DAY), anchors, st.integers(0, 9))
def test_one_run_is_owed_however_long_nobody_looked(schedule, after, downtime, anchor, seed):
    (due,) = following(schedule, after, anchor, 1, seed)
    now = due + downtime
    written = after_run(schedule, due, now, anchor, seed)
    assert written > now
    # It is the first that was not missed.
    assert written in following(schedule, now, anchor, 1, seed)
    # Whoever claims late gets what a punctual one would get by then.
    assert written == after_run(schedule, now, now, anchor, seed)


@thorough
@given(any_schedule, anywhen, anchors, st.integers(0, 9))
def test_what_is_shown_is_what_will_be_written(schedule, after, anchor, seed):
    shown_runs = following(schedule, after, anchor, 5, seed)
    written = [shown_runs[0]]
    for _ in range(4):
        written.append(after_run(schedule, written[-1], written[-1], anchor, seed))
    assert shown_runs == written == sorted(set(written))


@thorough
@given(st.builds(Schedule, every=st.integers(60, 90_000)), anywhen, anchors)
def test_every_is_a_whole_number_of_steps_from_its_anchor(schedule, after, anchor):
    found = next_run(schedule, after, anchor)
    assert (found - anchor) % (schedule.every * 1000) == 0
    assert found - after <= schedule.every * 1000


def minute_by_minute(cron: str, zone: ZoneInfo, after: int, minutes: int) -> list[int]:
    """The rules once more, by watching the clock: slow, and nothing in common with the module but the parser."""
    fields = CronSim(cron, datetime(2000, 1, 1))
    every_hour = fields.hours == set(range(24))

    def due(wall: datetime) -> bool:
        return (
            wall.minute in fields.minutes
            and wall.hour in fields.hours
            and fields.match_day(wall.date())
            and (wall.month in fields.months)
        )

    found = []
    highest = None
    for minute in range(after // MINUTE - 1500, after // MINUTE + minutes):
        wall = datetime.fromtimestamp(minute * 60, zone).replace(tzinfo=None, fold=0)
        if every_hour:
            hit = due(wall)
        else:
            # All that the clock shows or leaps over now, and has not shown before.
            start = wall if highest is None else highest + timedelta(minutes=1)
            hit = any(due(start + timedelta(minutes=n)) for n in range(int((wall - start).total_seconds() // 60) + 1))
        highest = wall if highest is None else max(highest, wall)
        if hit and minute * MINUTE > after:
            found.append(minute * MINUTE)
    return found


@settings(max_examples=100, deadline=None)
@given(crons, st.sampled_from(ZONES), anywhen)
def test_one_who_watches_the_clock_sees_the_same(cron, zone, after):
    seen = minute_by_minute(cron, ZoneInfo(zone), after, 2000)
    assert following(Schedule(cron=cron, zone=zone), after, 0, len(seen)) == seen
    assert not seen or next_run(Schedule(cron=cron, zone=zone), seen[-1], 0) >= (after // MINUTE + 2000) * MINUTE
