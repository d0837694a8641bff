"""What runs on a node of a cluster: one call, from names alone.

Takes: the name of a function and JSON. Gives: what came of it. This module is sent to the nodes
whole, so it imports nothing of labse at the top: a node may lack it, or have another version.
"""

import importlib
import os
import socket
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

__all__ = ["call_step"]


def call_step(
    module: str,
    name: str,
    arguments: dict[str, Any],
    outputs: Sequence[str] = (),
    *,
    version: str,
    folder: str,
) -> tuple[str, str, Any]:
    """Calls a function of labse; returns a kind of outcome, the node, and what came of it.

    Args:
        module: of the function.
        name: of the function in its module.
        arguments: by name.
        outputs: files that it writes; see `run_step`.
        version: of labse on the machine of the user.
        folder: from which the user's relative paths count.

    Returns:
        "done", "raised" or "unfit"; the host name; what `run_step` returns, the exception, or what
        is wrong with the node.
    """
    node = socket.gethostname()
    try:
        found = importlib.import_module("labse").__version__
    except ImportError:
        return "unfit", node, f'has no labse; run there: pip install "labse[cluster]=={version}"'
    if found != version:
        return "unfit", node, f"has labse {found}, and this machine has {version}"
    with suppress(OSError):  # Where it is not there, all paths may still be absolute.
        os.chdir(folder)
    try:
        step = getattr(importlib.import_module(module), name)
        run_step = importlib.import_module("labse.cluster.tasks").run_step
        return "done", node, run_step(step, arguments, outputs)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # A library written in Rust raises one of these.
        # A frame would keep its values, and no process can send one to another.
        error.add_note(f"on {node}:\n{traceback.format_exc()}")
        return "raised", node, error.with_traceback(None)
