"""docs/atlas.md tells what the command measured, and how large its first view is."""

import json
from pathlib import Path

from scripts.atlas_page import DATA, PAGE, table, written

RUN = {"network": "net", "maps": {"a": 2, "b": 3}, "snapshots": 2, "images": 10, "files": 7}
RUN |= {"bytes": 2_600_000}
RUN |= {
    f"{what}_{kind}_per_1000_{of}": value
    for what, of, value in (
        ("mining", "images", 12.34),
        ("pictures", "units", 5),
        ("pages", "units", 1),
    )
    for kind in ("s", "cpu_s")
}


def test_a_run_is_a_row():
    row = table([RUN]).splitlines()[-1]
    assert row == "| net, 2 snapshots | 5 | 10 | 7 | 3 | 12.3 (12.3) | 5 (5) | 1 (1) |"


def test_only_the_table_is_written_again():
    page = "before\n<!-- from atlas.json: -->\nold\n<!-- -->\nafter\n"
    again = written(page, [RUN])
    assert again.startswith("before\n") and again.endswith("after\n") and "old" not in again
    assert written(again, [RUN]) == again


def test_the_page_tells_what_was_measured():
    page = Path(PAGE).read_text(encoding="utf-8")
    assert written(page, json.loads(Path(DATA).read_text(encoding="utf-8"))) == page
    for name in ("atlas_map.jpg", "atlas_layer.jpg"):
        size = (PAGE.parent / "gallery" / name).stat().st_size
        assert f"gallery/{name}" in page and size <= 150_000
