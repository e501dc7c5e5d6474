"""What the storms import: files, links and posts, in manifests of their own."""

from pathlib import Path

from ingest.samples import make_video

_POSTS = (
    "https://www.tiktok.com/@alice/video/73{:017}",
    "https://www.youtube.com/watch?v=abcdef{:05}",
    "https://www.instagram.com/reel/Cabcdef{:04}/",
)


def make_sources(folder: Path, files: int, links: int, posts: int) -> list[str]:
    """The arguments of one ``ingest add``: a folder and a manifest. No two links end alike."""
    clips = folder / "clips"
    clips.mkdir(exist_ok=True)
    for number in range(files):
        make_video(clips / f"clip {number:03}.mp4", seconds=0.2, seed=number)
    named = [f"https://media.example/{number % 7}/holiday-{number:03}.mp4" for number in range(links)]
    named += [_POSTS[number % 3].format(number) for number in range(posts)]
    manifest = folder / "sources.txt"
    manifest.write_text("\n".join(named) + "\n")
    return [str(clips), str(manifest)]
