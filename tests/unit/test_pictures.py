import os
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from ingest.content import Unfit
from ingest.pictures import LARGEST_PICTURE, PictureFacts, check_picture

TAKEN = "2025:10:09 08:30:00"
#: Vienna, as a camera writes it.
PLACE = {1: "N", 2: (48.0, 12.0, 29.52), 3: "E", 4: (16.0, 22.0, 25.68)}
FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


def make_exif(model: Any = "Example Cam 5", taken: Any = TAKEN, gps: dict[int, Any] | None = None, **more: Any) -> Any:
    exif = Image.Exif()
    if model is not None:
        exif[0x0110] = model
    if taken is not None:
        exif.get_ifd(0x8769)[0x9003] = taken
    exif.get_ifd(0x8769).update({int(tag[1:], 16): value for tag, value in more.items()})
    if gps is not None:
        exif.get_ifd(0x8825).update(gps)
    return exif


def make_picture(path: Path, kind: str = "JPEG", size: tuple[int, int] = (64, 48), **options: Any) -> Path:
    """A picture with some content, so that cutting it off cuts something."""
    noise = random.Random(7).randbytes(size[0] * size[1] * 3)
    Image.frombytes("RGB", size, noise).save(path, kind, **options)
    return path


def unfit(path: Path, **options: Any) -> tuple[str, str]:
    with pytest.raises(Unfit) as error:
        check_picture(path, **options)
    assert str(path) in str(error.value)
    return error.value.code, str(error.value)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".txt", ""])
def test_a_picture_is_known_by_its_content_not_by_its_name(tmp_path, kind, suffix):
    path = make_picture(tmp_path / f"a{suffix}", kind)
    status = path.stat()
    facts = check_picture(path)
    assert facts == PictureFacts(status.st_size, status.st_mtime_ns, 64, 48, kind)
    assert facts.content_type == FORMATS[kind]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_tells_of_its_camera_and_its_time(tmp_path, kind):
    facts = check_picture(make_picture(tmp_path / "a", kind, exif=make_exif(gps=PLACE)))
    assert (facts.camera_model, facts.datetime_taken) == ("Example Cam 5", "2025-10-09 08:30:00")
    assert (facts.latitude, facts.longitude) == (None, None), "nobody asked for the place"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_tells_of_its_place_when_asked(tmp_path, kind):
    facts = check_picture(make_picture(tmp_path / "a", kind, exif=make_exif(gps=PLACE)), with_location=True)
    assert (facts.latitude, facts.longitude) == (48.2082, 16.3738)


def test_south_and_west_are_negative(tmp_path):
    path = make_picture(tmp_path / "a", exif=make_exif(gps={**PLACE, 1: "S", 3: "W"}))
    facts = check_picture(path, with_location=True)
    assert (facts.latitude, facts.longitude) == (-48.2082, -16.3738)


@pytest.mark.parametrize(
    "gps",
    [
        None,
        {},
        {1: "N", 2: PLACE[2]},
        {**PLACE, 1: ""},
        {**PLACE, 1: "X"},
        {**PLACE, 2: (91.0, 0.0, 0.0)},
        {**PLACE, 4: (180.0, 0.0, 1.0)},
        {**PLACE, 2: (IFDRational(1, 0), 0.0, 0.0)},
        {**PLACE, 2: (48.0, 12.0)},
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
    ],
)
def test_half_a_place_or_none_on_earth_is_no_place(tmp_path, gps):
    facts = check_picture(make_picture(tmp_path / "a", exif=make_exif(gps=gps)), with_location=True)
    assert (facts.latitude, facts.longitude) == (None, None)
    assert facts.camera_model == "Example Cam 5"


@pytest.mark.parametrize(
    ("model", "read"),
    [
        ("  Dock Cam \0\0", "Dock Cam"),
        ("", None),
        (" ", None),
        (None, None),
        ("x" * 300, "x" * 200),
    ],
)
def test_a_camera_has_a_tidy_name_or_none(tmp_path, model, read):
    assert check_picture(make_picture(tmp_path / "a", exif=make_exif(model=model))).camera_model == read


@pytest.mark.parametrize(
    ("taken", "more", "read"),
    [
        (TAKEN, {"x9004": "2020:01:01 00:00:00"}, "2025-10-09 08:30:00"),
        (None, {"x9004": TAKEN}, "2025-10-09 08:30:00"),
        ("0000:00:00 00:00:00", {"x9004": TAKEN}, "2025-10-09 08:30:00"),
        ("    :  :     :  :  ", {}, None),
        ("2025:13:40 25:61:61", {}, None),
        ("yesterday", {}, None),
        ("2025:10:09 08:30:00.25", {}, "2025-10-09 08:30:00"),
        (None, {}, None),
    ],
)
def test_a_time_is_one_of_a_clock_that_was_set(tmp_path, taken, more, read):
    assert check_picture(make_picture(tmp_path / "a", exif=make_exif(taken=taken, **more))).datetime_taken == read


def test_the_time_of_an_edit_is_not_the_time_it_was_taken(tmp_path):
    exif = make_exif(taken=None)
    exif[0x0132] = TAKEN
    assert check_picture(make_picture(tmp_path / "a", exif=exif)).datetime_taken is None


