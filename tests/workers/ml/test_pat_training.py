"""Pretraining goes on where it was broken off, learns of whom it may, and says when it cannot."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.shared_data import shared
from workers.ml.pat import pretrain as room
from workers.ml.pat.folds import Fold, folds, out_of_fold
from workers.ml.pat.pretrain import pretrain
from workers.ml.pat.recipe import Progress, Recipe
from workers.ml.pat.resume import AnotherRun
from workers.ml.pat.shape import MINUTES, SHAPES
from workers.ml.pat.train import pretrained
from workers.ml.pat.weeks import Recorded, Reference, depresjon

TINY = Recipe(steps=2, batch=1)


def person(name: str, days: int = 8, depressed: bool = False, level: float = 100) -> Recorded:
    rng = np.random.default_rng(sum(name.encode()))
    return Recorded(name, rng.poisson(level, (days, 1440)).astype(np.float64), depressed)


@pytest.fixture(scope="module")
def weeks() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(5, MINUTES)).astype(np.float32)


def test_a_broken_run_ends_in_the_weights_of_an_unbroken_one(
    weeks: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = pretrain(SHAPES["S"], weeks[:1], weeks[4:], TINY)
    state, save, saved = tmp_path / "run.safetensors", room.save_run, []

    def break_off(run: room.Run, path: Path, made_by: str) -> None:
        save(run, path, made_by)
        saved.append(run.step)
        if run.step == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(room, "save_run", break_off)
    with pytest.raises(KeyboardInterrupt):
        pretrain(SHAPES["S"], weeks[:1], weeks[4:], TINY, state=state)
    told: list[Progress] = []
    again, run = pretrain(SHAPES["S"], weeks[:1], weeks[4:], TINY, state=state, tell=told.append)
    assert saved == [1, 2]
    assert run.step == 2
    assert [(done.step, done.steps) for done in told] == [(2, 2)]
    assert told[0].per_second > 0
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())
    for other in (weeks[1:], weeks[:3]):
        with pytest.raises(AnotherRun):
            pretrain(SHAPES["S"], other, weeks[4:], TINY, state=state)


def test_the_best_epoch_is_kept_and_training_stops_when_nothing_gets_better(
    weeks: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr(room, "_validate", lambda *_: next(losses))
    kept: list[dict[str, torch.Tensor]] = []
    judge = room.Run.judge

    def watched(run: room.Run, valid: float) -> None:
        judge(run, valid)
        kept.append({name: value.clone() for name, value in run.model.encoder.state_dict().items()})

    monkeypatch.setattr(room.Run, "judge", watched)
    encoder, run = pretrain(SHAPES["S"], weeks[:2], weeks[4:], Recipe(steps=50, batch=2, stop=3, patience=0))
    assert run.step == 5
    assert run.best == 1.0
    assert run.adam.param_groups[0]["lr"] < 1e-3
    assert all(torch.equal(value, kept[1][name]) for name, value in encoder.state_dict().items())


def test_judges_are_not_learnt_from_and_the_reference_is_of_learners(monkeypatch: pytest.MonkeyPatch) -> None:
    people = [person(f"p{i}", level=50 + 20 * i) for i in range(5)] + [person("short", days=5)]
    made = pretrained(people, Recipe(steps=1, batch=2))
    assert not set(made.people) & set(made.judges)
    assert set(made.people) | set(made.judges) == {f"p{i}" for i in range(5)}
    own = Reference.of([each for each in people if each.person in made.people])
    assert np.array_equal(made.reference.mean, own.mean)
    with pytest.raises(ValueError, match="two people"):
        pretrained(people[:1], TINY)


def test_nobody_is_on_both_sides() -> None:
    people = [person(f"p{i}", depressed=i % 3 == 0) for i in range(15)]
    made = folds(people, 5, seed=1)
    assert sorted(each.person for fold in made for each in fold.test) == sorted(each.person for each in people)
    for fold in made:
        assert sum(each.depressed for each in fold.test) == 1
    with pytest.raises(ValueError, match="both sides"):
        Fold(tuple(people[:3]), tuple(people[2:]))
    with pytest.raises(ValueError, match="twice"):
        folds([*people, people[0]], 5, seed=1)
    seen: list[set[str]] = []

    def fit(train, number):
        seen.append({each.person for each in train})
        return lambda days: float(days.mean())

    scores = out_of_fold(made, fit)
    assert len(scores) == 15
    assert all(not names & {each.person for each in fold.test} for names, fold in zip(seen, made, strict=True))


def test_depresjon_is_read_in_whole_local_days() -> None:
    people = {each.person: each for each in depresjon(shared("depresjon"))}
    assert len(people) == 55
    assert sum(each.depressed for each in people.values()) == 23
    assert len(people["condition_1"].days) == 11
    assert len(people["condition_8"].weeks()) == 0, "five days only"
    assert len(people["control_6"].days) == 11, "the day on which summer time begins is not whole: 13 were scored"


def test_a_gap_ends_a_recording(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    (tmp_path / "scores.csv").write_text("number,days\ncontrol_1,5\n")
    stamps = [
        f"2003-05-0{day} {minute // 60:02d}:{minute % 60:02d}:00" for day in (1, 2, 3, 4) for minute in range(1440)
    ]
    del stamps[2 * 1440 + 700]
    text = "timestamp,date,activity\n" + "".join(f"{stamp},{stamp[:10]},7\n" for stamp in stamps[300:])
    (tmp_path / "control" / "control_1.csv.gz").write_bytes(gzip.compress(text.encode()))
    [found] = depresjon(tmp_path)
    assert found.days.shape == (1, 1440), "the first day begins at five, the third lacks a minute"
