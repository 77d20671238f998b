"""Takes the pictures of this folder: a running platform's pages, in headless Chromium (`make screenshots`).

Needs a platform with the demonstration in it (`make demo ARGS="--keep"`) and Debian's `chromium`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURES = Path(__file__).parent / "pictures"
SIZE = (1600, 1000)
MILLISECONDS = 20_000

PAGES = {
    "lineage": "{ui}/assets/content/published?view=lineage&lineageScope=upstream&lineageDepth=6",
    "partitions": "{ui}/assets/content/embeddings?view=partitions",
    "checks": "{ui}/assets/content/parsed?view=checks&checkDetail=has_text",
    "runs": "{ui}/runs",
    "timeline": "{ui}/overview/activity/timeline",
    "run": "{ui}/runs/{run}",
    "api": "{api}/docs",
}


def take(name: str, url: str, *, chromium: str) -> Path:
    """Open `url` in a fresh browser profile, wait for the page to settle, write `docs/pictures/<name>.png`."""
    target = PICTURES / f"{name}.png"
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                chromium,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--window-size={SIZE[0]},{SIZE[1]}",
                f"--virtual-time-budget={MILLISECONDS}",
                f"--screenshot={target}",
                url,
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
    return target


def main() -> int:
    """Take all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which of: {', '.join(PAGES)} (default: all)")
    parser.add_argument("--state", type=Path, default=Path(".aiw/run/state.json"), help="state file of the platform")
    parser.add_argument("--run", default="", help="id of the run to show")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("screenshots: chromium is not installed (Debian: apt-get install chromium)", file=sys.stderr)
        return 1
    if not arguments.state.is_file():
        print("screenshots: the platform is not running (make demo ARGS=--keep)", file=sys.stderr)
        return 1
    state = json.loads(arguments.state.read_text())
    PICTURES.mkdir(exist_ok=True)
    for name in arguments.names or PAGES:
        url = PAGES[name].format(ui=state["ui_url"], api=state["api_url"], run=arguments.run)
        print(take(name, url, chromium=chromium))
    return 0


if __name__ == "__main__":
    sys.exit(main())
