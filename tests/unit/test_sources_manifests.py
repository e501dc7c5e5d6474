import csv
import io
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.found import Found, Kind, Options, SourceError
from ingest.sources.manifests import LONGEST_LINE, BadManifest, Row, rows
from ingest.sources.resolve import examine, resolve

_POST = "https://youtu.be/BaW_jenozKc"
_TIKTOK = "https://www.tiktok.com/@some.one/video/7234567890123456789"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.mp4", "videos/c.mp4", "videos/d.mp4", "my, own.mp4", "two\nlines.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def _write(folder: Path, text: str | bytes, name: str = "list.csv") -> str:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return name


def _found(folder: Path, text: str | bytes, name: str = "list.csv", **options) -> list[Found]:
    return list(resolve([_write(folder, text, name)], cwd=folder, **options))


def _problems(folder: Path, text: str | bytes, name: str = "list.csv", **options) -> list[str]:
    with pytest.raises(SourceError) as caught:
        resolve([_write(folder, text, name)], cwd=folder, **options)
    return caught.value.problems


def _only_problem(folder: Path, text: str | bytes, name: str = "list.csv", **options) -> str:
    [problem] = _problems(folder, text, name, **options)
    assert "\n" not in problem and problem.endswith((".", '("").', "`"))
    return problem


def _names(found: list[Found]) -> list[str]:
    return [Path(one.source).name for one in found]


# CSV


