"""What may be imported through a door whose user must not read the machine's files."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from ingest.captioning import Question, read_question
from ingest.settings import ConfigurationError, Settings, read
from ingest.sources.found import Options
from ingest.sources.resolve import Plan, examine
from ingest.sources.roots import LEADS_OUT, Roots


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder that may be imported from, beside one that may not."""
    for name in ("library/a.mp4", "library/inner/b.mp4", "private/secret.mp4", "private/list.txt", "library-2/c.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path / "library"


@pytest.fixture
def private(library: Path) -> Path:
    return library.parent / "private"


def _examine(*sources: object, roots: list[Path], options: Options | None = None) -> Plan:
    stdin = io.StringIO("https://media.example/from-stdin.mp4\n")
    return examine([str(one) for one in sources], stdin=stdin, roots=Roots(roots), options=options or Options())


def _taken(plan: Plan) -> list[str]:
    assert plan.problems == []
    return [one.source for one in plan.found()]


def _only_problem(*sources: object, roots: list[Path]) -> str:
    plan = _examine(*sources, roots=roots)
    [problem] = plan.problems
    assert list(plan.found()) == []
    return problem


def _refused(source: object, library: Path) -> None:
    assert "is not in a folder of INGEST_LIBRARY_ROOTS" in _only_problem(source, roots=[library])


def test_a_file_in_a_root_is_taken(library):
    assert _taken(_examine(library / "inner" / "b.mp4", roots=[library])) == [str(library / "inner" / "b.mp4")]


def test_the_root_itself_is_taken(library):
    assert _taken(_examine(library, roots=[library])) == [str(library / "a.mp4"), str(library / "inner" / "b.mp4")]


def test_each_of_several_roots_counts(library, private):
    assert len(_taken(_examine(library / "a.mp4", private / "secret.mp4", roots=[library, private]))) == 2


def test_the_whole_machine_may_be_a_root(library):
    assert _taken(_examine(library / "a.mp4", roots=[Path("/")])) == [str(library / "a.mp4")]


def test_links_and_posts_are_free():
    assert len(_taken(_examine("https://media.example/a.mp4", "https://youtu.be/BaW_jenozKc", roots=[]))) == 2


def test_without_roots_no_path_is_taken(library):
    assert "INGEST_LIBRARY_ROOTS names no folder" in _only_problem(library / "a.mp4", roots=[])


def test_a_path_out_of_the_roots_is_refused(library, private):
    _refused(private / "secret.mp4", library)
    _refused(private, library)


def test_a_folder_whose_name_begins_as_that_of_a_root_is_refused(library):
    _refused(library.parent / "library-2" / "c.mp4", library)


def test_the_way_back_out_of_a_root_is_refused(library):
    _refused(f"{library}/../private/secret.mp4", library)
    _refused(f"{library}/inner/../../private/secret.mp4", library)


@pytest.mark.parametrize(
    "source", ["a.mp4", "./a.mp4", "~/a.mp4", "../private/secret.mp4", "media.example/a.mp4", " /a.mp4"]
)
def test_a_relative_path_is_refused(library, monkeypatch, source):
    monkeypatch.chdir(library)
    assert "is no whole path" in _only_problem(source, roots=[library])


def test_standard_input_is_refused(library):
    assert "standard input" in _only_problem("-", roots=[library])


@pytest.mark.parametrize("source", ["/\0.mp4", "/\ud800.mp4"])
def test_what_is_no_path_is_refused(library, source):
    _refused(f"{library}{source}", library)


def test_nobody_learns_whether_something_is_there(library, private):
    (library / "there").symlink_to(private / "secret.mp4")
    (library / "gone").symlink_to(private / "nothing.mp4")
    (library / "door").symlink_to(private)
    (library / "wall").symlink_to(private / "nothing")
    pairs = [
        (private / "secret.mp4", private / "nothing.mp4"),
        (private, private.parent / "nothing"),
        (private / "list.txt", private / "nothing.txt"),
        (library / "there", library / "gone"),
        (library / "door" / "secret.mp4", library / "door" / "nothing.mp4"),
        (library / "door" / "list.txt", library / "wall" / "list.txt"),
    ]
    for there, gone in pairs:
        told = [_only_problem(one, roots=[library]).replace(str(one), "X") for one in (there, gone)]
        assert told[0] == told[1]
        assert "exist" not in told[0]


def test_of_a_path_out_of_the_roots_nothing_is_read(library, private, monkeypatch):
    looked = []
    for name in ("stat", "lstat", "scandir", "readlink"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda path, *a, real=real, **k: looked.append(os.fspath(path)) or real(path, *a, **k)
        )
    _refused(private / "secret.mp4", library)
    assert [path for path in looked if str(path).startswith(str(private))] == []


def test_a_link_out_of_the_roots_is_refused(library, private):
    (library / "way.mp4").symlink_to(private / "secret.mp4")
    _refused(library / "way.mp4", library)


def test_a_folder_that_holds_a_link_out_of_the_roots_is_refused(library, private):
    (library / "inner" / "way.mp4").symlink_to(private / "secret.mp4")
    problem = _only_problem(library, roots=[library])
    assert str(library / "inner" / "way.mp4") in problem and LEADS_OUT in problem


def test_a_folder_behind_a_link_out_of_the_roots_is_not_entered(library, private):
    (library / "way").symlink_to(private)
    assert LEADS_OUT in _only_problem(library, roots=[library])
    _refused(library / "way" / "secret.mp4", library)


def test_a_link_that_comes_later_is_skipped_and_not_followed(library, private):
    plan = _examine(library, roots=[library])
    (library / "way").symlink_to(private)
    (library / "way.mp4").symlink_to(private / "secret.mp4")
    found = {one.source: one.skip for one in plan.found()}
    assert found[str(library / "way")] == found[str(library / "way.mp4")] == LEADS_OUT
    assert not any("secret" in source for source in found)


def test_a_link_within_the_roots_is_followed(library, private):
    (library / "same.mp4").symlink_to(library / "inner" / "b.mp4")
    (library / "way").symlink_to(private)
    assert _taken(_examine(library / "same.mp4", roots=[library])) == [str(library / "same.mp4")]
    assert str(library / "way" / "secret.mp4") in _taken(_examine(library, roots=[library, private]))


def test_a_root_may_be_a_link_itself(library):
    root = library.parent / "mounted"
    root.symlink_to(library)
    assert _taken(_examine(root / "a.mp4", roots=[root])) == [str(root / "a.mp4")]
    assert _taken(_examine(library / "a.mp4", roots=[root])) == [str(library / "a.mp4")]


def test_a_link_into_a_root_from_elsewhere_is_refused(library, private):
    (private / "way").symlink_to(library)
    _refused(private / "way" / "a.mp4", library)


def test_a_manifest_out_of_the_roots_is_not_read(library, private):
    (private / "list.txt").write_text("the contents of another's file\n")
    _refused(private / "list.txt", library)
    (library / "list.txt").symlink_to(private / "list.txt")
    _refused(library / "list.txt", library)


def test_a_manifest_in_a_root_names_only_what_is_in_one(library, private):
    (library / "way.mp4").symlink_to(private / "secret.mp4")
    rows = [
        "inner/b.mp4",
        "../private/secret.mp4",
        str(private / "nothing.mp4"),
        "way.mp4",
        str(private),
        "https://media.example/a.mp4",
    ]
    (library / "list.txt").write_text("\n".join(rows))
    plan = _examine(library / "list.txt", roots=[library])
    assert [problem.partition(":")[0].rpartition(" ")[2] for problem in plan.problems] == ["2", "3", "4", "5"]
    assert all("is not in a folder of INGEST_LIBRARY_ROOTS" in problem for problem in plan.problems)
    assert [one.source for one in plan.found()] == [str(library / "inner" / "b.mp4"), "https://media.example/a.mp4"]


def test_what_a_manifest_names_is_looked_at_again_when_it_is_taken(library, private):
    (library / "list.txt").write_text("a.mp4\ninner\n")
    plan = _examine(library / "list.txt", roots=[library])
    (library / "a.mp4").unlink()
    (library / "a.mp4").symlink_to(private / "secret.mp4")
    (library / "inner").rename(library / "outer")
    (library / "inner").symlink_to(private)
    assert [(one.source, one.skip) for one in plan.found()] == [
        (str(library / "a.mp4"), LEADS_OUT),
        (str(library / "inner"), LEADS_OUT),
    ]


# Pictures of persons


def _ask(person: object, *roots: Path) -> tuple[tuple[str, str], ...]:
    question = Question("Who is it?", "Look.", [f"Ann={person}"], thinking=False, sync=True, split=False)
    return read_question(read(Settings), question, Roots(roots)).persons


def test_a_person_s_picture_is_a_link_or_lies_in_a_root(library, private, monkeypatch):
    Image.new("RGB", (64, 64)).save(library / "ann.jpg")
    assert _ask(library / "ann.jpg", library) == (("Ann", str(library / "ann.jpg")),)
    assert _ask("https://media.example/ann.jpg") == (("Ann", "https://media.example/ann.jpg"),)
    Image.new("RGB", (64, 64)).save(private / "ann.jpg")
    (library / "way.jpg").symlink_to(private / "ann.jpg")
    (library / "way").symlink_to(private / "deeper")
    (private / "deeper").mkdir()
    monkeypatch.chdir(library)
    for source in (
        private / "ann.jpg",
        private / "nothing.jpg",
        library / "way.jpg",
        library / "way/../ann.jpg",
        "ann.jpg",
    ):
        with pytest.raises(ConfigurationError, match=r"--person Ann: .* is not in a folder of INGEST_LIBRARY_ROOTS"):
            _ask(source, library)
