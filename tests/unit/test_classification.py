"""We read addresses as yt-dlp does, or say why not (``python -m benchmarks.classification`` prints it)."""

from functools import cache

from benchmarks import classification
from benchmarks.classification import CHANNEL, OTHER, PLAYLIST, POST, PROFILE, TAG, Case, Verdict


@cache
def _cases() -> list[Case]:
    return classification.compare()


def test_yt_dlp_still_brings_its_tests():
    assert len(_cases()) > 220
    assert {case.theirs.kind for case in _cases()} == {POST, PROFILE, CHANNEL, PLAYLIST, TAG, OTHER}


def test_every_disagreement_is_explained():
    assert classification.unexplained(_cases()) == []


def test_every_explanation_explains_something():
    assert classification.outlived(_cases()) == []


def test_most_addresses_of_the_platforms_are_read_alike():
    """What is left is a choice of ours; a reason that swallows more than it was written for is seen here."""
    on_platform = [case for case in _cases() if classification._is_on_platform(case.url)]
    assert sum(case.agrees for case in on_platform) / len(on_platform) > 0.93


def test_a_disagreement_without_a_reason_is_seen():
    lost = Case("https://www.tiktok.com/@name", Verdict("tiktok", PROFILE, "@name"), Verdict("tiktok", OTHER))
    assert classification.unexplained([lost]) == [lost]
    assert classification.outlived([lost]) == list(classification.REASONS)


def test_ids_are_those_that_the_platform_told():
    """Two differ: a video that YouTube plays another one for, and a video in a list, where the list was asked for."""
    others, told = classification.told_otherwise(_cases())
    assert told > 60
    assert len(others) <= 2
