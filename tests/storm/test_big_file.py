"""One file of three gigabytes: flat memory, a lease that is renewed all along, one upload."""

import os
from pathlib import Path

import pytest
from sqlalchemy import text

from ingest.samples import make_video
from tests.service import Service, eventually, sandbox

pytestmark = pytest.mark.storm

_SIZE = 3 * 1024**3 - 4096
_LEASE_SECONDS = 2.0


def test_three_gigabytes_travel_in_flat_memory_under_one_renewed_lease(home: Path) -> None:
    big = make_video(home.parent / "long holiday.mp4")
    os.truncate(big, _SIZE)  # sparse: the zeros cost no disk here, and every byte on the way
    with sandbox() as vendor:
        timings = f"lease={_LEASE_SECONDS:g}s,unsure=20s,poll=1s"
        service = Service(home, vendor.url, INGEST_TIMINGS=timings)
        with service.up():
            workers = [part for part in service.parts() if "ingest worker" in " ".join(part.cmdline())]
            before = max(part.memory_info().rss for part in workers)
            service.add(str(big))
            eventually(lambda: service.status(1)["counts"]["SENDING"], 30)
            leases: set[int] = set()
            peak = before

            def sent() -> bool:
                nonlocal peak
                peak = max(peak, *(part.memory_info().rss for part in workers))
                with service.database().read() as session:
                    leases.update(session.execute(text("SELECT lease_until FROM submission")).scalars())
                return service.status(1)["counts"]["SENDING"] == 0

            eventually(sent, 170)
            grown = (peak - before) / 1e6
            print(f"\n3 GiB: worker grew by {grown:.1f} MB, its lease was renewed {len(leases) - 1} times")
            item = service.items()[0]
            assert item["status"] in ("UNPARSE", "PARSE"), item
            assert item["attempts"] == 1
            service.wait(1, 60)
            (video,) = vendor.report()["videos"]
            assert int(video["size"]) == _SIZE
            assert len(leases) >= 3
            assert grown < 40
