#!/usr/bin/env python3
"""Puts PromQL beside Prometheus's: same blocks, same queries, in turn. See benches/README.md."""

import argparse
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

from storage import ROOT, Prometheus, run, say, stopped

FLAGS = [
    "--storage.tsdb.retention.time=100y",
    # Blocks stay as they are.
    "--storage.tsdb.min-block-duration=2h",
    "--storage.tsdb.max-block-duration=2h",
    "--query.max-samples=500000000",
    "--query.timeout=10m",
    "--enable-feature=promql-experimental-functions,promql-extended-range-selectors",
    "--log.level=warn",
]

# --- cases ---------------------------------------------------------------------------------------

# As upstream's BenchmarkRangeQuery: X is `one` and `hundred`; without a number of steps both an
# instant and 1,000 steps.
RANGE = [
    ("", "a_X", None),
    ("", "rate(a_X[1m])", None),
    ("", "rate(a_X[1m])", 10000),
    ("", "rate(sparse[1m])", 10000),
    ("", "rate(a_X[1m] smoothed)", None),
    ("", "rate(a_X[1m] smoothed)", 10000),
    ("", "rate(sparse[1m] smoothed)", 10000),
    ("long", "double_exponential_smoothing(a_X[1d], 0.3, 0.3)", None),
    ("long", "changes(a_X[1d])", None),
    ("long", "rate(a_X[1d])", None),
    ("long", "absent_over_time(a_X[1d])", None),
    ("", "-a_X", None),
    ("join", "a_X - b_X", None),
    ("join", "a_X - b_X", 10000),
    ("join", "a_X and b_X{l=~'.*[0-4]$'}", None),
    ("join", "a_X or b_X{l=~'.*[0-4]$'}", None),
    ("join", "a_X unless b_X{l=~'.*[0-4]$'}", None),
    ("join", "a_X and b_X{l='notfound'}", None),
    ("", "abs(a_X)", None),
    ("", "label_replace(a_X, 'l2', '$1', 'l', '(.*)')", None),
    ("", "label_join(a_X, 'l2', '-', 'l', 'l')", None),
    ("", "sum(a_X)", None),
    ("", "avg(a_X)", None),
    ("", "sum without (l)(h_X)", None),
    ("", "sum without (le)(h_X)", None),
    ("", "sum by (l)(h_X)", None),
    ("", "sum by (le)(h_X)", None),
    ("", "count_values('value', h_X)", 100),
    ("", "topk(1, a_X)", None),
    ("", "topk(5, a_X)", None),
    ("", "limitk(1, a_X)", None),
    ("", "limitk(5, a_X)", None),
    ("", "limit_ratio(0.1, a_X)", None),
    ("", "limit_ratio(0.5, a_X)", None),
    ("", "limit_ratio(-0.5, a_X)", None),
    ("join", "rate(a_X[1m]) + rate(b_X[1m])", None),
    ("", "sum without (l)(rate(a_X[1m]))", None),
    ("join", "sum without (l)(rate(a_X[1m])) / sum without (l)(rate(b_X[1m]))", None),
    ("quantile", "histogram_quantile(0.9, rate(h_X[5m]))", None),
    ("join", "a_X + on(l) group_right a_one", None),
    ("", 'count({__name__!=""})', 1),
    ("", 'count({__name__!="",l=""})', 1),
    ("", "timestamp(a_X)", None),
]

# As BenchmarkJoinQuery.
JOIN = [
    "rpc_request_success_total + rpc_request_error_total",
    "rpc_request_success_total + on (job, instance) group_left rpc_request_error_total",
    'rpc_request_success_total and rpc_request_error_total{instance=~"0.*"}',
    'rpc_request_success_total or rpc_request_error_total{instance=~"0.*"}',
    'rpc_request_success_total unless rpc_request_error_total{instance=~"0.*"}',
]

# As BenchmarkNativeHistograms and BenchmarkNativeHistogramsCustomBuckets.
NATIVE = [
    "sum(X)",
    "sum(rate(X[2m]))",
    "sum(rate(X[20m]))",
    "histogram_count(sum(rate(X[2m])))",
    "histogram_count(sum(rate(X[20m])))",
]
TWO_LEGGED = "histogram_count(sum(rate(X[W]))) + histogram_sum(sum(rate(X[W])))"

