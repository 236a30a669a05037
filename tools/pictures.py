"""Take docs/use/images anew, the front page in a browser: `python -m tools.pictures`."""

import sys
import tempfile
from pathlib import Path

from fleet import load
from tests.front_page import browser, stories
from tests.front_page.site import Site

IMAGES = Path(__file__).parents[1] / "docs" / "use" / "images"
EXAMPLE = "inventory/example.py"
# File to story, width and colours.
PICTURES = {
    "front-page.png": ("condemned", 1280, False),
    "front-page-phone.png": ("draining", 390, True),
}


def main() -> int:
    """Write the folder anew."""
    program = browser.program()
    if program is None:
        print(f"There is no browser: install one of {', '.join(browser.PROGRAMS)}.", file=sys.stderr)
        return 1
    fleet = load.from_file(EXAMPLE)
    IMAGES.mkdir(parents=True, exist_ok=True)
    with browser.Browser(program) as running, Site(fleet) as site, tempfile.TemporaryDirectory() as root:
        for name, (story, width, dark) in PICTURES.items():
            site.data = stories.STORIES[story](Path(root), fleet)
            with running.page(site.url, width=width, dark=dark) as page:
                page.until("document.documentElement.classList.contains('is-live')")
                (IMAGES / name).write_bytes(page.picture())
    print(f"Wrote {IMAGES}: look at them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
