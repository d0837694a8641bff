import pytest

from labse.mining.cluster_plan import (
    ClusterSize,
    Rates,
    cell_bytes,
    plan_on_cluster,
    simulate_tasks,
    tell_time,
)
from labse.search.grid import plan_grid

RATES = Rates(encode=1e-3, product=1e-9, merge=1e-8, line=1e-4)


def test_a_task_begins_where_a_processor_is_free_first() -> None:
    assert simulate_tasks([3, 1, 1, 1], 2) == 3
    assert simulate_tasks([1, 1, 1, 3], 2) == 4
    assert simulate_tasks([], 2) == 0


def test_ten_times_the_machines_search_in_a_tenth_of_the_time() -> None:
    small, large = (
        plan_on_cluster((10**7, 10**7), 384, 4, RATES, ClusterSize(nodes, 2)) for nodes in (10, 100)
    )
    times = [{stage.name: stage.seconds for stage in plan.stages} for plan in (small, large)]
    # 10^14 products of 1 ns on 20 processors, in 4,096 tasks.
    assert times[0]["search"] == pytest.approx(10**14 * 1e-9 / 20, rel=0.02)
    assert times[1]["search"] == pytest.approx(times[0]["search"] / 10, rel=0.03)
    assert times[1]["lines and pairs"] == times[0]["lines and pairs"]


def test_gpus_take_the_search_and_what_has_layers() -> None:
    cluster = ClusterSize(4, 8, num_gpus=8, gpu_tflops=100)
    rates = Rates(encode=1e-3, product=1e-9, merge=1e-8, line=0, encode_flops=1e10)
    plan = plan_on_cluster((10**6, 10**6), 500, 4, rates, cluster)
    stages = {stage.name: stage for stage in plan.stages}
    assert stages["search"].num_slots == 8
    assert stages["search"].task_seconds == pytest.approx(65_536**2 * 1000 / 1e14)
    assert stages["embed"].task_seconds == pytest.approx(100_000 * 1e10 / 1e14)
    assert stages["merge"].num_slots == 32


def test_what_is_there_takes_no_time_and_a_price_gives_money() -> None:
    rates = Rates(encode=0, product=1e-9, merge=1e-8, line=1e-4)
    plan = plan_on_cluster((10**6, 10**6), 384, 4, rates, ClusterSize(3, 2, node_price=2.0))
    assert "embed" not in {stage.name for stage in plan.stages}
    assert plan.money == pytest.approx(6 * plan.seconds / 3600)
    assert list(plan.describe())[-1] == "money"


def test_cells_hold_the_neighbours_of_each_pair_of_shards() -> None:
    # Three shards and two; four neighbours of 8 bytes, of each row in each shard of the other side.
    assert cell_bytes(plan_grid(30, 20, 4, 1 << 30, shard_rows=10), 4) == 32 * (30 * 2 + 20 * 3)


def test_times_are_said_in_a_unit_that_fits() -> None:
    told = [tell_time(seconds) for seconds in (0.02, 90, 600, 36_000, 10 * 86_400)]
    assert told == ["0.02 s", "90 s", "10 min", "10 h", "10 days"]
