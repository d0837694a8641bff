"""Which runtime computes a model, and in which precision.

Takes: a `ModelFolder` and the names a user gave. Gives: a `Runtime`.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from labse.encoder.runtimes.numpy_runtime import NumpyRuntime
from labse.errors import UsageError
from labse.model_folder.folder import ModelFolder
from labse.runtime import require

__all__ = ["Precision", "Runtime", "RuntimeName", "build_runtime", "check_options"]

Precision = Literal["float32", "int8", "bfloat16"]
RuntimeName = Literal["auto", "ctranslate2", "numpy", "torch"]

_PRECISIONS = ("float32", "int8", "bfloat16")
_RUNTIMES: dict[str, tuple[Precision, ...]] = {
    "ctranslate2": ("float32", "int8"),
    "numpy": ("float32", "int8"),
    "torch": ("float32", "bfloat16"),
}


class Runtime(Protocol):
    """What computes vectors of token ids; safe to call from several threads."""

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch that suits it, padding included."""
        ...

    @property
    def embedding_size(self) -> int:
        """D, the width of a vector."""
        ...

    def embed(self, input_ids: Sequence[Sequence[int] | NDArray[np.int32]]) -> NDArray[np.float32]:
        """Returns (B, D) float32 unit rows for B sentences of any lengths."""
        ...


def check_options(
    runtime: RuntimeName, precision: Precision, threads: int | None, device: str | None = None
) -> None:
    """Refuses what no runtime has.

    Raises:
        UsageError: a name or a number of threads that does not exist, or a runtime that does not
            have this precision or device.
    """
    if precision not in _PRECISIONS:
        raise UsageError(f"precision {precision!r}: choose one of {', '.join(_PRECISIONS)}")
    if runtime != "auto" and runtime not in _RUNTIMES:
        raise UsageError(f"runtime {runtime!r}: choose one of auto, {', '.join(_RUNTIMES)}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads is {threads}; it must be at least 1")
    if runtime != "auto":
        _check_precision(runtime, precision)
    if not _is_cpu(device) and (runtime in ("ctranslate2", "numpy") or precision == "int8"):
        what = f"precision {precision}" if precision == "int8" else f"the runtime {runtime}"
        raise UsageError(f"device {device!r}: {what} computes on the CPU; leave one of them out")


def build_runtime(
    model: ModelFolder,
    runtime: RuntimeName,
    precision: Precision,
    threads: int | None,
    *,
    device: str | None = None,
    model_sha256: Callable[[], str] | None = None,
) -> Runtime:
    """Chooses for "auto" and builds; only the runtime that is used is imported.

    Args:
        model: what is computed.
        runtime: its name.
        precision: of the matrices.
        threads: CPU threads; None: all.
        device: a name of torch's; all but `cpu` ask for torch. None takes torch's first GPU, if
            it is torch that computes.
        model_sha256: computes the hash of the model's folder, by which a converted model is kept.

    Raises:
        UsageError: the runtime cannot compute this model.
        ResourceError: torch is asked for and not installed.
    """
    if runtime == "auto" and (precision == "bfloat16" or not _is_cpu(device)):
        runtime = "torch"
    elif runtime == "auto":
        runtime = "ctranslate2" if model.config.bert.num_hidden_layers else "numpy"

    if runtime == "torch":
        torch = require("torch", "train")
        module = importlib.import_module("labse.encoder.runtimes.torch_runtime")
        if threads is not None:
            torch.set_num_threads(threads)
        built: Runtime = module.TorchRuntime.from_folder(model, precision=precision, device=device)
    elif runtime == "ctranslate2":
        module = importlib.import_module("labse.encoder.runtimes.ctranslate2_runtime")
        built = module.CTranslate2Runtime(
            model, precision=precision, threads=threads, model_sha256=model_sha256
        )
    else:
        narrow: Literal["float32", "int8"] = "int8" if precision == "int8" else "float32"
        built = NumpyRuntime(model, precision=narrow, threads=threads)
    return built


def _is_cpu(device: str | None) -> bool:
    return device is None or device.partition(":")[0] == "cpu"


def _check_precision(runtime: str, precision: Precision) -> None:
    if precision not in _RUNTIMES[runtime]:
        others = [name for name, precisions in _RUNTIMES.items() if precision in precisions]
        raise UsageError(
            f"the runtime {runtime} has no {precision}; it has "
            f"{' and '.join(_RUNTIMES[runtime])}, and {precision} is in {' and '.join(others)}"
        )
