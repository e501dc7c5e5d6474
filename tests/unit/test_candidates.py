"""The paragraph "Exactly once" of the design, rule by rule."""

import re
from collections import Counter
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.candidates import (
    CLOCK_SLACK_MS,
    Absent,
    Adopt,
    Ambiguous,
    Unsettled,
    created_ms,
    sent_name,
    settle,
    short_ids_in,
)
from ingest.tokens import new_short_id
from ingest.upstream.fields import Video, Word

SENT, NOW = 1_760_000_000_000, 1_760_000_060_000
MINE, OTHER = "k3f7x2m7qa", "aaaabbbbcc"


def file(number: int = 1, short_id: str = MINE, **values) -> Unsettled:
    return Unsettled(number, short_id, **{"since_ms": SENT, "until_ms": NOW, **values})


def link(number: int, hint: str, **values) -> Unsettled:
    return file(number, f"link{'abcdefgh'[number]}aaaaa", name_hint=hint, **values)


def video(number: int, name: str | None = None, made: int | None = SENT + 5000, size: int | None = None) -> Video:
    return Video(f"VI{number}", Word.PENDING, "UNPARSE", None, name, size, made)


def finding(one: Unsettled, *videos: Video, others=(), owned=(), other_short_ids=(), under_way=()):
    return settle([one, *others], videos, owned, other_short_ids, under_way)[one.submission_id]


# The short id in its name


@pytest.mark.parametrize(
    "name",
    [
        f"beach [{MINE}]",
        f"beach [{MINE}].mp4",
        f"BEACH [{MINE.upper()}]",
        f"beach__{MINE}_",
        f"1f2e3d4c_{quote(f'beach [{MINE}]', safe='')}_1760000001234",
        f"beach [{MINE}]".encode().hex(),
        f"plage d'été [{MINE}]".encode().hex(),
    ],
)
def test_a_name_that_carries_the_short_id_is_adopted(name):
    foreign = video(2, "something else")
    assert finding(file(), foreign, video(1, name)) == Adopt("VI1")


def test_the_short_id_outweighs_a_time_and_a_size_that_do_not_fit():
    found = video(1, f"beach [{MINE}]", made=SENT - 10 * CLOCK_SLACK_MS, size=1)
    assert finding(file(size=1000), found) == Adopt("VI1")


def test_a_second_video_with_the_short_id_is_told_and_the_oldest_adopted():
    late, early = video(1, f"beach [{MINE}]", made=SENT + 9000), video(2, f"beach [{MINE}]", made=SENT + 1000)
    assert finding(file(), late, early) == Adopt("VI2", ("VI1",))


def test_each_of_many_finds_its_own():
    ones = [file(number, new_short_id()) for number in range(20)]
    videos = [video(100 + one.submission_id, f"clip [{one.short_id}]") for one in ones]
    assert settle(ones, videos[::-1], (), ()) == {
        one.submission_id: Adopt(f"VI{100 + one.submission_id}") for one in ones
    }


@pytest.mark.parametrize("others", [{"other_short_ids": [OTHER]}, {"under_way": [file(9, OTHER)]}])
def test_a_name_that_carries_another_submissions_short_id_is_no_candidate(others):
    found = finding(file(), video(1, f"beach [{OTHER}]"), **others)
    assert found == Absent()


def test_a_name_with_two_short_ids_belongs_to_the_last_of_them():
    """A file that was downloaded from Memories.ai and imported again travels as `beach [old] [new].mp4`."""
    again = video(1, f"beach [{OTHER}] [{MINE}]")
    assert settle([file(1, MINE), file(2, OTHER)], [again], (), ()) == {1: Adopt("VI1"), 2: Absent()}
    assert finding(file(), again, other_short_ids=[OTHER]) == Adopt("VI1")
    assert finding(file(2, OTHER), again, other_short_ids=[MINE]) == Absent()


def test_what_looks_like_a_short_id_and_is_none_of_ours_does_not_exclude():
    assert finding(file(), video(1, "restockdaywithfriends")) == Adopt("VI1")


# What is a candidate at all


def test_an_empty_list_shows_that_nothing_is_there():
    assert finding(file()) == Absent()


@pytest.mark.parametrize("name", ["beach", f"beach [{MINE}]"])
def test_a_video_that_a_row_of_ours_owns_is_no_candidate(name):
    assert finding(file(), video(1, name), owned={"VI1"}) == Absent()


@pytest.mark.parametrize("made", [SENT - CLOCK_SLACK_MS - 1, NOW + CLOCK_SLACK_MS + 1])
def test_a_video_made_at_another_time_is_no_candidate(made):
    assert finding(file(), video(1, made=made)) == Absent()


@pytest.mark.parametrize("made", [SENT - CLOCK_SLACK_MS, SENT, NOW, NOW + CLOCK_SLACK_MS])
def test_a_video_made_between_the_send_and_now_is_one_clocks_being_what_they_are(made):
    assert finding(file(), video(1, made=made)) == Adopt("VI1")


