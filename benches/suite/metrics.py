"""What a running daemon counts."""

import re
import urllib.request


def totals(http, names):
    """The sum of each metric over its labels, by the key that `names` gives it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{http}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {key: sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)) for key, name in names.items()}
