"""Builds everything with the release profile, and says where it is."""

import json
import subprocess

BENCHES = ("bare_shape", "bare_epoll", "plain_threads", "lower_bounds")


def build(root):
    """The path of each program by its name."""
    argv = ["cargo", "build", "--locked", "--release", "--message-format=json-render-diagnostics", "--bin", "logboom", "--bin", "loadgen"]
    argv += ["--workspace", *(flag for name in BENCHES for flag in ("--bench", name))]
    messages = subprocess.run(argv, cwd=root, stdout=subprocess.PIPE, check=True).stdout.splitlines()
    return executables(messages)


def executables(messages):
    found = {}
    for line in messages:
        message = json.loads(line)
        if message.get("executable"):
            found[message["target"]["name"]] = message["executable"]
    return found