def test_a_row_of_a_table_is_an_item_with_its_own_options(folder):
    text = (
        "source,unique_id,library,quality,tags,datetime_taken,camera_model,latitude,longitude,title\n"
        "a.mp4,anna,private,,sea;summer,2026-07-01T12:00:00+02:00,Canon,48.1,11.5,Beach\n"
        f"{_POST},,public,1080,,,,,,\n"
    )
    one, two = _found(folder, text)
    assert (one.source, one.origin) == (f"{folder}/a.mp4", "list.csv line 2")
    assert one.options == Options(
        unique_id="anna",
        library="private",
        tags=("sea", "summer"),
        datetime_taken="2026-07-01 10:00:00",
        camera_model="Canon",
        latitude=48.1,
        longitude=11.5,
        title="Beach",
    )
    assert (two.kind, two.options) == (Kind.POST, Options(library="public", quality=1080))


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_mark_in_front_and_every_end_of_line_is_understood(folder, mark, end):
    found = _found(folder, f"{mark}source,title{end}a.mp4,é{end}{end}b.mp4,x")
    assert [(one.options.title, one.origin) for one in found] == [("é", "list.csv line 2"), ("x", "list.csv line 4")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_header_shows_the_delimiter(folder, delimiter):
    text = f'title{delimiter}source{delimiter}tags\nx{delimiter}a.mp4{delimiter}"p;q"\n'
    [found] = _found(folder, text)
    assert (Path(found.source).name, found.options) == ("a.mp4", Options(title="x", tags=("p", "q")))


def test_columns_stand_in_any_order_and_case_and_blanks_may_follow_each_delimiter(folder):
    [found] = _found(folder, 'Tags, Source, TITLE\n"a;b", "my, own.mp4", x\n')
    assert (Path(found.source).name, found.options) == ("my, own.mp4", Options(tags=("a", "b"), title="x"))


def test_a_quoted_field_may_hold_delimiters_quotes_and_ends_of_lines(folder):
    text = 'source,title\n"my, own.mp4","say ""hi"""\n"two\nlines.mp4","a\nb"\na.mp4,x\n'
    found = _found(folder, text)
    assert _names(found) == ["my, own.mp4", "two\nlines.mp4", "a.mp4"]
    assert [one.options.title for one in found] == ['say "hi"', "a b", "x"]
    assert [one.origin for one in found] == [f"list.csv line {line}" for line in (2, 3, 6)]


def test_the_line_of_a_problem_is_where_its_row_begins(folder):
    text = 'source,title\n\n"a.mp4","1\n2\n3"\n"gone\n.mp4",x\nnope.mp4,"\n"\n'
    starts = [problem.split(": ")[0] for problem in _problems(folder, text)]
    assert starts == ["list.csv line 6", "list.csv line 8"]


@given(
    st.lists(
        st.tuples(st.text(min_size=1).filter(str.strip), st.text(st.characters(exclude_categories=["Cc", "Cs"]))),
        min_size=1,
    ),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_every_row_that_a_writer_writes_is_found_again_on_its_line(written, delimiter, end, encoding, quoting):
    if any("\r" in source for source, _ in written):
        quoting = csv.QUOTE_ALL  # before Python 3.13 a writer leaves a lone \r bare, which no reader understands
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(["source", "title"])
    expected = []
    for source, title in written:
        line = 1 + len(io.StringIO(text.getvalue(), newline=None).read().split("\n")[:-1])
        expected.append((line, source, title.strip() or None))
        writer.writerow([source, title])
    read = rows(io.BytesIO(text.getvalue().encode(encoding)), "csv")
    assert [(row.line, row.source, row.options.title, row.wrong) for row in read] == [(*one, None) for one in expected]


@given(st.binary() | st.text().map(lambda text: f"source,tags\n{text}".encode()), st.sampled_from(["csv", "jsonl"]))
def test_no_odd_manifest_crashes_and_lines_only_grow(data, format):
    found: list[Row] = []
    try:
        found.extend(rows(io.BytesIO(data), format))
    except BadManifest:
        assert not found
    lines = [row.line for row in found]
    assert lines == sorted(set(lines))
    assert all(row.wrong or row.source for row in found)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "'list.csv' is empty: its first line must name the columns"),
        ("\ufeff\n \n", "'list.csv' is empty"),
        ("source,tags\n", "'list.csv' names no source: no row follows its header."),
        ("source,tags\n\n,\n", "'list.csv' names no source"),
        ("a.mp4\nb.mp4\n", "list.csv line 1: this line must name the columns: `source` and any of unique_id,"),
        ("\n\ntags,title\na,b\n", "list.csv line 3: this line must name the columns"),
        ("source,tags,Source\n", "list.csv line 1: the column source is named twice."),
        ("source,,tags\n", "list.csv line 1: column 2 has no name."),
        ("source;colour\n", "list.csv line 1: unknown column 'colour'; the right ones are source, unique_id,"),
        ("source,a,b\n", "list.csv line 1: unknown columns 'a', 'b'; the right ones are source,"),
        ('source,"tags\n', "list.csv line 1: this line must name the columns"),
        (b"source,caf\xe9\n", "list.csv line 1: not valid UTF-8"),
        ("source\na.mp4\n".encode("utf-16"), "'list.csv' is UTF-16; save the list as UTF-8."),
    ],
)
def test_a_table_that_is_none_gets_one_sentence(folder, text, problem):
    assert _only_problem(folder, text).startswith(problem)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("my, own.mp4,x", "it has 3 fields, but the header names 2; a field that holds a comma must stand in quotes."),
        (",x", "its source is empty."),
        (b"caf\xe9.mp4,x", "not valid UTF-8"),
        ('"a".mp4,x', "text follows a closing quote"),
        ('"a.mp4,x', "a quote that is opened in this row is never closed"),
        (f'"{"x" * 200_000}', "a field has more than 131,072 characters"),
        ("x" * (LONGEST_LINE + 1), "longer than 1,000,000 characters"),
        ("list.csv,x", "is another manifest"),
        ("list.ndjson,x", "is another manifest"),
        ("-,x", "cannot be named inside a manifest"),
        (f"a.mp4,{';'.join('abcdefghijklmnopqrstuvw')}", "tags holds 23"),
    ],
)
def test_a_row_that_cannot_be_taken_gets_one_sentence_with_its_line(folder, row, words):
    (folder / "list.ndjson").touch()
    row = row if isinstance(row, bytes) else row.encode()
    problem = _only_problem(folder, b"source,tags\na.mp4,x\n" + row)
    assert problem.startswith("list.csv line 3: ") and words in problem
    assert len(problem) < 2_100


def test_all_that_is_wrong_with_a_row_is_told_in_one_entry(folder):
    problem = _only_problem(folder, "source,quality,latitude\ngone.mp4,1,2\n")
    assert problem.startswith("list.csv line 2: 'gone.mp4' does not exist. quality is '1'")
    assert "latitude is given without longitude" in problem


def test_empty_fields_at_the_end_as_spreadsheets_write_them_are_no_fields(folder):
    assert _names(_found(folder, "source,tags,,\na.mp4,x,,,,\n,,,\nb.mp4\n")) == ["a.mp4", "b.mp4"]


def test_a_broken_row_does_not_hide_the_rows_behind_it(folder):
    _write(folder, 'source\n"a"x\nb.mp4\n')
    plan = examine(["list.csv"], cwd=folder)
    assert plan.invalid == 1 and _names(list(plan.found())) == ["b.mp4"]


def test_the_options_of_a_folder_hold_for_all_its_files(folder):
    found = _found(folder, "source,tags\nvideos,x\n")
    assert _names(found) == ["c.mp4", "d.mp4"]
    assert {one.options.tags for one in found} == {("x",)}
    assert {one.origin for one in found} == {"list.csv line 2"}


