"""Asks a Prometheus what every panel of the dashboards asks, and prints each query with the series it returned.

The queries are read from the dashboards' JSON itself, with the variables filled in as Grafana fills them in. Without
--prometheus a Prometheus is started for the occasion, on a demo: the simulated shop, measured by the real job. It is
given the demo's own numbers once more as those of a week ago, since comparisons with last week need one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
DASHBOARDS = Path(__file__).parent / "dashboards"
SCRAPE_SECONDS = 1
RATE_INTERVAL = "1m"  # four scrapes of the 15 s that the provisioned data source has, as Grafana takes it
WEEK_SECONDS = 7 * 86_400
ANSWER_SECONDS = 360.0  # from the first scrape to an answer of every panel
PATIENCE_SECONDS = 600.0  # of a busy machine that has to compile the metric loops first


class Failed(Exception):  # noqa: N818 - an outcome
    """The panels cannot be asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """One query of one panel, as the dashboard has it and as Prometheus gets it."""

    dashboard: str
    panel: str
    name: str  # the query's letter within the panel; "annotation" and "variable" are asked outside of panels
    expression: str
    filled: str


# ------------------------------------------------------------------------------------------- what dashboards ask


def dashboards(folder: Path = DASHBOARDS) -> dict[str, dict[str, Any]]:
    """The dashboards of a folder by uid."""
    found = [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*.json"))]
    return {dashboard["uid"]: dashboard for dashboard in found}


def variables(dashboard: Mapping[str, Any], chosen: Mapping[str, str]) -> dict[str, str]:
    """What each variable stands for in queries: as `chosen`, else what the dashboard opens with."""
    values = {"__rate_interval": RATE_INTERVAL}
    for variable in dashboard["templating"]["list"]:
        current = variable.get("current", {}).get("value", "")
        everything = current in ("$__all", ["$__all"])
        values[variable["name"]] = variable["allValue"] if everything else str(current)
    return values | dict(chosen)


def filled(expression: str, values: Mapping[str, str]) -> str:
    """The expression with its variables filled in; KeyError for one that the dashboard does not have."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda match: values[match[1] or match[2]], expression)


def panels_of(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The panels that ask something, in their order, those of closed rows as well."""
    for panel in dashboard["panels"]:
        yield from (one for one in [panel, *panel.get("panels", [])] if one.get("targets"))


def questions(dashboard: Mapping[str, Any], chosen: Mapping[str, str]) -> Iterator[Question]:
    """Everything that the dashboard asks, panel by panel, then its annotations and variables."""
    values, uid = variables(dashboard, chosen), dashboard["uid"]
    for panel in panels_of(dashboard):
        for target in panel["targets"]:
            title = filled(panel["title"], values)
            yield Question(uid, title, target["refId"], target["expr"], filled(target["expr"], values))
    for annotation in dashboard["annotations"]["list"]:
        expression = annotation["expr"]
        yield Question(uid, annotation["name"], "annotation", expression, filled(expression, values))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            expression = variable["query"]["query"]
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", filled(expression, values))
            if asked is None:
                raise Failed(f"{uid}: {expression} is no question that this program understands")
            yield Question(uid, variable["name"], "variable", expression, f"group by ({asked[2]}) ({asked[1]})")


def series(prometheus: str, expression: str) -> int:
    """How many series Prometheus has for the expression now; Failed with its words when it refuses.

    What a tile shows where there is none, as `or vector(NaN)`, does not count.
    """
    query = urllib.parse.urlencode({"query": re.sub(r" or vector\((?:NaN|-1)\)$", "", expression)})
    try:
        with urllib.request.urlopen(f"{prometheus}/api/v1/query?{query}", timeout=30) as answer:
            return len(json.load(answer)["data"]["result"])
    except urllib.error.HTTPError as refusal:
        raise Failed(f"Prometheus refuses {expression}: {refusal.read().decode()}") from None
    except OSError as error:
        raise Failed(f"Prometheus does not answer at {prometheus}: {error}") from None


def asked(prometheus: str, wanted: Sequence[Question]) -> list[tuple[Question, int]]:
    """Each question with the number of its series."""
    return [(question, series(prometheus, question.filled)) for question in wanted]


def may_be_empty(question: Question) -> bool:
    """Whether nothing is a good answer: the times of old data; what was 0, undefined or too little to compare with a
    week ago; and what only several processes report themselves, or one that reads what producers commit, or whose
    config has grown.
    """
    return (
        question.name == "annotation"
        or re.search(r" (!= 0|>= \d+)\) - 1", question.expression) is not None
        or re.search(r"^100 \* \(.* offset 1w\)\)", question.expression) is not None
        or "tidegauge_process_" in question.expression
        or "tidegauge_open_transaction_" in question.expression
        or "tidegauge_family_since_" in question.expression
    )


# ------------------------------------------------------------------------------------------- a Prometheus of one's own


@contextlib.contextmanager
def process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block, by SIGTERM, or when that takes too long; its output goes to `log`."""
    setpriv = shutil.which("setpriv")
    tied = [setpriv, "--pdeathsig", "TERM", *command] if setpriv else list(command)
    with log.open("wb") as output:
        started = subprocess.Popen(tied, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:  # a demo that still compares its numbers, which nobody waits for here
            started.kill()
            started.wait()


def wait_for(found: Any, what: str, running: subprocess.Popen[bytes], log: Path) -> Any:
    """What `found()` returns once that is something; Failed, with the log, after too long or at the process's end."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := found()):
        if running.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"waited in vain for {what}:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)
    return value


def page(address: str) -> str:
    """The metrics page of a process; empty while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


@contextlib.contextmanager
def demo(folder: Path, *options: str) -> Iterator[str]:
    """`tidegauge demo` with the example shop; the address of its metrics once its numbers are there."""
    log = folder / "demo.log"
    command = [sys.executable, "-m", "flows.app", "demo", "--plain", *options]
    with process(command, log) as running:

        def address() -> str:
            told = re.search(r"^metrics +http://([\w.]+:\d+)/metrics$", log.read_text(errors="replace"), re.M)
            return told[1] if told else ""

        at = str(wait_for(address, "the demo's address", running, log))
        wait_for(lambda: "tidegauge_active_users{" in page(at), "the demo's numbers", running, log)
        yield at


def of_last_week(text: str, address: str, now_s: float) -> Iterator[str]:
    """The samples of a metrics page as OpenMetrics, with times a week ago and the labels that a scrape gives them."""
    times = [now_s - WEEK_SECONDS + offset for offset in range(-300, 1800, 60)]
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {**sample.labels, "job": "tidegauge", "instance": address}
            written = ",".join(f'{name}="{value}"' for name, value in labels.items())
            yield from (f"{sample.name}{{{written}}} {sample.value} {at:.3f}\n" for at in times)
    yield "# EOF\n"


@contextlib.contextmanager
def prometheus_on(address: str, folder: Path, port: int, *, scrape_seconds: int = SCRAPE_SECONDS) -> Iterator[str]:
    """A Prometheus that scrapes `address`, and holds the same page as that of a week ago; its URL once it answers."""
    for program in ("prometheus", "promtool"):
        if shutil.which(program) is None:
            raise Failed(f"{program} is not on PATH (Debian: apt-get install prometheus)")
    (folder / "week").write_text("".join(of_last_week(page(address), address, time.time())))
    tool = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(folder / "week"), str(folder / "tsdb")]
    made = subprocess.run(tool, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Failed(f"promtool could not write last week's numbers: {made.stderr}")
    scraped = [{"job_name": "tidegauge", "static_configs": [{"targets": [address]}]}]
    settings = {"global": {"scrape_interval": f"{scrape_seconds}s"}, "scrape_configs": scraped}
    (folder / "prometheus.yml").write_text(json.dumps(settings))  # JSON is YAML, too
    url, log = f"http://127.0.0.1:{port}", folder / "prometheus.log"
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=30d"]
    with process(command, log) as running:

        def ready() -> bool:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/-/ready", timeout=5):
                return True
            return False

        wait_for(ready, "Prometheus", running, log)
        yield url


def empty_ones(answers: Sequence[tuple[Question, int]]) -> list[Question]:
    """The questions that should have had an answer and had none."""
    return [question for question, count in answers if count == 0 and not may_be_empty(question)]


def until_all_answer(url: str, wanted: Sequence[Question]) -> list[tuple[Question, int]]:
    """The answers once every question that must have one has it, or after too long those that there are."""
    deadline = time.monotonic() + ANSWER_SECONDS
    answers = asked(url, wanted)
    while empty_ones(answers) and time.monotonic() < deadline:
        time.sleep(1.0)
        again = iter(asked(url, [question for question, count in answers if not count]))
        answers = [(question, count) if count else next(again) for question, count in answers]
    return answers


# ---------------------------------------------------------------------------------------------------- as a command


def report(answers: Sequence[tuple[Question, int]]) -> Iterator[str]:
    """Per panel its queries and what they returned."""
    dashboard = panel = ""
    for question, count in answers:
        if question.dashboard != dashboard:
            dashboard, panel = question.dashboard, ""
            yield f"\n{dashboard}"
        if question.panel != panel:
            panel = question.panel
            yield f"  {panel}"
        yield f"    {question.name} {count:5} series  {question.filled}"


def main() -> int:
    """0: every panel has data; 1: one has none, or Prometheus cannot be asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", metavar="URL", help="one that runs already; default: one on a demo")
    parser.add_argument("--dashboards", type=Path, default=DASHBOARDS, metavar="FOLDER", help="default: the committed")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="what a variable stands for")
    args = parser.parse_args()
    chosen = dict(text.split("=", 1) for text in args.set)
    wanted = [question for found in dashboards(args.dashboards).values() for question in questions(found, chosen)]
    try:
        if args.prometheus:
            answers = asked(args.prometheus.rstrip("/"), wanted)
        else:
            with contextlib.ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegauge-panels-")))
                address = stack.enter_context(demo(folder))
                url = stack.enter_context(prometheus_on(address, folder, free_port()))
                answers = until_all_answer(url, wanted)
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    print("\n".join(report(answers)))
    empty = empty_ones(answers)
    panels = {(question.dashboard, question.panel) for question, _ in answers}
    print(f"\n{len(panels)} panels, {len(answers)} queries, {len(empty)} of them without an answer")
    for question in empty:
        print(f"  {question.dashboard}: {question.panel}: {question.expression}")
    return 1 if empty else 0


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
