import itertools

import pytest

from ingest.retrying import NEVER_THERE, Action, Standing, decide, same_content
from ingest.statuses import OPEN, News, Stage, Status
from ingest.statuses import decide as decide_status

CODES = [None, "not_ready", "ambiguous", "never_arrived", "never_appeared", "not_indexed", "something new"]
EVERYTHING = [
    (Standing(status, stage, code, video_no, adopted=adopted), resend)
    for status, stage, code, video_no, adopted, resend in itertools.product(
        Status, [None, *Stage], CODES, [None, "VI1"], [False, True], [False, True]
    )
    if stage is None or status is Status.FAIL
]


def failed(stage: Stage, code: str | None = None, video_no: str | None = None, **more) -> Standing:
    return Standing(Status.FAIL, stage, code, video_no, **more)


def test_whatever_is_passed_over_has_a_reason_and_nothing_else_has():
    for one, resend in EVERYTHING:
        decision = decide(one, resend=resend)
        assert (decision.why is not None) == (decision.action is Action.PASSED_OVER), one


def test_what_is_decided_is_what_the_state_machine_would_do():
    for one, resend in EVERYTHING:
        decision = decide(one, resend=resend)
        if decision.action is Action.QUEUED:
            verdict = decide_status(one.status, News.RETRY, one.stage)
            assert verdict and verdict.to is Status.QUEUED, one
        if decision.action is Action.ASKED:
            verdict = decide_status(one.status, News.IDENTIFIED, one.stage)
            assert verdict and verdict.to is Status.UNPARSE, one


def test_what_memories_ai_may_have_is_never_sent_twice_unless_somebody_says_so():
    for one, _ in EVERYTHING:
        if decide(one).action is Action.QUEUED:
            # the vendor has it and said itself that it cannot use it, or it is known that nothing came of it
            assert one.stage is Stage.UPSTREAM or one.video_no is None, one
            assert one.stage is not Stage.EXPIRED or one.error_code in NEVER_THERE, one


@pytest.mark.parametrize("stage", [Stage.PREFLIGHT, Stage.REFUSED, Stage.POISON])
def test_what_never_left_is_sent(stage):
    assert decide(failed(stage, "any")).action is Action.QUEUED


@pytest.mark.parametrize("code", sorted(NEVER_THERE))
def test_what_provably_never_came_to_be_is_sent(code):
    assert decide(failed(Stage.EXPIRED, code)).action is Action.QUEUED


def test_what_a_person_stopped_is_sent():
    assert decide(Standing(Status.CANCELLED)).action is Action.QUEUED


def test_a_video_that_was_not_ready_in_time_is_asked_about_again():
    assert decide(failed(Stage.EXPIRED, "not_ready", "VI1")).action is Action.ASKED
    assert decide(failed(Stage.EXPIRED, "not_ready", "VI1"), resend=True).action is Action.QUEUED


def test_what_may_be_one_of_several_videos_is_sent_only_with_resend():
    decision = decide(failed(Stage.EXPIRED, "ambiguous"))
    assert decision.action is Action.PASSED_OVER
    assert "--resend" in (decision.why or "")
    assert decide(failed(Stage.EXPIRED, "ambiguous"), resend=True).action is Action.QUEUED


def test_what_the_vendor_could_not_index_is_uploaded_anew():
    assert decide(failed(Stage.UPSTREAM, "not_indexed", "VI1")).action is Action.QUEUED


@pytest.mark.parametrize("one", [Standing(Status.CANCELLED, video_no="VI1"), failed(Stage.REFUSED, "0001", "VI1")])
def test_a_late_answer_that_named_a_video_keeps_it_from_being_sent_again(one):
    decision = decide(one)
    assert decision.action is Action.PASSED_OVER
    assert "VI1" in (decision.why or "") and "--resend" in (decision.why or "")
    assert decide(one, resend=True).action is Action.QUEUED


def test_what_was_adopted_cannot_be_sent_from_here():
    adopted = failed(Stage.UPSTREAM, "not_indexed", "VI1", adopted=True)
    assert "ingest add" in (decide(adopted, resend=True).why or "")
    late = failed(Stage.EXPIRED, "not_ready", "VI1", adopted=True)
    assert decide(late).action is Action.ASKED


@pytest.mark.parametrize("status", [Status.PARSE, *OPEN])
@pytest.mark.parametrize("resend", [False, True])
def test_what_is_ready_or_under_way_stays(status, resend):
    decision = decide(Standing(status), resend=resend)
    assert decision.action is Action.PASSED_OVER
    assert status in (decision.why or "")


def test_a_copy_names_its_twin():
    assert "item 7" in (decide(Standing(Status.SKIPPED, twin_id=7)).why or "")
    assert "no video" in (decide(Standing(Status.SKIPPED, error_code="not_a_video")).why or "")
    assert "item 7, which is PARSE" in (same_content(7, "PARSE").why or "")