# JSON lines


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson", "JSONL"])
def test_each_line_of_json_is_an_item(folder, suffix):
    lines = [
        '{"source": "a.mp4", "tags": ["x", "y;z"], "latitude": 1, "longitude": -2.5, "title": null}',
        "",
        '  {"source": "b.mp4", "tags": "x;y", "latitude": "1", "longitude": "2"}',
        json.dumps({"source": _POST, "quality": 1080, "unique_id": "änna"}),
    ]
    found = _found(folder, "\ufeff" + "\r\n".join(lines), f"list.{suffix}")
    assert [(one.origin, one.options) for one in found] == [
        (f"list.{suffix} line 1", Options(tags=("x", "y;z"), latitude=1.0, longitude=-2.5)),
        (f"list.{suffix} line 3", Options(tags=("x", "y"), latitude=1.0, longitude=2.0)),
        (f"list.{suffix} line 4", Options(quality=1080, unique_id="änna")),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"source": "a.mp4"', "no valid JSON: "),
        ("a.mp4", "no valid JSON: Expecting value at column 1."),
        ('["a.mp4"]', "each line must hold one object"),
        ("{}", 'it has no "source".'),
        ('{"source": null}', 'it has no "source".'),
        ('{"source": 5}', "source is 5, but must be a text."),
        ('{"source": ""}', "An empty source was given."),
        ('{"source": "a.mp4", "source": "b.mp4"}', "'source' stands in it twice."),
        ('{"source": "a.mp4", "colour": "red"}', "unknown column 'colour'; the right ones are source,"),
        ('{"source": "a.mp4", "latitude": NaN, "longitude": 1}', "latitude is nan"),
        ('{"source": "a.mp4", "unique_id": ""}', "unique_id is empty"),
        (f'{{"source": "a.mp4", "quality": {"7" * 5000}}}', "a number too long"),
        ("[" * 100_000, "nested too deep"),
        ('{"source": "\\ud800.mp4"}', "is no path"),
        (b'{"source": "caf\xe9.mp4"}', "not valid UTF-8"),
    ],
)
def test_a_line_of_json_that_cannot_be_taken_gets_one_sentence(folder, line, words):
    line = line if isinstance(line, bytes) else line.encode()
    problem = _only_problem(folder, b'{"source": "a.mp4"}\n\n' + line, "list.jsonl")
    assert problem.startswith("list.jsonl line 3: ") and words in problem


@pytest.mark.parametrize("text", ["", "\n  \n", "\ufeff"])
def test_json_lines_that_name_nothing_are_a_problem(folder, text):
    assert _only_problem(folder, text, "list.jsonl") == "'list.jsonl' names no source: every line is empty."


# Standard input


@pytest.mark.parametrize(
    ("format", "text"), [("text", "a.mp4\n"), ("csv", "source\na.mp4\n"), ("jsonl", '{"source": "a.mp4"}\n')]
)
def test_standard_input_is_a_manifest_of_the_format_that_was_named(folder, format, text):
    stdin = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="ascii")
    plan = examine(["-"], cwd=folder, stdin=stdin, format=format)
    # It was kept: the items can be asked for again.
    assert _names(list(plan.found())) == _names(list(plan.found())) == ["a.mp4"]
    [found] = plan.found()
    assert found.origin == f"standard input line {2 if format == 'csv' else 1}"


def test_the_format_says_nothing_about_manifests_with_a_name(folder):
    assert _names(_found(folder, "a.mp4\n", "list.txt", format="csv")) == ["a.mp4"]


def test_an_unknown_format_is_a_mistake_of_the_caller(folder):
    with pytest.raises(ValueError, match="xml"):
        examine([], format="xml")  # type: ignore[arg-type]


def test_standard_input_that_cannot_be_read_is_a_problem(folder):
    with Path(os.devnull).open("wb") as closed, io.TextIOWrapper(closed) as stdin:
        plan = examine(["-"], cwd=folder, stdin=stdin)
    assert "'-' (standard input) cannot be read" in plan.problems[0]


# Options of the command line, and what an item can use


def test_options_of_the_command_line_stand_below_those_of_the_row(folder):
    options = Options(unique_id="all", tags=("cli",), title="T")
    one, two = _found(folder, "source,unique_id,tags\na.mp4,anna,\nb.mp4,,row\n", options=options)
    assert one.options == Options(unique_id="anna", tags=("cli",), title="T")
    assert two.options == Options(unique_id="all", tags=("row",), title="T")