# As BenchmarkInfoFunction.
COUNTER = "http_server_request_duration_seconds_count"
INFO = [
    ("join", f'rate({COUNTER}[2m]) * on (job, instance) group_left (k8s_cluster_name) '
     'target_info{k8s_cluster_name="us-east"}'),
    ("", f'info(rate({COUNTER}[2m]), {{k8s_cluster_name="us-east"}})'),
    ("join", f'sum by (k8s_cluster_name, http_status_code) (rate({COUNTER}[2m]) * on (job, instance) '
     'group_left (k8s_cluster_name) target_info)'),
    ("", f'sum by (k8s_cluster_name, http_status_code) (info(rate({COUNTER}[2m]), '
     '{k8s_cluster_name=~".+"}))'),
]

# Native histograms of 40 buckets, which upstream does not measure.
WIDE = [
    ("native", "n_hundred"),
    ("native", "rate(n_hundred[5m])"),
    ("native", "sum(rate(n_hundred[5m]))"),
    ("native", "sum by (l) (increase(n_hundred[1h]))"),
    ("native", "sum_over_time(n_hundred[5m])"),
    ("native", "avg_over_time(n_hundred[10m])"),
    ("native", "histogram_count(rate(n_hundred[5m]))"),
    ("native quantile", "histogram_quantile(0.9, n_hundred)"),
    ("native quantile", "histogram_quantile(0.9, rate(n_hundred[5m]))"),
    ("native quantile", "histogram_quantile(0.9, sum(rate(n_hundred[5m])))"),
]

# Beyond upstream's: other functions over long windows, and shapes of everyday queries.
MORE = [
    ("long", "increase(a_one[1d])"),
    ("long", "max_over_time(a_one[1d])"),
    ("long", "avg_over_time(a_one[1d])"),
    ("long", "sum_over_time(a_one[1d])"),
    ("long", "count_over_time(a_one[1d])"),
    ("long", "resets(a_one[1d])"),
    ("long", "stddev_over_time(a_one[1d])"),
    ("long", "deriv(a_one[1d])"),
    ("long", "quantile_over_time(0.9, a_one[1d])"),
    ("quantile", "histogram_quantile(0.9, sum by (le) (rate(h_X[5m])))"),
    ("", "max_over_time(rate(a_X[1m])[10m:30s])"),
    ("", "a_X * 2 > 100"),
    ("", "quantile(0.9, a_X)"),
]


class Case:
    def __init__(self, groups, query, start_ms, end_ms, step_ms, steps):
        self.groups = set(groups.split())
        self.query = query
        self.start_ms, self.end_ms, self.step_ms, self.steps = start_ms, end_ms, step_ms, steps

    def question(self, **more):
        return json.dumps({"query": self.query, "start_ms": self.start_ms, "end_ms": self.end_ms,
                           "step_ms": self.step_ms, **more})

    def address(self):
        if self.step_ms == 0:
            asked = {"query": self.query, "time": self.end_ms / 1000, "stats": "all"}
            return "/api/v1/query?" + urllib.parse.urlencode(asked)
        asked = {"query": self.query, "start": self.start_ms / 1000, "end": self.end_ms / 1000,
                 "step": self.step_ms / 1000, "stats": "all"}
        return "/api/v1/query_range?" + urllib.parse.urlencode(asked)


def cases_of(spans):
    cases = []

    def add(groups, query, part, steps, step_ms=10_000):
        start_ms, end_ms = spans[part]
        if steps == 1:
            cases.append(Case(groups + " instant", query, end_ms, end_ms, 0, 1))
        else:
            first = max(start_ms, end_ms - (steps - 1) * step_ms)
            cases.append(Case(groups + " range", query, first, end_ms, step_ms, steps))

    def sizes(query):
        return [query.replace("X", size) for size in (("one", "hundred") if "X" in query else ("",))]

    for groups, query, steps in RANGE:
        for one in sizes(query):
            for count in [steps] if steps else [1, 1000]:
                add(groups, one, "range", count)
    for groups, query in MORE:
        for one in sizes(query):
            for count in 1, 1000:
                add(groups, one, "range", count)
    for query in JOIN:
        add("join", query, "join", 5000)
    for name in "native_histogram_series", "native_histogram_custom_bucket_series":
        more = [TWO_LEGGED.replace("W", "2m"), TWO_LEGGED.replace("W", "20m")]
        for query in NATIVE + (more if "custom" not in name else []):
            add("native", query.replace("X", name), "native", 241, 30_000)
    for groups, query in INFO:
        add(groups, query, "info", 241, 30_000)
    for groups, query in WIDE:
        for count in 1, 1000:
            add(groups, query, "wide", count)
    return cases


# --- the two sides -------------------------------------------------------------------------------

