import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.statuses import FINAL, OPEN, TABLE, News, Stage, Status, decide, frees_content

#: Where an item may stand: a FAIL has its stage, nothing else has one.
PLACES = [(status, None) for status in Status if status is not Status.FAIL] + [(Status.FAIL, stage) for stage in Stage]
#: Where something of the item may be at Memories.ai, or may come to be.
REACHABLE = [place for place in PLACES if place[0] not in (Status.SKIPPED, Status.CANCELLED)]

any_place = st.sampled_from(PLACES)
any_news = st.sampled_from(News)
up_to_three = st.lists(any_news, max_size=3)


def after(place: tuple[Status, Stage | None], news: News) -> tuple[Status, Stage | None]:
    """Where an item stands after the news, as `ingest.store` would write it: the stage is a bare text in the row."""
    status, stage = place
    verdict = decide(status, news, stage and stage.value)
    return (verdict.to, verdict.stage) if verdict else place


def walk(place: tuple[Status, Stage | None], *story: News) -> list[tuple[Status, Stage | None]]:
    return list(itertools.accumulate(story, after, initial=place))


def test_every_status_has_a_verdict_for_every_news():
    assert set(TABLE) == {(status, news) for status in Status for news in News}


def test_every_status_is_open_or_final():
    assert set(OPEN) | FINAL == set(Status)
    assert not set(OPEN) & FINAL


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("news", News)
def test_a_failure_says_its_stage_and_nothing_else_has_one(place, news):
    status, stage = after(place, news)
    assert (stage is not None) == (status is Status.FAIL)


# The straight way


def test_an_item_is_claimed_accepted_and_ready():
    story = walk((Status.QUEUED, None), News.CLAIMED, News.ACCEPTED, News.READY)
    assert [status for status, _ in story] == [Status.QUEUED, Status.SENDING, Status.UNPARSE, Status.PARSE]


def test_a_lost_answer_makes_unsure_and_the_found_video_settles_it():
    story = walk((Status.SENDING, None), News.LOST, News.IDENTIFIED, News.READY)
    assert [status for status, _ in story] == [Status.SENDING, Status.UNSURE, Status.UNPARSE, Status.PARSE]


def test_what_provably_never_arrived_is_sent_again():
    assert after((Status.UNSURE, None), News.ABSENT) == (Status.QUEUED, None)


def test_what_surely_was_not_sent_goes_back_to_the_queue():
    assert after((Status.SENDING, None), News.RELEASED) == (Status.QUEUED, None)


@pytest.mark.parametrize(
    ("news", "stage"),
    [
        (News.UNFIT, Stage.PREFLIGHT),
        (News.REFUSED, Stage.REFUSED),
        (News.BROKEN, Stage.UPSTREAM),
        (News.POISONED, Stage.POISON),
    ],
)
def test_a_failure_while_sending_says_where_it_came_from(news, stage):
    assert after((Status.SENDING, None), news) == (Status.FAIL, stage)


@pytest.mark.parametrize("status", [Status.UNSURE, Status.UNPARSE])
def test_a_deadline_ends_what_waits_for_memories_ai(status):
    assert after((status, None), News.EXPIRED) == (Status.FAIL, Stage.EXPIRED)


@pytest.mark.parametrize("status", [Status.QUEUED, Status.SENDING])
def test_a_deadline_does_not_end_what_waits_for_us(status):
    assert after((status, None), News.EXPIRED) == (status, None)


def test_a_duplicate_is_skipped_and_queued_when_its_twin_frees_the_content():
    story = walk((Status.QUEUED, None), News.DUPLICATE, News.TWIN_GONE)
    assert [status for status, _ in story] == [Status.QUEUED, Status.SKIPPED, Status.QUEUED]


# A late answer


@pytest.mark.parametrize("news", [News.ACCEPTED, News.IDENTIFIED])
def test_an_answer_that_finds_its_item_queued_again_wins(news):
    assert after((Status.QUEUED, None), news) == (Status.UNPARSE, None)


def test_a_late_refusal_settles_an_unsure_item():
    assert after((Status.UNSURE, None), News.REFUSED) == (Status.FAIL, Stage.REFUSED)


def test_a_second_acceptance_changes_nothing():
    assert after((Status.UNPARSE, None), News.ACCEPTED) == (Status.UNPARSE, None)


