"""What reading a file in the sandbox costs: disclosure checks through it against the same checks in this process.

    python benchmarks/egress_reading.py [--repeat 20]

Ways take turns. Also: the start of the process that waits, what the first file of a kind costs (parsers are loaded
then), ten files of one request, and a picture drawn again. Milliseconds; ``benchmarks/results/egress_reading.json``.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from rounds import interleaved, machine, summary, write

from egress_review.parsing.files import FileReader
from egress_review.parsing.helper import Helper
from egress_review.parsing.limits import ReadingLimits
from egress_review.sdc import check_file
from enclave.domain.permits import OutputRules

RULES = OutputRules(maximum_bytes=50_000_000)
LIMITS = ReadingLimits(request_seconds=3600.0)


def table(rows: int) -> bytes:
    lines = (f"{number},{number % 7},{random.Random(number).random():.3f}\n" for number in range(rows))
    return ("group,band,share\n" + "".join(lines)).encode()


def plot() -> bytes:
    file = io.BytesIO()
    Image.effect_mandelbrot((1200, 800), (-3, -2.5, 2, 2.5), 50).convert("RGB").save(file, "PNG")
    return file.getvalue()


def notebook() -> bytes:
    picture = base64.b64encode(plot()).decode()
    output = {"output_type": "display_data", "metadata": {}, "data": {"image/png": picture, "text/plain": "<Figure>"}}
    cell = {"cell_type": "code", "source": "plot()", "metadata": {}, "execution_count": 1, "outputs": [output]}
    cells = [{**cell, "id": f"c{number}"} for number in range(10)]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


FILES = {"small.csv": table(20), "large.csv": table(50_000), "plot.png": plot(), "plots.ipynb": notebook()}


def milliseconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return round((time.perf_counter() - began) * 1000, 1)


def first_ones() -> dict[str, float]:
    """Of a sandbox that has read nothing yet."""
    helper = Helper()
    reader = FileReader(helper, LIMITS)
    try:
        found = {"start": milliseconds(helper.warm)}
        for name, content in FILES.items():
            found[f"first {Path(name).suffix}"] = milliseconds(
                lambda n=name, c=content: reader.check(n, c, RULES, None)
            )
    finally:
        helper.close()
    return found


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=20)
    repeat = parser.parse_args().repeat
    helper = Helper()
    reader = FileReader(helper, LIMITS)
    results: dict[str, Any] = {"machine": machine(), "first": first_ones()}
    try:
        for name, content in FILES.items():
            ways = {
                "in process": lambda n=name, c=content: check_file(n, c, RULES, None),
                "sandbox": lambda n=name, c=content: reader.check(n, c, RULES, None),
            }
            times = {way: summary(taken) for way, taken in interleaved(ways, repeat).items()}
            results[name] = {"bytes": len(content), **times}
        ten = {f"{number}.csv": FILES["small.csv"] for number in range(10)}
        results["ten small files"] = summary(
            interleaved({"sandbox": lambda: reader.check_all(ten, RULES, None)}, repeat)["sandbox"]
        )
        drawn = {"drawn": lambda: reader.picture("plot.png", FILES["plot.png"])}
        results["plot.png drawn again"] = summary(interleaved(drawn, repeat)["drawn"])
    finally:
        helper.close()
    write("egress_reading", results)


if __name__ == "__main__":
    main()