def test_options_of_the_command_line_hold_for_every_kind_of_source(folder):
    _write(folder, "b.mp4\n", "list.txt")
    options = Options(unique_id="anna", tags=("x",))
    sources = ["a.mp4", "videos", "https://example.com/x.mp4", "list.txt"]
    assert {one.options for one in resolve(sources, cwd=folder, options=options)} == {options}


def test_only_posts_go_to_the_public_library(folder):
    plan = examine(
        ["a.mp4", "videos", "https://example.com/x.mp4", _POST], cwd=folder, options=Options(library="public")
    )
    assert plan.problems == [
        "Only posts can go to the public library; 'a.mp4' is a file.",
        "Only posts can go to the public library; 'videos' is a folder.",
        "Only posts can go to the public library; 'https://example.com/x.mp4' is a link.",
    ]
    assert [one.options.library for one in plan.found()] == ["public"]


def test_a_row_may_keep_a_file_out_of_the_public_library(folder):
    text = f"source,library\na.mp4,private\n{_POST},\n"
    found = _found(folder, text, options=Options(library="public"))
    assert [one.options.library for one in found] == ["private", "public"]
    assert "'b.mp4' is a file" in _only_problem(folder, "source,library\nb.mp4,public\n")


def test_quality_is_kept_for_posts_of_youtube_alone(folder):
    text = f"source,quality\na.mp4,720\nhttps://example.com/x.mp4,720\n{_TIKTOK},720\n{_POST},720\n"
    assert [one.options.quality for one in _found(folder, text)] == [None, None, None, 720]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"tags": ["x"]}, "tags"),
        ({"datetime_taken": "2026-07-01"}, "datetime_taken"),
        ({"camera_model": "Canon"}, "camera_model"),
        ({"latitude": 1, "longitude": 2}, "latitude or longitude"),
    ],
)
def test_what_the_vendor_takes_with_no_post_is_refused_in_the_row_of_a_post(folder, given, names):
    problem = _only_problem(folder, json.dumps({"source": _POST, **given}), "list.jsonl")
    assert problem.startswith(f"list.jsonl line 1: '{_POST}' is a post, and Memories.ai takes no {names} with one")


def test_what_the_vendor_takes_with_no_post_is_left_out_when_the_command_line_says_it(folder):
    options = Options("anna", "private", 720, ("x",), "2026-07-01 00:00:00", "Canon", 1.0, 2.0, "T")
    [found] = resolve([_POST], options=options)
    assert found.options == Options("anna", "private", 720, title="T")


# Large ones


def test_three_broken_lines_of_ten_thousand_are_named_and_nothing_else(folder):
    lines = ["source,tags,latitude,longitude", *["a.mp4,x;y,48.1,11.5"] * 10_000]
    lines[17], lines[5_000], lines[9_999] = "gone.mp4,,,", "a.mp4,,91,0", "a.mp4,,,,5"
    text = "\r\n".join(lines)
    starts = [problem[:22].rstrip(": '") for problem in _problems(folder, text)]
    assert [start.split(":")[0] for start in starts] == [f"list.csv line {line}" for line in (18, 5_001, 10_000)]
    plan = examine(["list.csv"], cwd=folder)
    assert plan.invalid == 3
    found = [one.origin for one in plan.found()]
    assert found == [f"list.csv line {n}" for n in range(2, 10_002) if n not in (18, 5_001, 10_000)]


@pytest.mark.parametrize(("wrong", "told", "last"), [(100, 100, "line 100"), (101, 101, "... and 1 more")])
def test_after_a_hundred_problems_the_others_are_counted(folder, wrong, told, last):
    _write(folder, "gone.mp4\n" * wrong + "a.mp4\n", "list.txt")
    plan = examine(["list.txt"], cwd=folder)
    assert (plan.invalid, len(plan.problems)) == (wrong, told)
    assert last in plan.problems[-1]
    assert _names(list(plan.found())) == ["a.mp4"]


def test_problems_of_all_sources_are_counted_together(folder):
    _write(folder, "gone.mp4\n" * 5_000, "list.txt")
    plan = examine(["list.txt", "gone.mp4", "list.txt"], cwd=folder)
    assert plan.invalid == 10_001
    assert plan.problems[100:] == ["... and 9,901 more that cannot be taken."]


def _table(folder: Path, count: int) -> str:
    with (folder / "large.csv").open("w") as table:
        table.write("source,unique_id\n")
        table.writelines(f"{'gone' if n % 10 == 9 else 'a'}.mp4,user-{n}\n" for n in range(count))
    return "large.csv"


