"""Takes the pictures of the live page that the README shows: of the demo, wide in light and dark, and on a phone.

    python -m deploy.pictures.pictures [--seconds 60] [--rate N] [--out deploy/pictures]

Needs chromium on PATH. The pictures are of a real run: the demo's shop, the real job, numbers as they are.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, sync_playwright

from deploy.local import ROOT

FOLDER: Final = ROOT / "deploy" / "pictures"
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
)
READY_SECONDS: Final = 300.0  # the first start of the job compiles its loops
MOST_BYTES: Final = 200_000

Scheme = Literal["light", "dark"]
PICTURES: Final[dict[str, tuple[int, int, Scheme]]] = {
    "live-light.png": (1280, 900, "light"),
    "live-dark.png": (1280, 900, "dark"),
    "live-phone.png": (390, 844, "light"),
}


def main() -> int:
    """0: taken; 1: the page did not come up, or a picture is too large to be kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the pages are open first")
    parser.add_argument("--rate", help="events per second of the demo (default: the demo's own)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder of the pictures")
    args = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        print("chromium is not on PATH; to install it (Debian, as root): deploy/install-needs", file=sys.stderr)
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "flows.app", "demo", "--plain", "--web-port", "0"]
    command += ["--rate", args.rate] if args.rate else []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        try:
            url = _address(demo)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
                _take(browser, url, args.out, args.seconds)
                browser.close()
        finally:
            demo.terminate()
            demo.communicate()
    large = [name for name in PICTURES if (args.out / name).stat().st_size > MOST_BYTES]
    for name in large:
        print(f"{args.out / name} has more than {MOST_BYTES:,} bytes", file=sys.stderr)
    return 1 if large else 0


def _address(demo: subprocess.Popen[str]) -> str:
    """Where the demo says its page is, once it has numbers."""
    assert demo.stdout is not None
    url, said = "", ""
    for line in demo.stdout:
        said += line
        if found := re.search(r"live +(http://\S+)", line):
            url = found[1]
        if url and "active users" in line:
            return url
    raise RuntimeError(f"the demo ended before it had numbers:\n{said[-2000:]}")


def _take(browser: Browser, url: str, folder: Path, seconds: float) -> None:
    pages = {}
    for name, (width, height, scheme) in PICTURES.items():
        pages[name] = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        pages[name].goto(url)
    for page in pages.values():
        page.wait_for_selector("body[data-state=live]", timeout=READY_SECONDS * 1000)
    time.sleep(seconds)  # the lines of tiles that only the page remembers begin when it is opened
    for name, page in pages.items():
        page.screenshot(path=folder / name)
        print(folder / name)


if __name__ == "__main__":
    sys.exit(main())
