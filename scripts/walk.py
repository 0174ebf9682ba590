#!/usr/bin/env python3
"""Runs the README's walk unchanged, and prints seconds and peak memory of every line: walk.py [FOLDER]

The walk is the first shell block after `<!-- walk -->` in README.md. It runs in FOLDER, which must not exist: a
clone of the last commit is made there. Memory is that of the largest process of a line.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

here = Path(__file__).resolve().parent.parent
place = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp() + "/frostline").resolve()
subprocess.run(["git", "clone", "--quiet", here, place], check=True)
block = re.search(r"<!-- walk -->.*?```sh\n(.*?)```", (place / "README.md").read_text(), re.S).group(1)
rows = []
for line in filter(None, block.splitlines()):
    print(f"$ {line}", flush=True)
    start = time.time()
    child = subprocess.Popen(["bash", "-c", line], cwd=place)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"this line ended with status {os.waitstatus_to_exitcode(status)}")
    command = line.split("#")[0].strip()
    rows.append(f"| `{command}` | {time.time() - start:.1f} | {usage.ru_maxrss / 1024:.0f} |")
print("\n| line | seconds | peak memory, MiB |\n|---|---:|---:|\n" + "\n".join(rows))
