#!/usr/bin/env python3
"""Puts the upkeep of a bucket beside that of a Thanos compactor, and tells what questions to a bucket cost.

Needs Python 3, Linux, and for the comparison a thanos binary: THANOS=./thanos benches/longterm.py
Both compactors get copies of the same bucket in a folder. Memory is the peak resident size.
"""

import argparse
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "examples"


def build():
    command = ["cargo", "build", "--release", "--features", "full", "--example", "bench_longterm", "--example", "inspect"]
    subprocess.run(command, cwd=ROOT, check=True)


def run(command, may_fail=False, **more):
    """Output, seconds and peak bytes of a program."""
    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more) as child:
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    if child.returncode != 0 and not may_fail:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{output[-4000:]}")
    return output, seconds, usage.ru_maxrss * 1024


def make(folder, *flags):
    if folder.exists():
        return
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    output, seconds, _ = run([TARGET / "bench_longterm", "make", part, *flags])
    part.rename(folder)
    print(f"made {folder.name} in {seconds:.0f} s: {' '.join(output.split()[-4:])}", flush=True)


def config_of(folder):
    path = folder.with_suffix(".yml")
    path.write_text(f"type: FILESYSTEM\nconfig: {{directory: {folder}}}\n")
    return path


def samples_of(folder, resolution):
    """Samples, or windows, of all blocks of a resolution."""
    total = 0
    for meta in folder.glob("*/meta.json"):
        text = meta.read_text()
        if int(re.search(r'"resolution":\s*(\d+)', text).group(1)) == resolution:
            total += int(re.search(r'"numSamples":\s*(\d+)', text).group(1))
    return total


def blocks_of(folder):
    found = {}
    for meta in folder.glob("*/meta.json"):
        if (meta.parent / "deletion-mark.json").exists():
            continue
        resolution = int(re.search(r'"resolution":\s*(\d+)', meta.read_text()).group(1))
        found[resolution] = found.get(resolution, 0) + 1
    return dict(sorted(found.items()))


def compare(title, source, scratch, thanos, flags):
    rows = {}
    commands = {"promlite": [TARGET / "inspect", "bucket", "compact"]}
    if thanos:
        commands["thanos"] = [thanos, "compact"]
    for name, command in commands.items():
        copy, work = scratch / f"{name}-bucket", scratch / f"{name}-work"
        for folder in (copy, work):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, copy)
        work.mkdir()
        command = [*command, f"--objstore.config-file={config_of(copy)}", f"--data-dir={work}",
                   "--consistency-delay=0s", *flags]
        if name == "thanos":
            command += ["--http-address=127.0.0.1:0", "--log.level=warn"]
        _, seconds, peak = run(command)
        rows[name] = (seconds, peak, blocks_of(copy))
        shutil.rmtree(copy)
        shutil.rmtree(work)
    samples = samples_of(source, 0)
    print(f"\n{title}: {samples / 1e6:.1f} M raw samples")
    for name, (seconds, peak, blocks) in rows.items():
        print(f"  {name:<9} {seconds:8.2f} s  {samples / seconds / 1e6:7.1f} M samples/s  "
              f"peak {peak / 1e6:7.1f} MB  blocks by resolution {blocks}")
    if thanos:
        (ours, our_peak, _), (theirs, their_peak, _) = rows["promlite"], rows["thanos"]
        print(f"  {theirs / ours:.2f}x as fast, {their_peak / our_peak:.2f}x less memory", flush=True)


def questions(folder, days):
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"\nquestions to {days} days, {size / 1e6:.0f} MB in all")
    cases = [
        ("one series, raw", 'requests_total{pod="pod-000123"}', 0),
        ("one group of 100, raw", 'sum(rate(requests_total{group="group007"}[2h]))', 0),
        ("one group of 100, 1h", 'sum(rate(requests_total{group="group007"}[2h]))', 3600),
        ("all, 1h", "sum(rate(requests_total[2h]))", 3600),
        ("all, 5m", "sum(rate(requests_total[2h]))", 300),
        ("all, raw", "sum(rate(requests_total[2h]))", 0),
    ]
    print(f"  {'':<24}{'cold s':>9}{'warm s':>9}{'requests':>10}{'MB read':>10}{'of all':>9}{'peak MB':>9}")
    for title, query, resolution in cases:
        output, _, _ = run([TARGET / "bench_longterm", "query", folder, query, f"--days={days}",
                            f"--max-resolution={resolution}"], may_fail=True)
        if "peak bytes" not in output:
            print(f"  {title:<24}{output.strip().splitlines()[-1]}", flush=True)
            continue
        found = dict(line.split(": ", 1) for line in output.splitlines() if ": " in line)
        requests = int(found["cold requests"]) - int(found["open requests"])
        read = int(found["cold bytes"]) - int(found["open bytes"])
        print(f"  {title:<24}{found['cold seconds']:>9}{found['warm seconds']:>9}{requests:>10}{read / 1e6:>10.2f}"
              f"{read / size:>9.2%}{int(found['peak bytes']) / 1e6:>9.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=pathlib.Path, default=pathlib.Path("/tmp/promlite-longterm"), help="scratch folder")
    parser.add_argument("--no-build", action="store_true")
    parser.add_argument("--rows", default="merge,downsample,questions")
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--series", type=int, default=10_000)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    if not args.no_build:
        build()
    scratch = args.dir.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    thanos = os.environ.get("THANOS")
    rows = args.rows.split(",")
    if "merge" in rows:
        source = scratch / "two-replicas"
        make(source, "--days=2", "--block-hours=2", "--series=2000", "--interval=15", "--replicas=2")
        compare("merge two replicas, up to two days", source, scratch, thanos,
                ["--deduplication.replica-label=replica", "--deduplication.func=penalty", "--downsampling.disable"])
    if "downsample" in rows:
        source = scratch / "one-long-block"
        make(source, "--days=14", "--block-hours=336", "--series=2000", "--interval=15")
        compare("raw to 5m to 1h", source, scratch, thanos, [])
    if "questions" in rows:
        source = scratch / f"days-{args.days}-{args.series}"
        make(source, f"--days={args.days}", f"--series={args.series}", "--downsample")
        questions(source, args.days)


if __name__ == "__main__":
    main()
