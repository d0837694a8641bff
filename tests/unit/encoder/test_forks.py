"""A model loaded before a fork encodes in the child too, or says at once what to do."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labse.model_folder.folder import ModelFolder, write_model_folder

_PROGRAM = """
import os, shutil, sys
import numpy as np
from labse import SentenceEncoder
from labse.errors import ResourceError

folder, runtime, is_used, is_kept = sys.argv[1], sys.argv[2], sys.argv[3] == "1", sys.argv[4] == "1"
texts = ["free and equal", "rights " * 9] * 40
encoder = SentenceEncoder.from_pretrained(folder, runtime=runtime, threads=2)
if is_used:
    encoder.encode(texts)
if not is_kept:
    shutil.rmtree(os.environ["LABSE_CACHE"])
child = os.fork()
expected = encoder.encode(texts) if child else None
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
try:
    found = encoder.encode(texts)
except ResourceError as error:
    sys.exit(0 if not is_kept and "after the fork" in str(error) else 3)
fresh = SentenceEncoder.from_pretrained(folder, runtime=runtime, threads=1).encode(texts)
sys.exit(0 if is_kept and np.allclose(found, fresh, atol=1e-6) else 2)
"""


@pytest.mark.parametrize(
    ("runtime", "is_used", "is_kept"),
    [("ctranslate2", 1, 1), ("ctranslate2", 0, 1), ("ctranslate2", 1, 0), ("torch", 1, 1)],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_encodes_or_says_what_to_do(
    tmp_path: Path,
    build_model: Callable[..., ModelFolder],
    vocab_folder: Path,
    runtime: str,
    is_used: int,
    is_kept: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LABSE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "m"
    write_model_folder(folder, build_model(1), vocab_folder=vocab_folder, manifest={})
    command = [sys.executable, "-c", _PROGRAM, str(folder), runtime, str(is_used), str(is_kept)]
    ran = subprocess.run(command, timeout=100, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
