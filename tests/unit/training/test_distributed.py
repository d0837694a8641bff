"""What several processes gather and add up; each computes in `work`, the tests compare."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from labse.errors import LabseError, ResourceError, UsageError
from labse.files.atomic import read_json, write_json
from labse.training.distributed import (
    SINGLE,
    Processes,
    check_shared,
    join_processes,
)

SIZE = 3
SIZES = (SIZE,)


def rows_of(rank: int) -> Tensor:
    """Returns as many rows as the rank says, so that the shares differ and one is empty."""
    generator = torch.Generator().manual_seed(rank)
    return torch.randn(rank, 2, generator=generator, dtype=torch.float64)


def weights_of(rank: int) -> Tensor:
    generator = torch.Generator().manual_seed(10 + rank)
    return torch.randn(3, 2, generator=generator, dtype=torch.float64)


def parameters_of(rank: int) -> list[nn.Parameter]:
    """Returns a large one, one of another type, one without gradient and a table."""
    large, narrow = nn.Parameter(torch.zeros(9_000_001)), nn.Parameter(torch.zeros(2).double())
    table, unused = nn.Parameter(torch.zeros(6, 2)), nn.Parameter(torch.zeros(3))
    large.grad = torch.full_like(large, rank + 1.0)
    narrow.grad = torch.tensor([rank, 1.0]).double()
    rows = torch.arange(rank + 1)[None] + rank  # 0; 1, 2; 2, 3, 4
    table.grad = torch.sparse_coo_tensor(
        rows, torch.ones(rank + 1, 2), (6, 2), check_invariants=True
    )
    return [large, narrow, unused, table]


def work(out: Path) -> None:
    with join_processes() as processes:
        rank = processes.rank
        rows = rows_of(rank).requires_grad_()
        gathered = processes.gather_rows(rows)
        (gathered * weights_of(rank)).sum().backward()

        parameters = parameters_of(rank)
        processes.sum_gradients(parameters)
        large, narrow, unused, table = (parameter.grad for parameter in parameters)
        assert unused is None
        assert table is not None
        assert table.is_sparse

        torch.manual_seed(rank)
        model = nn.Linear(2, 2)
        processes.copy_from_main(model)
        torch.manual_seed(0)
        processes.seed_apart(7)

        order = out / "order"
        with processes.main_first():
            if processes.is_main:
                order.write_text("main")
            check_shared(order)
        told = processes.from_main({"score": 0.1 + 0.2} if rank == 0 else None)
        with pytest.raises(LabseError, match=r"last step by rank: 0, 1, 2"):
            processes.check_alike("last step", rank)
        processes.check_alike("last step", 5)
        numbers = [processes.add([rank, 0.5]), processes.any(rank == 1), processes.any(False)]
        write_json(out / f"{rank}.json", {"told": told, "numbers": numbers})
        found = {"rows": gathered.detach(), "grad": rows.grad, "table": table.to_dense()}
        found |= {"large": large[::3_000_000].clone(), "narrow": narrow, "drawn": torch.rand(1)}
        save_file({**found, "weight": model.weight.detach()}, out / f"{rank}.safetensors")


@pytest.fixture(scope="module")
def found(worlds: Path) -> list[tuple[dict[str, Tensor], dict[str, object]]]:
    place = worlds / str(SIZE)
    return [
        (load_file(place / f"{rank}.safetensors"), read_json(place / f"{rank}.json"))
        for rank in range(SIZE)
    ]


def test_rows_are_gathered_in_the_order_of_ranks_though_their_numbers_differ(found: list) -> None:
    expected = torch.cat([rows_of(rank) for rank in range(SIZE)])
    for tensors, _ in found:
        assert torch.equal(tensors["rows"], expected)


def test_a_gathered_row_gets_the_gradients_of_the_losses_of_all(found: list) -> None:
    # Rank 1 owns row 0, rank 2 rows 1 and 2; each loss weighs all of them. No factor of the size.
    total = sum(weights_of(rank) for rank in range(SIZE))
    for rank, rows in ((0, slice(0, 0)), (1, slice(0, 1)), (2, slice(1, 3))):
        torch.testing.assert_close(found[rank][0]["grad"], total[rows], rtol=1e-12, atol=0)


def test_gradients_are_added_up_in_dense_and_in_sparse(found: list) -> None:
    for tensors, _ in found:
        assert tensors["large"].tolist() == [6.0] * 4
        assert tensors["narrow"].tolist() == [3.0, 3.0]
        assert tensors["table"][:, 0].tolist() == [1, 1, 2, 1, 1, 0]


def test_weights_are_those_of_the_main_process_and_random_numbers_are_not(found: list) -> None:
    torch.manual_seed(0)
    expected = nn.Linear(2, 2).weight
    assert all(torch.equal(tensors["weight"], expected) for tensors, _ in found)
    assert len({tensors["drawn"].item() for tensors, _ in found}) == SIZE
    torch.manual_seed(0)
    assert found[0][0]["drawn"] == torch.rand(1)


def test_numbers_are_added_up_and_told(found: list) -> None:
    for _, told in found:
        assert told == {"told": {"score": 0.1 + 0.2}, "numbers": [[3.0, 1.5], True, False]}


def test_one_process_alone_does_nothing() -> None:
    rows = rows_of(2)
    assert SINGLE.gather_rows(rows) is rows
    assert SINGLE.add([1.5]) == [1.5]
    assert SINGLE.from_main("value") == "value"
    assert SINGLE.any(True)
    parameters = parameters_of(1)
    before = [parameter.grad for parameter in parameters]
    SINGLE.sum_gradients(parameters)
    assert all(now.grad is was for now, was in zip(parameters, before, strict=True))
    with join_processes() as processes:
        assert processes is SINGLE


def test_a_batch_is_shared_in_parts_of_one_size() -> None:
    shares = [Processes(rank, 4).part(12) for rank in range(4)]
    assert [list(range(12))[share] for share in shares] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9, 10, 11],
    ]
    with pytest.raises(UsageError, match="12 does not divide among 5 processes"):
        Processes(0, 5).part(12)


def test_an_environment_that_is_not_torchruns_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UsageError, match=r"RANK is '' .* torchrun"), join_processes():
        pass


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ResourceError, match="process 1 of this node has no GPU"), join_processes():
        pass


def test_a_file_that_is_not_shared_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="must be on a file system that all processes share"):
        check_shared(tmp_path / "manifest.json")