def test_the_time_can_be_read_from_the_id():
    old = Video("VI631413884779040768")  # 2025-10-09T08:53:21Z, contract A.6
    assert created_ms(old) == pytest.approx(1_760_000_001_234, abs=60)
    assert finding(file(), old) == Adopt(old.video_no)
    assert finding(file(since_ms=SENT + 10**7, until_ms=NOW + 10**7), old) == Absent()


def test_a_time_that_nobody_knows_does_not_exclude():
    assert finding(file(), video(1, made=None)) == Adopt("VI1")


def test_a_known_different_size_excludes():
    assert finding(file(size=1000), video(1, size=999)) == Absent()


@pytest.mark.parametrize(("ours", "theirs"), [(1000, 1000), (1000, None), (None, 1000), (None, None)])
def test_an_unknown_size_does_not_exclude(ours, theirs):
    assert finding(file(size=ours), video(1, size=theirs)) == Adopt("VI1")


# The only candidate of the only unsettled submission


def test_two_candidates_are_ambiguous():
    assert finding(file(), video(1), video(2)) == Ambiguous(("VI1", "VI2"))


def test_one_candidate_of_two_unsettled_is_ambiguous_for_both():
    assert settle([file(1, MINE), file(2, OTHER)], [video(1)], (), ()) == {
        1: Ambiguous(("VI1",)),
        2: Ambiguous(("VI1",)),
    }


def test_a_submission_under_way_makes_it_ambiguous():
    assert finding(file(), video(1), under_way=[file(2, OTHER)]) == Ambiguous(("VI1",))


def test_a_submission_under_way_is_told_nothing():
    assert set(settle([file(1)], [video(1)], (), (), [file(2, OTHER)])) == {1}


def test_what_another_short_id_claims_leaves_the_rest():
    others = [file(2, OTHER)]
    taken, free = video(1, f"city [{OTHER}]"), video(2)
    assert finding(file(), taken, free, others=others) == Ambiguous(("VI2",))
    assert finding(file(), taken, free, other_short_ids=[OTHER]) == Adopt("VI2")


# Links


@pytest.mark.parametrize("name", ["loading-dock", "Loading-Dock.mp4", "9f_loading%2Ddock_17", b"loading-dock".hex()])
def test_a_link_is_known_by_the_last_piece_of_its_path(name):
    assert finding(link(1, "loading-dock"), video(1, name), video(2, "beach")) == Adopt("VI1")


def test_a_link_is_known_by_name_even_while_others_are_unsettled():
    others = [link(2, "gate"), file(3)]
    assert finding(link(1, "dock"), video(1, "dock"), video(2, "gate"), others=others) == Adopt("VI1")
    assert finding(others[0], video(1, "dock"), video(2, "gate"), others=[link(1, "dock"), file(3)]) == Adopt("VI2")


@pytest.mark.parametrize("rival", ["clip", "cli", "Clip"])
def test_another_unsettled_link_that_matches_the_name_is_a_rival(rival):
    assert finding(link(1, "clip"), video(1, "clip"), others=[link(2, rival)]) == Ambiguous(("VI1",))


def test_a_link_under_way_that_matches_the_name_is_a_rival():
    assert finding(link(1, "clip"), video(1, "clip"), under_way=[link(2, "clip")]) == Ambiguous(("VI1",))


def test_a_link_that_matches_another_name_is_no_rival():
    assert finding(link(1, "clip"), video(1, "clip"), others=[link(2, "clip2")]) == Adopt("VI1")


def test_two_videos_of_one_name_are_ambiguous():
    assert finding(link(1, "clip"), video(1, "clip"), video(2, "clip 2")) == Ambiguous(("VI1", "VI2"))


def test_a_link_whose_name_does_not_come_back_may_still_be_the_only_candidate():
    assert finding(link(1, "clip"), video(1, "7c1e9a40b35d4f8e92a6d0b7134c5e2f")) == Adopt("VI1")


def test_the_size_and_the_time_hold_for_links_too():
    outside = video(1, "clip", made=SENT - 10 * CLOCK_SLACK_MS)
    assert finding(link(1, "clip"), outside) == Absent()
    assert finding(link(1, "clip", size=5), video(1, "clip", size=6)) == Absent()


# Whatever the list

_SHORT_IDS = ["aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc", "aaaaabbbbb", "bbbbbaaaaa"]
_HINTS = ["clip", "clip2", "lip", "a", None]


@st.composite
def _submissions(draw: st.DrawFn, first: int) -> list[Unsettled]:
    short_ids = draw(st.lists(st.sampled_from(_SHORT_IDS), unique=True, max_size=4))
    return [
        Unsettled(
            first + number,
            short_id,
            SENT + draw(st.sampled_from([0, 10**6])),
            NOW + draw(st.sampled_from([0, 10**6])),
            draw(st.sampled_from([None, 1, 2])),
            draw(st.sampled_from(_HINTS)),
        )
        for number, short_id in enumerate(short_ids)
    ]


