#!/usr/bin/env python3
"""Puts the store beside Prometheus's: same input, same machine, in turn. See benches/README.md."""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SECOND_TEXT = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?(?:([\d.]+)µs)?$")


def say(text):
    print(text, file=sys.stderr, flush=True)


def seconds_of(text):
    """Go's text of a duration."""
    hours, minutes, seconds, millis, micros = (float(x or 0) for x in SECOND_TEXT.match(text).groups())
    return hours * 3600 + minutes * 60 + seconds + millis / 1e3 + micros / 1e6


def run(command, **options):
    """Runs a program to its end: its output, wall seconds, peak resident bytes."""
    say("  $ " + " ".join(command))
    start = time.monotonic()
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command} ended with {child.returncode}:\n{output}")
    return output, time.monotonic() - start, usage.ru_maxrss * 1024


def number(output, name):
    found = re.search(rf"{re.escape(name)}: *([\d.e+]+)", output)
    if not found:
        raise SystemExit(f"no {name!r} in:\n{output}")
    return float(found.group(1))


def size_of(path):
    return sum(os.path.getsize(os.path.join(folder, name))
               for folder, _, names in os.walk(path) for name in names)


def blocks_in(path):
    """meta.json and size of each block."""
    found = []
    for name in sorted(os.listdir(path)):
        meta = os.path.join(path, name, "meta.json")
        if os.path.exists(meta):
            with open(meta) as file:
                found.append((json.load(file), size_of(os.path.join(path, name))))
    return found


# --- input ---------------------------------------------------------------------------------------

def write_series(path, count):
    """`count` label sets of ten labels, as a cluster's pods have them."""
    if os.path.exists(path):
        return
    with open(path + ".part", "w") as file:
        for index in range(count):
            pod = index // 50
            service = pod // 10
            labels = {
                "__name__": f"app_metric_{index % 50}_total",
                "cluster": f"prod-eu-{service % 5}",
                "container": "app",
                "endpoint": "http-metrics",
                "instance": f"10.{pod >> 16 & 255}.{pod >> 8 & 255}.{pod & 255}",
                "job": f"service-{service}",
                "namespace": f"ns-{service % 40}",
                "node": f"node-{pod % 200}.eu.example",
                "pod": f"service-{service}-7c9f8b6d5-{pod:05d}",
                "code": "200",
            }
            file.write(json.dumps(labels, separators=(",", ":")) + "\n")
    os.rename(path + ".part", path)


# --- the two sides -------------------------------------------------------------------------------

class Bench:
    def __init__(self, args, folder):
        self.args = args
        self.folder = folder
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
        self.examples = os.path.join(target, "release", "examples")

    def build(self):
        run(["cargo", "build", "--release", "--no-default-features", "--features", "testkit",
             "--example", "bench_ingest", "--example", "bench_storage"], cwd=ROOT)

    def path(self, name):
        return os.path.join(self.folder, name)

    def fresh(self, name):
        path = self.path(name)
        shutil.rmtree(path, ignore_errors=True)
        return path

    def copy(self, source, name):
        target = self.fresh(name)
        shutil.copytree(source, target)
        return target

    def ours(self, *arguments):
        return run([os.path.join(self.examples, "bench_storage"), *arguments])

    def ingest_ours(self, series, count, scrapes, name):
        out = self.fresh(name)
        output, _, peak = run([
            os.path.join(self.examples, "bench_ingest"), "--series", series,
            "--metrics", str(count), "--scrapes", str(scrapes), "--out", out])
        return {
            "rate": number(output, "samples/sec"),
            "samples": number(output, "total samples"),
            "peak": peak,
            "series_bytes": number(output, "head bytes a series"),
        }

    def ingest_theirs(self, series, count, scrapes, name):
        out = self.fresh(name)
        output, _, peak = run([
            self.args.promtool, "tsdb", "bench", "write", f"--out={out}", f"--metrics={count}",
            f"--scrapes={scrapes}", series])
        return {
            "rate": number(output, "samples/sec"),
            "samples": number(output, "total samples"),
            "peak": peak,
        }