def test_a_manifest_is_checked_and_yielded_without_being_held(folder):
    name = _table(folder, 20_000)
    examine(["a.mp4"], cwd=folder)
    tracemalloc.start()
    try:
        plan = examine([name], cwd=folder)
        count = sum(1 for _ in plan.found())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (plan.invalid, count) == (2_000, 18_000)
    # The items alone would take 10 MB; what is held is the numbers of the bad lines and a piece of the file.
    assert peak < 2_000_000


_MEASURE = """
import sys
from resource import RUSAGE_SELF, getrusage
from ingest.sources.resolve import examine
before = getrusage(RUSAGE_SELF).ru_maxrss
plan = examine([sys.argv[1]])
count = sum(1 for _ in plan.found())
print(plan.invalid, count, getrusage(RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_manifest_is_quick_and_takes_no_memory_to_speak_of(folder):
    name = _table(folder, 200_000)
    start = monotonic()
    # A process of its own, by its greatest size: tracemalloc would make this four times as slow.
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURE, folder / name], capture_output=True, check=True, text=True, timeout=280
    )
    invalid, count, kilobytes = map(int, measured.stdout.split())
    assert (invalid, count) == (20_000, 180_000)
    assert kilobytes < 20_000
    # Some 5 s, twice that on a busy machine.
    assert monotonic() - start < 60


# Two readings


def _started(plan_found: Iterator[Found]) -> Iterator[Found]:
    next(plan_found)
    return plan_found


@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_a_manifest_that_changed_between_check_and_use_is_refused_by_its_name(folder, name):
    _write(folder, "source\na.mp4\n" if name.endswith("csv") else "a.mp4\n", name)
    found = resolve([name], cwd=folder)
    with (folder / name).open("a") as more:
        more.write("b.mp4\n")
    with pytest.raises(SourceError, match=f"'{name}' was changed after it was checked"):
        next(found)


def test_a_manifest_that_was_replaced_by_one_of_the_same_size_is_refused(folder):
    found = resolve([_write(folder, "a.mp4\n", "list.txt")], cwd=folder)
    _write(folder, "b.mp4\n", "other.txt")
    (folder / "other.txt").replace(folder / "list.txt")
    with pytest.raises(SourceError, match=r"'list.txt' was changed"):
        next(found)


def test_a_manifest_that_is_gone_is_refused_by_its_name(folder):
    found = resolve([_write(folder, "a.mp4\n", "list.txt")], cwd=folder)
    (folder / "list.txt").unlink()
    with pytest.raises(SourceError, match=r"'list.txt' can no longer be read"):
        next(found)


def test_a_manifest_that_changes_while_its_items_are_taken_does_not_end_as_if_it_were_whole(folder):
    found = _started(resolve([_write(folder, "a.mp4\n" * 10, "list.txt")], cwd=folder))
    with (folder / "list.txt").open("a") as more:
        more.write("b.mp4\n")
    with pytest.raises(SourceError, match=r"'list.txt' was changed"):
        list(found)


def test_what_vanished_since_the_check_is_still_an_item(folder):
    found = resolve([_write(folder, "a.mp4\nvideos\nb.mp4\n", "list.txt")], cwd=folder)
    (folder / "a.mp4").unlink()
    for inner in (folder / "videos").iterdir():
        inner.unlink()
    (folder / "videos").rmdir()
    items = list(found)
    assert _names(items) == ["a.mp4", "videos", "b.mp4"]
    assert [(one.size, one.skip) for one in items] == [(None, None), (None, None), (0, None)]


def test_what_appeared_since_the_check_stays_left_out(folder):
    plan = examine([_write(folder, "later.mp4\na.mp4\n", "list.txt")], cwd=folder)
    (folder / "later.mp4").touch()
    assert _names(list(plan.found())) == ["a.mp4"]


def test_links_are_found_again_as_they_were_checked(folder):
    urls = ["https://example.com/watch", "https://vimeo.com/x.mp4", _POST, "https://example.com/x.m3u8"]
    alone = [(one.kind, one.source, one.key, one.platform, one.post_id) for one in resolve(urls)]
    listed = _found(folder, "\n".join(urls), "list.txt")
    assert [(one.kind, one.source, one.key, one.platform, one.post_id) for one in listed] == alone


def test_abandoning_the_items_leaves_nothing_open(folder, recwarn):
    stdin = io.StringIO("a.mp4\nb.mp4\n")
    found = _started(resolve(["-", _write(folder, "a.mp4\nb.mp4\n", "list.txt")], cwd=folder, stdin=stdin))
    next(found)
    next(found)
    found.close()  # type: ignore[attr-defined]
    del found
    assert not list(recwarn)
