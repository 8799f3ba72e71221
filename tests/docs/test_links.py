"""Every link within the project has a valid target."""

import re
import unittest

import pages


class Links(unittest.TestCase):
    def test_files_and_anchors_exist(self):
        dead = []
        for page in pages.PAGES:
            for target in pages.links(page):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                file = (page.parent / path).resolve() if path else page
                if not file.exists():
                    dead.append(f"{pages.name(page)}: {target}")
                elif anchor and anchor not in pages.anchors(file):
                    dead.append(f"{pages.name(page)}: {target}, which has no such heading")
        self.assertEqual(dead, [])

    def test_every_page_is_in_the_index(self):
        index = pages.ROOT / "docs/README.md"
        linked = {(index.parent / target.partition("#")[0]).resolve() for target in pages.links(index)}
        lost = [pages.name(page) for page in pages.PAGES if page.is_relative_to(index.parent) and page != index and page not in linked]
        self.assertEqual(lost, [])


if __name__ == "__main__":
    unittest.main()