class Prometheus:
    """A server on a directory; ready, or failed with its log."""

    def __init__(self, args, data, log, flags=()):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % free.getsockname()[1]
        config = log + ".yml"
        with open(config, "w") as file:
            file.write("global: {}\n")
        self.log_path = log
        self.log = open(log, "w")
        command = [args.prometheus, f"--config.file={config}", f"--storage.tsdb.path={data}",
                   f"--web.listen-address={self.address}", *flags]
        say("  $ " + " ".join(command))
        start = time.monotonic()
        self.child = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        while not self.is_ready():
            if self.child.poll() is not None or time.monotonic() - start > 1200:
                raise SystemExit(f"Prometheus did not get ready; see {log}")
            time.sleep(0.02)
        self.ready_seconds = time.monotonic() - start

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def status(self, name):
        with open(f"/proc/{self.child.pid}/status") as file:
            return int(re.search(rf"{name}:\s+(\d+) kB", file.read()).group(1)) * 1024

    def logged(self, message):
        """Durations that the log gives behind a message."""
        with open(self.log_path) as file:
            lines = [line for line in file if f'msg="{message}' in line]
        durations = (re.search(r"duration=(\S+)", line) for line in lines)
        return [seconds_of(found.group(1)) for found in durations if found]

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        self.child.wait()
        self.log.close()


# --- rows ----------------------------------------------------------------------------------------

class Table:
    def __init__(self):
        self.rows = []

    def add(self, work, ours, theirs, unit, wanted, more_is_better=True, digits=1):
        """`wanted` is the ratio that must be reached: how much better we are."""
        ratio = None
        if ours and theirs:
            ratio = ours / theirs if more_is_better else theirs / ours
        text = lambda value: "" if value is None else f"{value:,.{digits}f} {unit}"
        verdict = ""
        if ratio is not None and wanted is not None:
            verdict = "yes" if ratio >= wanted else "NO"
        self.rows.append([
            work, text(theirs), text(ours), "" if ratio is None else f"{ratio:.2f}x",
            "" if wanted is None else f"{wanted:g}x", verdict])
        say("  -> " + " | ".join(self.rows[-1]))

    def limit(self, work, ours, unit, most, digits=1):
        verdict = "yes" if ours <= most else "NO"
        self.rows.append([work, "", f"{ours:,.{digits}f} {unit}", "", f"<= {most:g} {unit}", verdict])
        say("  -> " + " | ".join(self.rows[-1]))

    def text(self):
        head = ["work", "Prometheus", "promlite", "ratio", "must reach", "reached"]
        lines = [head, ["---"] * len(head), *self.rows]
        widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
        pad = lambda line: "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths)) + " |"
        return "\n".join(pad(line) for line in lines)


def in_turn(runs, ours, theirs):
    """Runs both sides alternately; whoever begins changes, so that neither has the warm cache."""
    results = ([], [])
    for index in range(runs):
        for side in ((0, 1) if index % 2 == 0 else (1, 0)):
            results[side].append((ours, theirs)[side]())
    return results


def middle(results, key):
    return statistics.median(result[key] for result in results)


def ingest(bench, table, count, scrapes, runs, wanted=3):
    name = f"{count // 1000}k" if count < 1_000_000 else f"{count // 1_000_000}m"
    say(f"ingest {name} series x {scrapes}")
    series = bench.path(f"{name}.json")
    write_series(series, count)
    ours, theirs = in_turn(
        runs,
        lambda: bench.ingest_ours(series, count, scrapes, f"ours-{name}"),
        lambda: bench.ingest_theirs(series, count, scrapes, f"theirs-{name}"))
    work = f"ingest {count:,} series x {scrapes:,}"
    table.add(work, middle(ours, "rate") / 1e6, middle(theirs, "rate") / 1e6, "M samples/s", wanted,
              digits=2)
    table.add(f"{work}: peak memory", middle(ours, "peak") / 1e6, middle(theirs, "peak") / 1e6, "MB",
              2, more_is_better=False)
    return ours


def replay(bench, table, source, count, runs):
    say("replay")

    def our_run():
        output, seconds, peak = bench.ours("open", bench.copy(source, "replay"))
        return {"seconds": number(output, "open seconds"), "peak": peak, "wall": seconds,
                "resident": number(output, "resident bytes"), "samples": number(output, "samples")}

    def their_run():
        server = Prometheus(bench.args, bench.copy(source, "replay"), bench.path("replay.log"))
        result = {"seconds": server.ready_seconds, "peak": server.status("VmHWM"),
                  "resident": server.status("VmRSS")}
        server.stop()
        return result

    ours, theirs = in_turn(runs, our_run, their_run)
    table.add("replay of that log", middle(ours, "seconds"), middle(theirs, "seconds"), "s", 3,
              more_is_better=False, digits=2)
    table.add("replay: peak memory", middle(ours, "peak") / 1e6, middle(theirs, "peak") / 1e6, "MB", 2,
              more_is_better=False)
    table.add("resident bytes a series after it", middle(ours, "resident") / count,
              middle(theirs, "resident") / count, "B", None, more_is_better=False, digits=0)


