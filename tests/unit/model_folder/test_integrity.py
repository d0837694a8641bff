import hashlib
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labse.errors import LabseError
from labse.model_folder.integrity import check_hashes, checked_beside, listed_hashes


def fail() -> None:
    raise LabseError("the file is damaged")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=9000), data=st.data())
def test_any_flipped_bit_is_found(tmp_path: Path, content: bytes, data: st.DataObject) -> None:
    listed = {"a/x": hashlib.sha256(content).hexdigest()}
    (tmp_path / "a").mkdir(exist_ok=True)
    (tmp_path / "a/x").write_bytes(content)
    check_hashes(tmp_path, listed)

    if content:
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "a/x").write_bytes(damaged)
        with pytest.raises(LabseError, match="a/x: its SHA-256 is not the one"):
            check_hashes(tmp_path, listed)
        (tmp_path / "a/x").write_bytes(content[:-1])
        with pytest.raises(LabseError, match="a/x: its SHA-256 is not the one"):
            check_hashes(tmp_path, listed)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="x: no such file"):
        check_hashes(tmp_path, {"x": ""})


def test_only_a_manifest_lists_hashes(tmp_path: Path) -> None:
    assert listed_hashes(tmp_path) is None
    (tmp_path / "manifest.json").write_text('{"files": {"x": "00"}}')
    assert listed_hashes(tmp_path) == {"x": "00"}
    (tmp_path / "manifest.json").write_text('{"files": ["x"]}')
    with pytest.raises(LabseError, match="'files' is not an object"):
        listed_hashes(tmp_path)


def test_a_check_runs_beside_the_block() -> None:
    is_block_running, is_check_running = threading.Event(), threading.Event()

    def check() -> None:
        is_check_running.set()
        assert is_block_running.wait(20)

    with checked_beside(check) as wait:
        assert is_check_running.wait(20)
        is_block_running.set()
        wait()


def test_what_the_check_finds_is_raised_at_the_end_of_the_block_and_where_it_is_waited_for() -> (
    None
):
    with pytest.raises(LabseError, match="is damaged"), checked_beside(fail):
        pass
    with pytest.raises(LabseError, match="is damaged"), checked_beside(fail) as wait:
        wait()


def test_what_the_check_finds_goes_before_an_error_of_the_block() -> None:
    with pytest.raises(LabseError, match="is damaged"), checked_beside(fail):
        raise ValueError("the vector is wrong")
    with pytest.raises(ValueError, match="is wrong"), checked_beside(lambda: None):
        raise ValueError("the vector is wrong")


def test_ctrl_c_waits_for_no_check() -> None:
    released = threading.Event()
    with pytest.raises(KeyboardInterrupt), checked_beside(lambda: assert_set(released)):
        raise KeyboardInterrupt
    released.set()


def assert_set(event: threading.Event) -> None:
    assert event.wait(20)
