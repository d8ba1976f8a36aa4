#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""judge.py --known FILE.md --mode MODE RESULT.tap...: counts what passed, and names every failure nobody has explained.

Known failures are the rows of the tables in FILE.md whose first cell is a file (in mode v2: "file (v2)") and whose
second is the name of a test.
"""
import argparse
import pathlib
import re
import sys

LINE = re.compile(r"^(ok|not ok) \d+ (.*?)(?: # skip ?(.*))?$")


def known_failures(path):
    rows = set()
    for line in pathlib.Path(path).read_text().splitlines() if path and pathlib.Path(path).exists() else []:
        cells = [cell.strip().strip("`") for cell in line.split("|")[1:-1]]
        if len(cells) >= 3:
            rows.add((cells[0], cells[1]))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--known")
    parser.add_argument("--mode", default="")
    parser.add_argument("results", nargs="+")
    options = parser.parse_args()
    known = known_failures(options.known)
    passed, skipped, failed, surprises = 0, 0, [], []
    for result in sorted(options.results):
        name = pathlib.Path(result).name.split(".")[0]
        for line in pathlib.Path(result).read_text(errors="replace").splitlines():
            match = LINE.match(line)
            if not match:
                continue
            verdict, test, skip = match.groups()
            test = re.sub(r" in \d+ms$", "", test)
            if verdict == "not ok":
                failed.append((name, test))
                if (name + (" (v2)" if options.mode == "v2" else ""), test) not in known:
                    surprises.append((name, test))
            elif skip is not None:
                skipped += 1
            else:
                passed += 1
    print(f"passed {passed}, failed {len(failed)} ({len(surprises)} not explained), skipped {skipped}")
    for name, test in surprises:
        print(f"not explained: {name}: {test}")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
