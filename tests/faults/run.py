"""The long version: every kind of fault, as often as is promised; goes on where it was stopped.

`python tests/faults/run.py [--workers 2] [--only KIND …] [--short]`. Results are kept in runs/faults.jsonl, one a
line, for as long as no file of the sources or of these tests changes. The exit code is 1 where anything failed.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "runs" / "faults.jsonl"
SOURCES = ("latentseq", "cli", "plugins", "tests/faults", "tests/library/honest_plugins.py")
PYTEST = {"hostile": ["tests/library", "-k", "hostile"]}
"""What pytest counts, after the faults: name -> its arguments."""
LEAST = 60
"""Of what pytest counts."""

sys.path[:0] = [str(HERE), *(str(ROOT / each) for each in ("", "cli", "plugins"))]


def sources() -> str:
    """SHA-256 over all that results depend on."""
    digest = hashlib.sha256()
    for each in SOURCES:
        path = ROOT / each
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def earlier(state: str) -> list[dict]:
    """Results of the same sources that have passed; those of others are removed."""
    if RESULTS.is_file():
        lines = [json.loads(line) for line in RESULTS.read_text().splitlines() if line.endswith("}")]
        same = [each for each in lines if each["sources"] == state and not each["failed"]]
    else:
        same = []
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("".join(json.dumps(each) + "\n" for each in same))
    return same


def by_pytest(name: str, arguments: list[str]) -> dict:
    """Count what pytest does."""
    began = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        *arguments,
    ]  # Twice quiet, it counts nothing.
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    passed = re.search(r"(\d+) passed", done.stdout)
    count = int(passed[1]) if passed else 0
    failed = "" if done.returncode == 0 and count >= LEAST else done.stdout[-2000:]
    seconds = round(time.monotonic() - began, 1)
    return {"kind": name, "number": 0, "count": count, "failed": failed, "seconds": seconds}


def table(results: list[dict], wanted: dict[str, int]) -> tuple[str, bool]:
    """Counts by kind, and the failures by name; whether all is well."""
    lines, well = [f"{'kind':<22}{'cases':>7}{'faults':>8}{'wanted':>8}{'failed':>8}{'seconds':>9}"], True
    for kind, least in wanted.items():
        mine = [each for each in results if each["kind"] == kind]
        failed = [each for each in mine if each["failed"]]
        count, seconds = sum(each["count"] for each in mine), sum(each["seconds"] for each in mine)
        lines.append(f"{kind:<22}{len(mine):>7}{count:>8}{least:>8}{len(failed):>8}{seconds:>9.0f}")
        well = well and not failed and count >= least
    for each in results:
        if each["failed"]:
            lines += ["", f"FAILED {each['kind']} {each['number']}", each["failed"]]
    return "\n".join(lines), well


def main() -> int:
    """Run what was not run yet, and print the counts."""
    from cases import CASES, SHORT
    from pool import do_all

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--short", action="store_true")
    asked = parser.parse_args()
    state = sources()
    results = earlier(state)
    there = {(each["kind"], each["number"]) for each in results}
    chosen = {kind: each for kind, each in CASES.items() if not asked.only or kind in asked.only}
    cases = [
        (each.keras, (kind, number))
        for kind, each in chosen.items()
        for number in (SHORT.get(kind, (0,)) if asked.short else range(each.cases))
        if (kind, number) not in there
    ]
    total = len(cases)

    def told(result: dict) -> None:
        results.append(result)
        with RESULTS.open("a") as file:
            file.write(json.dumps({**result, "sources": state}) + "\n")
        nonlocal total
        total -= 1
        how = "FAILED" if result["failed"] else "passed"
        print(f"{how} {result['kind']} {result['number']} · {result['seconds']:.0f} s · {total} to go", flush=True)

    do_all(cases, asked.workers, told)
    wanted = {kind: 0 if asked.short else each.at_least for kind, each in chosen.items()}
    if not asked.only and not asked.short:
        for name, arguments in PYTEST.items():
            wanted[name] = 0
            if (name, 0) not in there:
                told(by_pytest(name, arguments))
    text, well = table([each for each in results if each["kind"] in wanted], wanted)
    print(text)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
