from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError, model_validator

from labse.config import Config, load_config, parse_config
from labse.errors import LabseError, UsageError


class DataConfig(Config):
    langs: tuple[str, ...] = ()
    pairs: str = "pairs.parquet"


class RunConfig(Config):
    steps: int
    rate: float = 0.1
    pooling: Literal["cls", "mean"] = "cls"
    data: DataConfig = DataConfig()
    more_data: DataConfig | None = None

    @model_validator(mode="after")
    def check_rate(self) -> "RunConfig":
        if self.rate * self.steps > 1000:
            raise ValueError("rate times steps is above 1000")
        return self


def write(folder: Path, text: str) -> Path:
    (folder / "run.toml").write_text(text, encoding="utf-8")
    return folder / "run.toml"


def test_a_file_and_its_overrides_make_one_config(tmp_path: Path) -> None:
    path = write(tmp_path, 'steps = 5\n[data]\nlangs = ["deu"]\n')
    config = load_config(
        RunConfig, path, ["steps=7", "data.pairs=a=b.tsv", 'data.langs=["fra", "rus"]', "rate=1e-3"]
    )
    assert config == RunConfig(
        steps=7, rate=0.001, data=DataConfig(langs=("fra", "rus"), pairs="a=b.tsv")
    )


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RunConfig(steps=1).steps = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("override", "expected"),
    [("mean", "mean"), (" mean ", "mean"), ('"mean"', "mean"), ("'mean'  # why", "mean")],
)
def test_a_bare_word_needs_no_quotes(tmp_path: Path, override: str, expected: str) -> None:
    path = write(tmp_path, "steps = 5\n")
    assert load_config(RunConfig, path, [f"pooling={override}"]).pooling == expected


def test_an_override_may_make_its_section(tmp_path: Path) -> None:
    path = write(tmp_path, "steps = 5\n")
    assert load_config(RunConfig, path, ["data.pairs=x.tsv"]).data.pairs == "x.tsv"


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("steps = \nrate = 1", [], r"run\.toml: not valid TOML: .*line 1"),
        ("stepps = 1", [], r"run\.toml: unknown key 'stepps'; did you mean 'steps'\?$"),
        ("steps = 1\n[data]\nlang = 1", [], r"'data\.lang'; did you mean 'langs'\?$"),
        ("steps = 1\n[data]\nqqq = 1", [], r"'data\.qqq'; known keys: langs, pairs$"),
        ("steps = 1\n[more_data]\nlang = 1", [], r"unknown key 'more_data\.lang'$"),
        ("rate = 1.0", [], r"run\.toml: missing key 'steps'$"),
        ('steps = "many"', [], r"run\.toml: steps: .*valid integer.* \(found 'many'\)$"),
        ("steps = 1", ["pooling=max"], r"pooling: .*'cls' or 'mean' \(found 'max'\)$"),
        ("steps = 1", ["rate=[1, 2"], r"rate: .*number.* \(found '\[1, 2'\)$"),
        ("steps = 100_000", [], r"run\.toml: rate times steps is above 1000$"),
        ("steps = 1\ndata = 3", [], r"data: .* \(found 3\)$"),
        ("steps = 1", ["steps"], r"--set steps: expected section\.key=value$"),
        ("steps = 1", ["=3"], r"--set =3: expected section\.key=value$"),
        ("steps = 1", ["data..langs=3"], r"expected section\.key=value$"),
        ("steps = 1", ["steps.inner=3"], r"--set steps\.inner=3: 'steps' is a value, not a sec"),
        ("steps = 1", ["steps=1\nrate=2"], r"steps: .*integer"),
    ],
)
def test_a_wrong_config_is_told_in_one_line(
    tmp_path: Path, text: str, overrides: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_config(RunConfig, write(tmp_path, text), overrides)
    assert "\n" not in str(caught.value).replace("1\nrate", "")


def test_a_missing_config_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match=r"no\.toml: no such file"):
        load_config(RunConfig, tmp_path / "no.toml")


def test_values_of_another_origin_are_named_after_it() -> None:
    with pytest.raises(UsageError, match=r"^model/config\.json: missing key 'steps'$"):
        parse_config(RunConfig, {}, where="model/config.json")


def test_one_word_in_place_of_a_list_says_how_a_list_is_written(tmp_path: Path) -> None:
    path = write(tmp_path, "steps = 5\n")
    with pytest.raises(UsageError, match=r"data\.langs: expected a list .* \(found 'deu'\)"):
        load_config(RunConfig, path, ["data.langs=deu"])


def test_a_value_in_place_of_a_section_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "steps = 5\n")
    with pytest.raises(UsageError, match=r"data: expected a section \(found 3\)"):
        load_config(RunConfig, path, ["data=3"])


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_an_infinite_number_is_refused(tmp_path: Path, value: str) -> None:
    path = write(tmp_path, "steps = 5\n")
    with pytest.raises(UsageError, match="rate: Input should be a finite number"):
        load_config(RunConfig, path, [f"rate={value}"])