def test_a_release_does_not_queue_what_may_have_arrived():
    assert after((Status.UNSURE, None), News.RELEASED) == (Status.UNSURE, None)


# Final is not deaf


@pytest.mark.parametrize("news", News)
def test_ready_yields_to_nothing(news):
    assert after((Status.PARSE, None), news) == (Status.PARSE, None)


@pytest.mark.parametrize("stage", Stage)
def test_every_failure_yields_to_a_confirmed_ready(stage):
    assert after((Status.FAIL, stage), News.READY) == (Status.PARSE, None)


@pytest.mark.parametrize("news", [News.ACCEPTED, News.IDENTIFIED])
def test_our_own_verdict_yields_to_the_news_that_it_is_there(news):
    assert after((Status.FAIL, Stage.EXPIRED), news) == (Status.UNPARSE, None)


def test_our_own_verdict_yields_to_the_vendors():
    assert after((Status.FAIL, Stage.EXPIRED), News.BROKEN) == (Status.FAIL, Stage.UPSTREAM)


def test_our_own_verdict_is_known_by_the_text_in_the_row():
    assert decide(Status.FAIL, News.BROKEN, "expired") == decide(Status.FAIL, News.BROKEN, Stage.EXPIRED) is not None


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.EXPIRED])
@pytest.mark.parametrize("news", [news for news in News if news not in (News.READY, News.RETRY)])
def test_another_failure_yields_to_nothing_but_ready_and_a_person(stage, news):
    assert after((Status.FAIL, stage), news) == (Status.FAIL, stage)


@pytest.mark.parametrize("news", [news for news in News if news is not News.TWIN_GONE])
def test_what_was_skipped_is_only_queued_for_its_twins_sake(news):
    assert after((Status.SKIPPED, None), news) == (Status.SKIPPED, None)


@pytest.mark.parametrize("news", [news for news in News if news is not News.RETRY])
def test_what_a_person_stopped_only_a_person_starts_again(news):
    assert after((Status.CANCELLED, None), news) == (Status.CANCELLED, None)


# People


def test_a_person_stops_only_what_was_not_sent():
    stopped = {place[0] for place in PLACES if after(place, News.CANCEL)[0] is not place[0]}
    assert stopped == {Status.QUEUED}


def test_a_person_sends_again_only_what_failed_or_was_stopped():
    again = {place[0] for place in PLACES if after(place, News.RETRY)[0] is not place[0]}
    assert again == {Status.FAIL, Status.CANCELLED}


# Whatever the order


@given(any_place, up_to_three)
def test_every_story_ends_in_a_status_of_ours(place, story):
    for status, stage in walk(place, *story):
        assert (status, stage) in PLACES


@given(st.sampled_from(REACHABLE), st.permutations([News.READY, News.BROKEN, News.EXPIRED]))
def test_a_confirmed_ready_is_never_lost_in_whatever_order_it_comes(place, story):
    assert walk(place, *story)[-1] == (Status.PARSE, None)


@given(st.sampled_from(REACHABLE), up_to_three)
def test_once_told_ready_it_stays_ready(place, story):
    assert walk(place, News.READY, *story)[1:] == [(Status.PARSE, None)] * (len(story) + 1)


@given(any_place, up_to_three)
def test_what_memories_ai_has_is_never_queued_in_one_step(place, story):
    steps = itertools.pairwise(walk(place, *story))
    assert not [to for was, to in steps if was[0] in (Status.UNPARSE, Status.PARSE) and to[0] is Status.QUEUED]


@given(any_place, up_to_three)
def test_an_item_is_queued_only_when_nothing_can_have_arrived_or_a_person_says_so(place, story):
    for (was, news), (to, _) in zip(
        zip(walk(place, *story), story, strict=False), walk(place, *story)[1:], strict=True
    ):
        if to is Status.QUEUED and was[0] is not Status.QUEUED:
            assert news in (News.RELEASED, News.ABSENT, News.TWIN_GONE, News.RETRY)
            assert was[0] is not Status.UNSURE or news is News.ABSENT


@given(any_place, up_to_three)
def test_nothing_is_sent_but_from_the_queue(place, story):
    for was, to in itertools.pairwise(walk(place, *story)):
        assert to[0] is not Status.SENDING or was[0] in (Status.QUEUED, Status.SENDING)


