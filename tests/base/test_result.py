"""Result records: round trip, atomic writing, and everything that is not a record."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest

from autovul.base.errors import UserError
from autovul.base.result import SCHEMA_VERSION, Metric, Result, ResultError, read_results
from autovul.base.sweep.subject import key_of_record


@pytest.fixture
def result():
    return Result(
        experiment="train",
        dataset="digits",
        model="resnet18_comp",
        group="manual",
        seed=3,
        metrics={"valid_accuracy": Metric(97.5, "%", 360), "unknown": Metric(None)},
        options={"lr": 0.1, "layers": None},
        series=({"epoch": 0, "loss": 2.3}, {"epoch": 1, "loss": 0.1}),
        facts={"parameters": 10},
    )


def test_round_trip(result):
    assert Result.from_json(result.to_json()) == result


def test_a_metric_is_never_nan():
    for value in (float("nan"), float("inf"), 1e101, -(10**400)):
        with pytest.raises(ValueError, match="finite"):
            Metric(value)


def test_numbers_of_numpy_are_written_as_pythons_and_what_is_no_number_is_refused(result):
    metric = Metric(np.float32(1.5), "%", np.int64(3))
    written = result.replace(metrics={"rate": metric}, seed=np.int64(4))
    assert Result.from_json(written.to_json()) == written
    for make in (
        lambda: Metric(True),
        lambda: Metric("1"),
        lambda: Metric(1.0, "", 3.0),
        lambda: result.replace(seed=1.0),
    ):
        with pytest.raises(TypeError):
            make()


def test_nan_in_options_is_not_written(result):
    with pytest.raises(ValueError):
        result.replace(options={"lr": float("nan")}).to_json()


def _changed(result, **changes):
    return json.dumps({**json.loads(result.to_json()), **changes})


@pytest.mark.parametrize(
    "text,message",
    [
        (lambda r: "", "not valid JSON"),
        (lambda r: r.to_json()[:-20], "not valid JSON"),
        (lambda r: "[1]", "not a result record"),
        (lambda r: "{}", "schema version None"),
        (lambda r: _changed(r, schema_version=SCHEMA_VERSION + 1), f"schema version {SCHEMA_VERSION + 1}"),
        (lambda r: r.to_json().replace("97.5", "NaN"), "NaN is no JSON number"),
        (lambda r: _changed(r, seed="3"), "seed"),
        (lambda r: _changed(r, status="good"), "status"),
        (lambda r: _changed(r, surprise=1), "surprise"),
        (lambda r: _changed(r, metrics={"a": {"value": "high", "unit": "", "count": None}}), "metric a"),
        (lambda r: _changed(r, metrics={"a": {"value": 1, "unit": "", "count": None, "colour": "red"}}), "colour"),
        (lambda r: _changed(r, model=None), "model must be text"),
        (lambda r: _changed(r, options=None), "options must be a mapping"),
        (lambda r: _changed(r, facts=[1]), "facts must be a mapping"),
        (lambda r: _changed(r, series=[3]), "series must be a list of rows"),
        (lambda r: _changed(r, environment="x"), "environment must be a mapping"),
        (lambda r: _changed(r, counts={"queries": "many"}), "counts: queries must be a number"),
        (lambda r: _changed(r, metrics={"a": {"value": 1, "unit": 3, "count": None}}), "unit of metric a"),
        (lambda r: _changed(r, metrics={"a": 3}), "not a result record"),
        (lambda r: _changed(r, options={"a": "caf\udce9"}), r"options: a must be text in Unicode, got 'caf\\udce9'"),
        (lambda r: _changed(r, facts={"a": [{"caf\udce9": 1}]}), r"facts: a must be a mapping with names in Unicode"),
        (lambda r: _changed(r, **{"caf\udce9": 1}), r"record must be a mapping with names in Unicode, got 'caf\\udc"),
        (lambda r: _changed(r, facts={"parameters": 10**400}), "facts: parameters must be a number that a float holds"),
        (lambda r: r.to_json().replace('"lr": 0.1', '"lr": [{"a": 1e999}]'), "lr: a must be .* a float holds, got inf"),
        (lambda r: r.to_json().replace("2.3", "-1e999"), "series: loss must be a number .*, got -inf"),
        (lambda r: json.dumps({k: v for k, v in json.loads(r.to_json()).items() if k != "facts"}), "facts"),
    ],
)
def test_what_is_no_record_says_why(result, text, message):
    with pytest.raises(ResultError, match=message):
        Result.from_json(text(result))


def test_a_record_nested_however_deep_is_read_or_refused(result):
    for depth in (1, 500, *range(900, 1000, 5), 2000, 20_000):
        with contextlib.suppress(ResultError):
            Result.from_json(result.to_json().replace("2.3", "[" * depth + "]" * depth))


def test_file_names_tell_runs_apart(result):
    unlike = {"verbose": 2, "color": True, "tqdm": False, "tensorboard": True, "save": True, "num_workers": 4}
    unlike |= {"download": True, "resume": True, "resume_changed": True, "result_dir": "other", "log_dir": "other"}
    same = {result.replace(options={**result.options, name: value}).file_name() for name, value in unlike.items()}
    assert same == {result.file_name()}
    grey = {value: result.replace(options={**result.options, "grey": value}).file_name() for value in (False, True)}
    passes = {value: result.replace(options={**result.options, "eot_samples": value}) for value in (1, 10)}
    assert passes[1].file_name() == result.file_name() != passes[10].file_name()
    assert key_of_record(passes[1]) == key_of_record(result) != key_of_record(passes[10])
    assert grey[False] == result.file_name() != grey[True], "records from before there was the option keep their names"
    others = {
        result.replace(options={"lr": 0.2, "layers": None}).file_name(),
        result.replace(seed=4).file_name(),
        result.replace(model="vgg").file_name(),
        result.replace(dataset="cifar10").file_name(),
        result.replace(algorithm="pgd").file_name(),
    }
    assert len(others - same) == 5


def test_without_the_options_of_a_command_data_and_weights_tell_runs_apart(result):
    found = {result.replace(**{name: "1f"}).file_name() for name in ("data_sha256", "weights_sha256")}
    assert len(found | {result.file_name()}) == 3
    named = result.replace(options={**result.options, "dataset": "digits"})
    assert named.replace(weights_sha256="1f").file_name() == named.file_name(), (
        "a command's newest record takes its place"
    )


def test_file_name_is_a_file_name(result):
    name = result.replace(model="../evil/pkg:build").file_name()
    assert "/" not in name
    assert ":" not in name


def test_a_metric_that_could_not_be_read_back_is_refused(result):
    with pytest.raises(TypeError, match="metric accuracy must be a Metric, got 97.5"):
        result.replace(metrics={"accuracy": 97.5})


def test_write_and_read(result, tmp_path):
    path = result.write(tmp_path)
    assert path.parent == tmp_path / "train"
    (tmp_path / "train" / "broken.json").write_text(result.to_json()[:50])
    (tmp_path / "train" / ".hidden.json").write_text("{")
    results, refused = read_results(str(tmp_path))
    assert results == [result]
    assert [(path.name, reason.split("(")[0].strip()) for path, reason in refused] == [
        ("broken.json", "not valid JSON")
    ]


def test_reading_what_does_not_exist(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_results([tmp_path / "nowhere"])


def test_writing_where_it_cannot_be(result, tmp_path):
    (tmp_path / "train").write_text("a file, not a folder")
    with pytest.raises(UserError, match="cannot write"):
        result.write(tmp_path)


def test_what_lies_in_hidden_folders_is_no_result(result, tmp_path):
    path = result.write(tmp_path)
    (tmp_path / ".sweep").mkdir()
    (tmp_path / ".sweep" / "note.json").write_text("{}")
    assert read_results([tmp_path]) == ([Result.from_json(path.read_text())], [])
