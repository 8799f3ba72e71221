"""The pictures of the documentation are small, are of the recorded run, and are described. (`make pictures` makes them.)"""

import hashlib
import html.parser
import json
import struct
import unittest
import zlib

import pages
from pages import ROOT

FOLDER = ROOT / "docs/pictures"
LARGEST = 120 * 1024


class Tags(html.parser.HTMLParser):
    """Collects the `<picture>` elements of a page: each a list of (tag, attributes)."""

    def __init__(self, page):
        super().__init__()
        self.pictures, self.outside = [], []
        self.inside = False
        self.feed(pages.prose(page))

    def handle_starttag(self, tag, attrs):
        if tag == "picture":
            self.inside = True
            self.pictures.append([])
        elif tag in ("source", "img"):
            (self.pictures[-1] if self.inside else self.outside).append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag == "picture":
            self.inside = False


def notes(png):
    """The texts of a PNG by keyword; checks signature and checksums."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = {}, 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        body = png[at + 8:at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", png[at + 8 + length:at + 12 + length])[0], kind
        if kind == b"tEXt":
            keyword, _, text = body.partition(b"\0")
            found[keyword.decode("latin1")] = text.decode("latin1")
        at += 12 + length
    return found


class Pictures(unittest.TestCase):
    def test_a_page_shows_each_picture_light_and_dark(self):
        used = set()
        for page in pages.PAGES:
            tags = Tags(page)
            self.assertEqual(tags.outside, [], pages.name(page))
            for picture in tags.pictures:
                with self.subTest(f"{pages.name(page)}: {picture}"):
                    (source, dark), (img, light) = picture
                    self.assertEqual((source, img), ("source", "img"))
                    self.assertEqual(dark["media"], "(prefers-color-scheme: dark)")
                    self.assertEqual(dark["srcset"], light["src"].replace("-light.png", "-dark.png"))
                    self.assertNotEqual(dark["srcset"], light["src"])
                    self.assertGreater(len(light["alt"]), 100, "the alternative text says what the picture shows")
                    used |= {(page.parent / name).resolve() for name in (dark["srcset"], light["src"])}
        self.assertEqual(used, set(FOLDER.iterdir()))

    def test_pictures_are_small_and_of_the_recorded_run(self):
        for file in FOLDER.iterdir():
            with self.subTest(file.name):
                png = file.read_bytes()
                self.assertLessEqual(len(png), LARGEST)
                record, _, checksum = notes(png)["Source"].partition(" ")
                self.assertEqual(hashlib.sha256((ROOT / record).read_bytes()).hexdigest(), checksum, "run `make pictures`")

    def test_descriptions_have_the_figures_of_the_recorded_run(self):
        runs = json.loads(pages.text(ROOT / "examples/runs/cold-and-warm.json"))["items"]
        totals = {run["spec"]["demo"]: run["status"]["totals"] for run in runs}
        cold, warm = totals["cold"], totals["warm"]
        expected = [f"{100 * cold['accepted'] // cold['scheduled']} % of {cold['scheduled']:,} records"]
        self.assertEqual(warm["accepted"], warm["scheduled"])
        for page in pages.PAGES:
            for picture in Tags(page).pictures:
                alt = " ".join(picture[-1][1]["alt"].split())
                self.assertEqual([figure for figure in expected if figure not in alt], [], pages.name(page))


if __name__ == "__main__":
    unittest.main()