@given(st.permutations([News.LOST, News.IDENTIFIED, News.READY]))
def test_a_lost_answer_a_callback_and_the_list_end_ready_in_every_order(story):
    assert walk((Status.SENDING, None), *story)[-1] == (Status.PARSE, None)


@given(st.permutations([News.ABSENT, News.IDENTIFIED]))
def test_a_video_found_after_its_absence_was_proved_still_counts(story):
    assert walk((Status.UNSURE, None), *story)[-1] == (Status.UNPARSE, None)


@given(st.permutations([News.EXPIRED, News.BROKEN]))
def test_the_vendors_no_outlives_our_deadline_in_every_order(story):
    assert walk((Status.UNPARSE, None), *story)[-1] == (Status.FAIL, Stage.UPSTREAM)


@given(any_place, any_news)
def test_the_same_news_twice_is_the_same_news_once(place, news):
    once = after(place, news)
    assert after(once, news) == once


# Every order of up to three pieces of news, all of them tried


def stories(*without: News) -> Iterator[tuple[News, ...]]:
    words = [news for news in News if news not in without]
    for length in range(4):
        yield from itertools.product(words, repeat=length)


def right(story: tuple[News, ...]) -> tuple[Status, Stage | None]:
    """Where an item that Memories.ai has must end, nobody sending it again: the vendor's word before ours, ready before broken."""
    if News.READY in story:
        return Status.PARSE, None
    if News.BROKEN in story:
        return Status.FAIL, Stage.UPSTREAM
    there = [place for place, news in enumerate(story) if news in (News.ACCEPTED, News.IDENTIFIED)]
    if News.EXPIRED in story[max(there, default=-1) + 1 :]:
        return Status.FAIL, Stage.EXPIRED
    return Status.UNPARSE, None


def test_what_memories_ai_has_ends_right_in_whatever_order_the_news_comes():
    for story in stories(News.RETRY):
        assert walk((Status.UNPARSE, None), *story)[-1] == right(story), story


def test_what_memories_ai_has_is_sent_again_only_when_a_person_says_so():
    for story in stories(News.RETRY):
        reached = {status for status, _ in walk((Status.UNPARSE, None), *story)}
        assert not reached & {Status.QUEUED, Status.SENDING, Status.UNSURE}, story


def test_a_sender_that_was_taken_for_dead_ends_right_all_the_same():
    """Its late answer, its callback and the list may come before and after each other and after its item was queued again."""
    vendors = (News.ACCEPTED, News.IDENTIFIED, News.READY, News.BROKEN)
    for story in itertools.product((News.LOST, News.ABSENT, News.CLAIMED, News.RELEASED, *vendors), repeat=3):
        if set(story) & set(vendors):
            assert walk((Status.SENDING, None), *story)[-1] == right(story), story


@pytest.mark.parametrize("place", [place for place in PLACES if place[0] in FINAL])
def test_nothing_final_is_sent_again_but_by_a_person_or_for_its_twins_sake(place):
    for story in stories(News.RETRY, News.TWIN_GONE):
        reached = {status for status, _ in walk(place, *story)}
        assert not reached & {Status.QUEUED, Status.SENDING, Status.UNSURE}, story


@pytest.mark.parametrize("news", [News.ACCEPTED, News.IDENTIFIED])
def test_a_late_answer_revives_our_own_verdict_and_nothing_else_that_is_final(news):
    revived = {place for place in PLACES if place[0] in FINAL and after(place, news) != place}
    assert revived == {(Status.FAIL, Stage.EXPIRED)}


def test_a_vendors_no_yields_to_a_confirmed_ready_and_to_a_person_alone():
    for story in stories(News.READY, News.RETRY):
        assert walk((Status.FAIL, Stage.UPSTREAM), *story)[-1] == (Status.FAIL, Stage.UPSTREAM), story


# What frees the content


def test_content_is_free_where_nothing_of_it_can_be_at_memories_ai():
    free = {place for place in PLACES if frees_content(*place)}
    assert free == {
        (Status.CANCELLED, None),
        (Status.FAIL, Stage.PREFLIGHT),
        (Status.FAIL, Stage.REFUSED),
        (Status.FAIL, Stage.POISON),
    }