class Ours:
    def __init__(self, program, data):
        self.child = subprocess.Popen(
            [program, "serve", data], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, case, compare=None):
        self.child.stdin.write(case.question(**({"compare": compare} if compare else {})) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit(f"bench_promql ended at {case.query}")
        return json.loads(line)

    def seconds(self, case):
        return self.ask(case)["stats"]["timings"]["execTotalTime"]

    def stop(self):
        self.child.stdin.close()
        self.child.wait()


class Theirs:
    def __init__(self, args, data, log):
        self.server = Prometheus(args, data, log, FLAGS)

    def ask(self, case):
        with urllib.request.urlopen(f"http://{self.server.address}{case.address()}") as answer:
            return answer.read()

    def seconds(self, case):
        body = self.ask(case)
        # The statistics stand behind the result, which may be large.
        found = body.rindex(b'"execTotalTime":') + len(b'"execTotalTime":')
        end = min(x for x in (body.find(b",", found), body.find(b"}", found)) if x >= 0)
        return float(body[found:end])

    def own_bytes(self):
        return self.server.status("RssAnon")

    def stop(self):
        self.server.stop()


def measure(ours, theirs, case, runs, scratch, taken):
    """The first answer of each side is not counted, but compared."""
    with open(scratch, "wb") as file:
        file.write(theirs.ask(case))
    difference = ours.ask(case, scratch)["difference"]
    sides = (ours, theirs)
    times = ([], [])
    begun = time.monotonic()
    for index in range(runs * 4):
        # Where an answer takes no time, more of them cost nothing and steady the middle one.
        if index >= runs and time.monotonic() - begun > 0.5:
            break
        for side in ((0, 1) if index % 2 == 0 else (1, 0)):
            times[side].append(sides[side].seconds(case))
    return taken(times[0]), taken(times[1]), difference


# --- memory --------------------------------------------------------------------------------------

def peak_of(theirs, case):
    """What the server's own memory grows to while it answers."""
    done, peak = threading.Event(), [0]

    def watch():
        while not done.is_set():
            peak[0] = max(peak[0], theirs.own_bytes())
            time.sleep(0.005)

    before = theirs.own_bytes()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        theirs.ask(case)
    finally:
        done.set()
        watcher.join()
    return peak[0] - before


def memory(args, program, data, spans, folder):
    """Peak memory by series and steps, each in a process of its own."""
    rows = []
    end_ms = spans["many"][1]
    for metric, count in ("y_tenth", args.many // 10), ("y", args.many):
        for steps in 100, 1000:
            step_ms = 15_000 * (1000 // steps)
            query = f"sum by (x) (rate({metric}[5m]))"
            case = Case("", query, end_ms - (steps - 1) * step_ms, end_ms, step_ms, steps)
            told = json.loads(run([program, "memory", data, case.question()])[0])
            theirs = Theirs(args, data, os.path.join(folder, "memory.log"))
            try:
                rows.append((count, steps, peak_of(theirs, case), told["peak"] - told["before"]))
            finally:
                theirs.stop()
    return rows


# --- the table -----------------------------------------------------------------------------------

def geometric(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan


def text_of(seconds):
    return f"{seconds * 1e3:,.3f} ms" if seconds < 0.1 else f"{seconds * 1e3:,.0f} ms"


def print_cases(rows):
    print("| query | steps | Prometheus | promlite | ratio |\n|---|---|---|---|---|")
    for case, ours, theirs, difference in rows:
        ratio = "**void: answers differ**" if difference else f"{theirs / ours:.1f}x"
        query = case.query.replace("|", "\\|")
        print(f"| `{query}` | {case.steps:,} | {text_of(theirs)} | {text_of(ours)} | {ratio} |")


def print_summary(rows):
    ratio = {id(case): theirs / ours for case, ours, theirs, difference in rows if not difference}
    cases = [case for case, *_ in rows if id(case) in ratio]

    def of(wanted):
        found = [(ratio[id(case)], case) for case in cases if wanted(case)]
        return sorted(found, key=lambda one: one[0])

    all_of = lambda *names: lambda case: case.groups.issuperset(names)
    many = lambda case: "one" not in case.query
    aims = [
        ("all range queries of 1,000 steps", lambda c: c.steps == 1000, 10, False),
        ("all range queries", all_of("range"), 10, False),
        ("long windows, 1,000 steps", all_of("range", "long"), 50, False),
        ("joins, range queries", all_of("range", "join"), 15, False),
        ("`histogram_quantile`, classic, range", all_of("range", "quantile"), 10, False),
        ("`histogram_quantile`, native, range", all_of("range", "native", "quantile"), 10, False),
        ("instant queries over 100 series",
         lambda c: "instant" in c.groups and "hundred" in c.query, 3, False),
        ("native histograms", all_of("native"), 3, True),
        ("every case", lambda c: True, 1, True),
    ]
    print("\n| measure | cases | geometric mean | lowest | aim | |\n|---|---|---|---|---|---|")
    for name, wanted, aim, is_lowest in aims:
        found = of(lambda case: wanted(case) and ("classic" not in name or "native" not in case.groups))
        if not found:
            continue
        mean, (lowest, case) = geometric([one for one, _ in found]), found[0]
        reached = (lowest if is_lowest else mean) >= aim
        aim_text = f"lowest {aim}x" if is_lowest else f"mean {aim}x"
        print(f"| {name} | {len(found)} | {mean:.1f}x | {lowest:.1f}x `{case.query}`, {case.steps:,} "
              f"| {aim_text} | {'reached' if reached else '**not reached**'} |")
    for case, _, _, difference in rows:
        if difference:
            print(f"\nvoid: `{case.query}` at {case.steps} steps: {difference}")


def print_memory(rows):
    print("\n| `sum by (x) (rate(y[5m]))`, 100 groups | steps | Prometheus | promlite | a series |")
    print("|---|---|---|---|---|")
    for count, steps, theirs, ours in rows:
        print(f"| {count:,} series | {steps:,} | {theirs / 1e6:,.0f} MB | {ours / 1e6:,.1f} MB "
              f"| {ours / count:,.0f} B |")


def main():
    signal.signal(signal.SIGTERM, stopped)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prometheus", default=os.environ.get("PROMETHEUS", "prometheus"))
    parser.add_argument("--runs", type=int, default=5, help="of each side; the middle one counts")
    parser.add_argument("--best", action="store_true",
                        help="take the best run of each side: for a machine that others use")
    parser.add_argument("--only", default="", help="cases whose query has this text")
    parser.add_argument("--group", default="", help="long, join, quantile, native, instant or range")
    parser.add_argument("--many", type=int, default=100_000, help="series of the memory rows")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--dir", help="where to work, and to find the data of a run before; "
                        "about 2 GB; default a temporary folder")
    parser.add_argument("--no-build", action="store_true")
    args = parser.parse_args()
    folder = args.dir or tempfile.mkdtemp(prefix="promlite-bench-")
    os.makedirs(folder, exist_ok=True)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    program = os.path.join(target, "release", "examples", "bench_promql")
    data, copy = os.path.join(folder, "data"), os.path.join(folder, "prometheus")
    spans_path = os.path.join(folder, "spans.json")
    try:
        if not args.no_build:
            run(["cargo", "build", "--release", "--example", "bench_promql"], cwd=ROOT)
        if not os.path.exists(spans_path):
            shutil.rmtree(data, ignore_errors=True)
            text, _, _ = run([program, "write", data, "--many", str(args.many)])
            with open(spans_path, "w") as file:
                file.write(text)
        with open(spans_path) as file:
            spans = json.load(file)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(data, copy)
        version = run([args.prometheus, "--version"])[0].split("\n")[0]
        taken = "the best" if args.best else "the middle one"
        print(f"{version}; {os.cpu_count()} cores; {args.runs} runs each or more, in turn, "
              f"{taken} counts\n")
        cases = [case for case in cases_of(spans) if args.only in case.query]
        if args.group:
            cases = [case for case in cases if case.groups.issuperset(args.group.split(","))]
        rows = all_cases(args, cases, program, data, copy, folder)
        print_cases(rows)
        print_summary(rows)
        if not args.no_memory:
            print_memory(memory(args, program, copy, spans, folder))
    finally:
        if not args.dir:
            shutil.rmtree(folder, ignore_errors=True)


def all_cases(args, cases, program, data, copy, folder):
    ours = Ours(program, data)
    theirs = Theirs(args, copy, os.path.join(folder, "prometheus.log"))
    rows = []
    try:
        for case in cases:
            taken = min if args.best else statistics.median
            scratch = os.path.join(folder, "answer.json")
            row = case, *measure(ours, theirs, case, args.runs, scratch, taken)
            rows.append(row)
            say(f"  {row[2] / row[1]:8.1f}x {text_of(row[2]):>12} {text_of(row[1]):>12} {case.steps:6} "
                f"{case.query}{'  DIFFERS ' + row[3][:300] if row[3] else ''}")
    finally:
        ours.stop()
        theirs.stop()
    return rows


if __name__ == "__main__":
    main()