def compaction(bench, table, count, scrapes):
    say("compaction")
    series = bench.path("10k.json")
    write_series(series, count)
    bench.ingest_theirs(series, count, scrapes, "compact-source")
    source = bench.path("compact-source/storage")
    output, _, peak = bench.ours("compact", bench.copy(source, "compact-ours"))
    parts = lambda what: [(float(samples), float(seconds)) for samples, seconds in
                          re.findall(rf"{what}: (\d+) samples in ([\d.]+) seconds", output)]
    cuts, merges = parts("cut"), parts("merge")
    data = bench.copy(source, "compact-theirs")
    server = Prometheus(bench.args, data, bench.path("compact.log"))
    peak_before = server.status("VmHWM")
    deadline = time.monotonic() + 300
    try:
        # A server looks for work once a minute.
        while not server.logged("compact blocks") and time.monotonic() < deadline:
            time.sleep(1)
        peak_theirs = server.status("VmHWM")
    finally:
        server.stop()
    cut_seconds, merge_seconds = server.logged("write block"), server.logged("compact blocks")
    ours, theirs = blocks_in(bench.path("compact-ours")), blocks_in(data)
    levels = lambda blocks, level: [meta["stats"]["numSamples"] for meta, _ in blocks
                                    if meta["compaction"]["level"] == level]
    merged = sum(levels(theirs, 2))
    # All level 1 blocks that were cut, those that were merged since among them.
    cut = merged + sum(levels(theirs, 1))
    rate = lambda rows: sum(s for s, _ in rows) / sum(t for _, t in rows) / 1e6 if rows else None
    table.add("head to block", rate(cuts),
              cut / sum(cut_seconds) / 1e6 if cut_seconds else None, "M samples/s", 3, digits=2)
    table.add("three blocks to one", rate(merges),
              merged / sum(merge_seconds) / 1e6 if merge_seconds else None, "M samples/s", 1.5, digits=2)
    table.add("compaction: peak memory, start included", peak / 1e6, peak_theirs / 1e6, "MB", None,
              more_is_better=False)
    say(f"  peak of Prometheus before it compacted: {peak_before / 1e6:.0f} MB")
    size = lambda blocks, level: sum(b for meta, b in blocks if meta["compaction"]["level"] == level)
    table.add("size of the merged block", size(ours, 2) / 1e6, size(theirs, 2) / 1e6, "MB", 1,
              more_is_better=False, digits=3)
    table.add("size of the cut blocks", size(ours, 1) / 1e6, size(theirs, 1) / 1e6, "MB", 1,
              more_is_better=False, digits=3)


def stopped(*_):
    """Ends servers too: an exception unwinds, a signal would not."""
    raise SystemExit("stopped")


def main():
    signal.signal(signal.SIGTERM, stopped)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--promtool", default=os.environ.get("PROMTOOL", "promtool"))
    parser.add_argument("--prometheus", default=os.environ.get("PROMETHEUS", "prometheus"))
    parser.add_argument("--runs", type=int, default=3, help="of each side; the middle one counts")
    parser.add_argument("--rows", default="small,large,replay,compaction,decode",
                        help="which parts to measure")
    parser.add_argument("--scale", type=float, default=1.0,
                        help="of the number of series, to try the script out")
    parser.add_argument("--dir", help="where to work; about 20 GB; default a temporary folder")
    parser.add_argument("--no-build", action="store_true")
    args = parser.parse_args()
    rows = set(args.rows.split(","))
    folder = args.dir or tempfile.mkdtemp(prefix="promlite-bench-")
    os.makedirs(folder, exist_ok=True)
    bench = Bench(args, folder)
    table = Table()
    small, large = int(10_000 * args.scale), int(1_000_000 * args.scale)
    try:
        if not args.no_build:
            bench.build()
        version = run([args.promtool, "--version"])[0].split("\n")[0]
        print(f"{version}; {os.cpu_count()} cores; {args.runs} runs each, in turn\n")
        if "small" in rows:
            ingest(bench, table, small, 1000, args.runs)
        if rows & {"large", "replay"}:
            ours = ingest(bench, table, large, 100, args.runs if "large" in rows else 1)
            table.limit("head bytes a series, samples included", middle(ours, "series_bytes"), "B", 1024,
                        digits=0)
        if "replay" in rows:
            replay(bench, table, bench.path(os.path.join(theirs_of(large), "storage")), large, args.runs)
        if "compaction" in rows:
            compaction(bench, table, small, 1600)
        if "decode" in rows:
            output, _, _ = bench.ours("decode")
            table.limit("XOR decode into columns", number(output, "xor decode"), "ns a sample", 8)
    finally:
        print(table.text())
        if not args.dir:
            shutil.rmtree(folder, ignore_errors=True)


def theirs_of(count):
    return f"theirs-{count // 1000}k" if count < 1_000_000 else f"theirs-{count // 1_000_000}m"


if __name__ == "__main__":
    main()
