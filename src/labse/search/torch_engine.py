"""Products of blocks on torch, in bfloat16, on the CPU or a GPU.

Takes: unit float32 rows. Gives: products with a proven bound on their error.
Source: by Cauchy and Schwarz a product of rounded rows is off by at most the sum of the distances
of the two rows from their rounded selves, which are measured, not assumed.
"""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from labse.errors import ResourceError
from labse.search.engine import FLOAT32_UNIT, TILE, Axis, Operand, Products

__all__ = ["TorchEngine", "choose_device"]

# bfloat16 keeps 8 bits: rounding to nearest moves a number by at most this share of it.
_BFLOAT16_UNIT = 2.0**-8


def choose_device() -> str:
    """Returns "cuda" if there is one, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


class TorchEngine:
    """Multiplies in bfloat16 with sums in float32."""

    name = "torch"
    value_bytes = 2

    def __init__(self, device: str = "cpu") -> None:
        """Chooses the device.

        Raises:
            ResourceError: there is no such device.
        """
        try:
            self._device = torch.empty(0, dtype=torch.bfloat16, device=device).device
        except (RuntimeError, AssertionError) as error:
            raise ResourceError(f"device {device!r}: {str(error).splitlines()[0]}") from None
        # 1024: 2 MiB of products stay in the cache, where a second look at them costs little.
        self.block_rows = 1024 if self._device.type == "cpu" else 8192
        self._own = threading.local()

    @contextlib.contextmanager
    def workers(self) -> Iterator[ThreadPoolExecutor]:
        """On a CPU each core multiplies blocks of its own, alone; see `Engine`.

        Two cores that multiply one block wait for each other, and for who looks at the products.
        """
        num_threads = torch.get_num_threads()
        if self._device.type != "cpu":
            with ThreadPoolExecutor(1, thread_name_prefix="labse-knn") as pool:
                yield pool
            return
        try:
            with ThreadPoolExecutor(
                num_threads,
                thread_name_prefix="labse-knn",
                initializer=torch.set_num_threads,
                initargs=(1,),
            ) as pool:
                yield pool
        finally:
            # A thread's number is also that of threads to come.
            torch.set_num_threads(num_threads)

    def load(self, units: NDArray[np.float32]) -> Operand:
        """Rounds the rows and measures how far that moves them; see `Engine`."""
        exact = torch.from_numpy(np.ascontiguousarray(units))
        rows = torch.zeros(len(units) + -len(units) % TILE, units.shape[1], dtype=torch.bfloat16)
        rows[: len(units)] = exact
        moved = rows[: len(units)].float().sub_(exact)
        residual = float(torch.linalg.vector_norm(moved, dim=1).max()) if len(units) else 0.0
        return Operand(rows.to(self._device), len(units), residual * (1 + 1e-5))

    def multiply(self, left: Operand, right: Operand) -> Products:
        """See `Engine`."""
        left_rows, right_rows = (cast("torch.Tensor", side.rows) for side in (left, right))
        shape = (len(left_rows), len(right_rows))
        out = self._values(shape)
        with _sums_in_float32(self._device.type):
            torch.matmul(left_rows, right_rows.T, out=out)
        if left.num_rows < shape[0]:
            out[left.num_rows :] = -torch.inf
        if right.num_rows < shape[1]:
            out[:, right.num_rows :] = -torch.inf
        # Twice the float32 bound: bfloat16 instructions sum pairs, and some flush tiny numbers.
        summing = 2 * (left_rows.shape[1] + 4) * FLOAT32_UNIT
        residual = left.residual + right.residual + left.residual * right.residual
        build = _HostProducts if self._device.type == "cpu" else _DeviceProducts
        return build(out, residual + summing)

    def _values(self, shape: tuple[int, int]) -> torch.Tensor:
        """Returns the thread's memory for products, made anew only for another shape."""
        out: torch.Tensor | None = getattr(self._own, "values", None)
        if out is None or out.shape != shape:
            out = torch.empty(shape, dtype=torch.bfloat16, device=self._device)
            self._own.values = out
        return out


@contextlib.contextmanager
def _sums_in_float32(device: str) -> Iterator[None]:
    """Keeps CUDA from summing parts of a product in bfloat16, which it may by default."""
    if device != "cuda":
        yield
        return
    settings = torch.backends.cuda.matmul
    before = settings.allow_bf16_reduced_precision_reduction
    settings.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        settings.allow_bf16_reduced_precision_reduction = before


@dataclass(frozen=True, slots=True)
class _HostProducts:
    """Products in main memory; all but the multiplication is quicker without torch's threads."""

    values: torch.Tensor  # (padded B, padded C) bfloat16
    error: float
    rounding: float = _BFLOAT16_UNIT

    @property
    def _bits(self) -> NDArray[np.int16]:
        bits: NDArray[np.int16] = self.values.view(torch.int16).numpy()
        return bits

    def tile_maxima(self, axis: Axis) -> NDArray[np.float32]:
        # Positive bfloat16 numbers are ordered like the integers of the same bits, and negative
        # ones are smaller than those. Halves of the matrix are compared, so that rows stay long.
        maxima = self._bits
        for _ in range(TILE.bit_length() - 1):
            half = maxima.shape[1 - axis] // 2
            parts = (
                (maxima[:, :half], maxima[:, half:])
                if axis == 0
                else (maxima[:half], maxima[half:])
            )
            maxima = np.maximum(*parts)
        return _widen(maxima if axis == 0 else maxima.T)

    def open_tiles(
        self, axis: Axis, rows: NDArray[np.int64], tiles: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        bits = self._bits
        if axis == 0:
            return _widen(bits.reshape(len(bits), TILE, -1)[rows, :, tiles])
        return _widen(bits.reshape(TILE, -1, bits.shape[1])[:, tiles, rows].T)


def _widen(bits: NDArray[np.int16]) -> NDArray[np.float32]:
    """Returns the numbers that bits of bfloat16 stand for: the upper half of a float32."""
    words = np.ascontiguousarray(bits).astype(np.uint32)
    words <<= 16
    return words.view(np.float32)


@dataclass(frozen=True, slots=True)
class _DeviceProducts:
    """Products on a GPU; what is looked at comes over, one number in 64."""

    values: torch.Tensor
    error: float
    rounding: float = _BFLOAT16_UNIT

    def tile_maxima(self, axis: Axis) -> NDArray[np.float32]:
        num_rows, num_columns = self.values.shape
        if axis == 0:
            return _to_numpy(self.values.view(num_rows, TILE, -1).amax(dim=1))
        return _to_numpy(self.values.view(TILE, -1, num_columns).amax(dim=0).T.contiguous())

    def open_tiles(
        self, axis: Axis, rows: NDArray[np.int64], tiles: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        num_rows, num_columns = self.values.shape
        row_index = torch.from_numpy(rows).to(self.values.device)
        tile_index = torch.from_numpy(tiles).to(self.values.device)
        if axis == 0:
            return _to_numpy(self.values.view(num_rows, TILE, -1)[row_index, :, tile_index])
        return _to_numpy(self.values.view(TILE, -1, num_columns)[:, tile_index, row_index].T)


def _to_numpy(tensor: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.float().cpu().numpy()
    return array