def test_a_picture_of_several_is_a_jpeg(tmp_path):
    more = Image.new("RGB", (8, 8))
    facts = check_picture(make_picture(tmp_path / "a", "MPO", save_all=True, append_images=[more]))
    assert (facts.format, facts.width, facts.height) == ("JPEG", 64, 48)


def test_a_moving_picture_is_a_webp(tmp_path):
    more = Image.new("RGB", (64, 48))
    assert check_picture(make_picture(tmp_path / "a", "WEBP", save_all=True, append_images=[more])).format == "WEBP"


def test_what_follows_a_picture_does_not_matter(tmp_path):
    for kind in FORMATS:
        path = make_picture(tmp_path / kind, kind)
        path.write_bytes(path.read_bytes() + b"a trailer of the maker" * 9)
        assert check_picture(path).format == kind


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_picture_of_a_hundred_megapixels_is_a_picture(tmp_path, options):
    Image.new("L", (12_000, 9_000)).save(tmp_path / "a", "JPEG", **options)
    assert check_picture(tmp_path / "a").width == 12_000


# Unfit


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.9, 0.99])
def test_a_picture_that_is_cut_off_is_unfit(tmp_path, kind, part):
    path = make_picture(tmp_path / "a", kind)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    code, said = unfit(path)
    assert code == "not_a_picture" and f"is a broken {kind} picture or is cut off" in said


def test_a_picture_that_claims_more_pixels_than_memory_holds_is_unfit(tmp_path):
    path = make_picture(tmp_path / "a", "WEBP", lossless=True, exif=make_exif())
    whole = bytearray(path.read_bytes())
    assert whole[12:16] == b"VP8X"
    whole[24:30] = b"\xff\xff\x3f" * 2  # the canvas: width and height less one
    path.write_bytes(whole)
    assert unfit(path)[0] in ("too_many_pixels", "not_a_picture")


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBP"])
def test_a_start_alone_is_unfit(tmp_path, start):
    (tmp_path / "a").write_bytes(start)
    assert unfit(tmp_path / "a")[0] == "not_a_picture"


@pytest.mark.parametrize(("kind", "name"), [("GIF", "GIF"), ("BMP", "BMP"), ("TIFF", "TIFF")])
def test_a_picture_that_the_vendor_does_not_take_is_named(tmp_path, kind, name):
    code, said = unfit(make_picture(tmp_path / "a.jpg", kind))
    assert code == "wrong_format"
    assert said.endswith(f"is a {name} picture; Memories.ai takes JPEG, PNG and WebP")


def test_a_phones_heic_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x24ftypheic\0\0\0\0" + bytes(100))
    assert unfit(tmp_path / "a.jpg")[0] == "wrong_format"


@pytest.mark.parametrize("content", [b"x", b"Not a picture.\n" * 50, bytes(500), b"RIFF\0\0\0\0WAVE"])
def test_anything_else_is_no_picture(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    assert unfit(tmp_path / "a.png")[0] == "not_a_picture"


def test_an_empty_file_is_unfit(tmp_path):
    (tmp_path / "a.png").touch()
    assert unfit(tmp_path / "a.png")[0] == "empty"


def test_a_picture_larger_than_the_vendor_takes_is_unfit(tmp_path):
    path = make_picture(tmp_path / "a.png")
    assert check_picture(path, largest=path.stat().st_size).format == "JPEG"
    assert unfit(path, largest=path.stat().st_size - 1)[0] == "too_large"
    with path.open("r+b") as file:
        file.truncate(LARGEST_PICTURE + 1)
    code, said = unfit(path)
    assert code == "too_large" and said.endswith("has 20.0 MiB; Memories.ai takes pictures of at most 20 MiB")


def test_a_file_that_is_gone_is_unfit(tmp_path):
    assert unfit(tmp_path / "a.png")[0] == "missing"


def test_a_folder_is_unfit(tmp_path):
    (tmp_path / "a.png").mkdir()
    assert unfit(tmp_path / "a.png")[0] == "unreadable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_unfit(tmp_path):
    make_picture(tmp_path / "a").chmod(0)
    assert unfit(tmp_path / "a")[0] == "unreadable"


@pytest.mark.filterwarnings("ignore")  # Pillow thinks aloud about broken Exif
@pytest.mark.parametrize("kind", FORMATS)
def test_broken_bytes_are_a_picture_or_unfit_and_nothing_else(tmp_path, kind):
    whole = make_picture(tmp_path / "a", kind, (16, 12), exif=make_exif(gps=PLACE)).read_bytes()
    rolls = random.Random(11)
    for _ in range(400):
        broken = bytearray(whole)
        for _ in range(rolls.randint(1, 6)):
            broken[rolls.randrange(3, min(len(broken), 700))] = rolls.randrange(256)
        (tmp_path / "a").write_bytes(broken)
        try:
            facts = check_picture(tmp_path / "a", with_location=True)
        except Unfit as error:
            assert error.code in ("not_a_picture", "wrong_format", "too_many_pixels")
        else:
            assert facts.format == kind
            assert facts.latitude is None or -90 <= facts.latitude <= 90
