from pathlib import Path

from labse.files.atomic import write_json
from labse.files.stage import cached_manifest, is_cache_of


def test_a_cache_is_that_of_its_key_alone(tmp_path: Path) -> None:
    key = {"sha256": ["ab"], "length": 64}
    assert not is_cache_of(tmp_path / "none", key)
    write_json(tmp_path / "manifest.json", {"kind": "tokens", "key": key, "counts": 3})
    assert is_cache_of(tmp_path, key)
    assert cached_manifest(tmp_path, key) == {"kind": "tokens", "key": key, "counts": 3}
    assert cached_manifest(tmp_path, key | {"length": 32}) is None


def test_a_damaged_manifest_is_that_of_no_key(tmp_path: Path) -> None:
    for damage in ("{", "[]", "{}"):
        (tmp_path / "manifest.json").write_text(damage)
        assert not is_cache_of(tmp_path, {"length": 64})