_NAME_PIECES = st.sampled_from([*_SHORT_IDS, "clip", "clip2", " ", "[", "]", "%5B", "aaaaa"])
_VIDEOS = st.lists(
    st.builds(
        video,
        st.integers(1, 6),
        st.none() | st.lists(_NAME_PIECES, max_size=5).map("".join) | _NAME_PIECES.map(lambda n: n.encode().hex()),
        st.none() | st.sampled_from([SENT, NOW, SENT + 10**6, 0]),
        st.sampled_from([None, 1, 2]),
    ),
    max_size=6,
    unique_by=lambda one: one.video_no,
)


@given(_submissions(first=1), _VIDEOS, st.sets(st.sampled_from(_SHORT_IDS)), st.sets(st.sampled_from(["VI1", "VI2"])))
def test_no_video_is_given_to_two_submissions(unsettled, videos, other_short_ids, owned):
    others = other_short_ids - {one.short_id for one in unsettled}
    findings = settle(unsettled, videos, owned, others)
    assert set(findings) == {one.submission_id for one in unsettled}
    adopted = [found for found in findings.values() if isinstance(found, Adopt)]
    given_away = Counter(number for found in adopted for number in (found.video_no, *found.also))
    assert not [number for number, times in given_away.items() if times > 1]
    assert not set(given_away) & owned


@given(_submissions(first=1), _VIDEOS, _submissions(first=100))
def test_a_submission_under_way_never_makes_the_finding_surer(unsettled, videos, under_way):
    taken = {one.short_id for one in unsettled}
    under_way = [one for one in under_way if one.short_id not in taken]
    alone = settle(unsettled, videos, (), {one.short_id for one in under_way})
    beside = settle(unsettled, videos, (), (), under_way)
    for number, found in beside.items():
        assert found == alone[number] or (isinstance(alone[number], Adopt) and isinstance(found, Ambiguous))


@given(_submissions(first=1), st.permutations(range(4)), _VIDEOS)
def test_the_order_of_the_list_does_not_matter(unsettled, order, videos):
    shuffled = [videos[i] for i in order if i < len(videos)] + videos[4:]
    one_way, other_way = settle(unsettled, videos, (), ()), settle(unsettled, shuffled, (), ())
    for number, found in one_way.items():
        if isinstance(found, Ambiguous):
            assert isinstance(other_way[number], Ambiguous)
            assert set(found.video_nos) == set(other_way[number].video_nos)
        else:
            assert found == other_way[number]


# Short ids in names


def test_every_short_id_in_the_names_is_found():
    made = [new_short_id() for _ in range(50)]
    shapes = [
        lambda one: f"clip [{one}]",
        lambda one: f"%5B{one}%5D",
        lambda one: f"clip [{one}]".encode().hex(),
        lambda one: f"CLIP{one.upper()}END",
    ]
    for shape in shapes:
        assert set(made) <= short_ids_in([video(n, shape(one)) for n, one in enumerate(made)])


def test_names_without_one_hold_none():
    assert short_ids_in([video(1, None), video(2, ""), video(3, "beach 2024"), video(4, "010101010101")]) == set()


# The name a file travels under


@pytest.mark.parametrize(
    ("original", "sent"),
    [
        ("beach.mp4", f"beach [{MINE}].mp4"),
        ("beach", f"beach [{MINE}]"),
        ("a.b.c.MP4", f"a.b.c [{MINE}].MP4"),
        (".hidden", f".hidden [{MINE}]"),
        (".hidden.mp4", f".hidden [{MINE}].mp4"),
        ("dot.", f"dot [{MINE}]"),
        ("plage d'été 🏖.mov", f"plage d'été 🏖 [{MINE}].mov"),
        ('say "hi".mp4', f"say _hi_ [{MINE}].mp4"),
        ("a/b\\c.mp4", f"a_b_c [{MINE}].mp4"),
        ("line\nbreak\0.mp4", f"line_break_ [{MINE}].mp4"),
        ("half \ud83d.mp4", f"half _ [{MINE}].mp4"),
        (f"beach [{OTHER}].mp4", f"beach [{OTHER}] [{MINE}].mp4"),
    ],
)
def test_a_file_travels_under_a_name_that_ends_in_the_short_id(original, sent):
    assert sent_name(original, MINE) == sent


@pytest.mark.parametrize("original", ["beach.mp4", "beach", ".hidden", "a.b.c.MP4", "plage d'été.mov"])
def test_without_short_ids_the_name_stays(original):
    assert sent_name(original, None) == original


def test_a_long_name_is_cut_and_its_short_id_is_not():
    name = sent_name("x" * 5000 + ".mp4", MINE)
    assert name == "x" * 120 + f" [{MINE}].mp4"


@given(st.text(st.characters(exclude_categories=()), max_size=300), st.sampled_from([".mp4", ".MOV", ".webm"]))
def test_every_sent_name_can_be_sent_and_found_again(stem, extension):
    name = sent_name(stem + extension, MINE)
    name.encode()
    assert not re.search(r'[\x00-\x1f\x7f/\\"]', name)
    # However the vendor returns it: whole, or cut at its last dot.
    for returned in (name, name.rpartition(".")[0] or name):
        assert finding(file(), video(1, returned), video(2, "foreign")) == Adopt("VI1")
