"""What answers say of trials and of each other, against scikit-learn and by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, matthews_corrcoef, precision_score, recall_score

from ledgerkit.errors import UsageError
from ledgerkit.sweeping.judgement import (
    ANSWERS,
    agreements,
    kappa,
    majority,
    matthews,
    right_of,
    verdicts,
)
from ledgerkit.sweeping.reweighing import METHODS, bradley_terry, reweigh


@given(st.lists(st.tuples(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS)), max_size=40))
def test_kappa_is_that_of_scikit_learn_and_none_where_chance_explains_all(
    told: list[tuple[str, str]],
) -> None:
    first, second = [one for one, _ in told], [other for _, other in told]
    found = kappa(first, second)
    if len(set(first + second)) < 2:
        assert found is None
    else:
        assert found == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


@given(st.lists(st.integers(0, 30), min_size=4, max_size=4))
def test_matthews_is_that_of_scikit_learn_and_none_where_it_is_not_defined(
    table: list[int],
) -> None:
    hits, alarms, misses, quiet = table
    truth = [1] * hits + [0] * alarms + [1] * misses + [0] * quiet
    said = [1] * hits + [1] * alarms + [0] * misses + [0] * quiet
    found = matthews(hits, alarms, misses, quiet)
    if len(set(truth)) < 2 or len(set(said)) < 2:
        assert found is None
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert found == pytest.approx(matthews_corrcoef(truth, said), abs=1e-12)


def test_a_row_in_no_cluster_is_with_nobody_and_unsure_says_nothing() -> None:
    votes = np.array([[0, 0, 1, -1, -1], [0, 0, 0, 0, 0], [-1, -1, -1, -1, -1]], dtype=np.int32)
    left, right = np.array([0, 0, 3, 0, 1]), np.array([1, 2, 4, 3, 2])
    answers = ["same", "different", "same", "different", "unsure"]
    first, second, third = verdicts(votes, left, right, answers)
    assert (first.judged, first.unsure, first.outside) == (4, 1, 2)
    assert (first.true_same, first.false_same) == (1, 0)
    assert (first.false_different, first.true_different) == (1, 2)
    assert (first.precision, first.recall) == (1.0, 0.5)
    truth, said = [1, 0, 1, 0], [1, 0, 0, 0]
    assert first.precision == precision_score(truth, said)
    assert first.recall == recall_score(truth, said)
    assert first.matthews == pytest.approx(matthews_corrcoef(truth, said))
    assert (second.precision, second.recall, second.matthews) == (0.5, 1.0, None)
    assert (third.precision, third.recall, third.matthews) == (None, 0.0, None)
    assert third.outside == 4


def test_persons_are_compared_over_what_both_answered() -> None:
    told = {
        "B": {"p1": "same", "p2": "different", "p3": "unsure", "p4": "same"},
        "A": {"p1": "same", "p2": "same", "p3": "unsure", "p5": "same"},
        "C": {"p9": "same"},
    }
    first, other, last = agreements(told)
    assert (first.first, first.second, first.pairs, first.agreed) == ("A", "B", 3, 2)
    assert first.kappa == pytest.approx(
        cohen_kappa_score(["same", "same", "unsure"], ["same", "different", "unsure"])
    )
    assert (first.decided, first.decided_kappa) == (2, 0.0)
    assert (other.pairs, other.kappa, last.pairs, last.kappa) == (0, None, 0, None)


def test_the_majority_has_no_vote_of_those_who_are_unsure() -> None:
    told = {
        "A": {"p1": "same", "p2": "same", "p3": "unsure", "p4": "unsure"},
        "B": {"p1": "same", "p2": "different", "p3": "different"},
        "C": {"p1": "different"},
    }
    assert majority(told) == {"p1": "same", "p2": "unsure", "p3": "different", "p4": "unsure"}


def judged(
    trials: int = 60, pairs: int = 150, seed: int = 0
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Trials of which `good` says how often they are right, `bad` the opposite, `noise` nothing."""
    generator = np.random.default_rng(seed)
    skill = generator.normal(size=trials)
    chance = 1 / (1 + np.exp(-(0.3 + 1.2 * skill)))
    right = generator.random((trials, pairs)) < chance[:, None]
    terms = {
        "good": skill + 0.1 * generator.normal(size=trials),
        "noise": generator.normal(size=trials),
        "constant": np.ones(trials),
        "missing": np.where(np.arange(trials) < 40, np.nan, 1.0),
    }
    terms["good"][0] = np.nan
    return right, terms


DEFAULTS = {"good": 0.5, "noise": 1.5, "constant": 1.0, "missing": 1.0}


@pytest.mark.parametrize("method", METHODS)
def test_weights_go_to_what_tells_good_trials(method: str) -> None:
    right, terms = judged()
    found = reweigh(right, terms, DEFAULTS, method=method, samples=40, seed=3)
    good, noise = found.terms
    assert (good.name, good.default, noise.name, noise.default) == ("good", 0.5, "noise", 1.5)
    assert good.low <= good.weight <= good.high
    assert good.weight > 1.5
    assert abs(noise.weight) < 0.4
    assert abs(good.weight) + abs(noise.weight) == pytest.approx(2.0)
    assert good.error > 0
    assert set(found.left_out) == {"constant", "missing"}
    assert found.decisive <= found.answers == 150
    assert found.held_out is not None
    assert found.held_out_default is not None
    assert found.held_out > found.held_out_default + 0.1
    assert found == reweigh(right, terms, DEFAULTS, method=method, samples=40, seed=3)


def test_the_logistic_weights_are_those_of_scikit_learn() -> None:
    right, terms = judged(trials=20, pairs=80)
    design = np.stack([terms["noise"], np.arange(20.0)], axis=1)
    found = reweigh(
        right,
        {"a": design[:, 0], "b": design[:, 1]},
        {"a": 1.0, "b": 1.0},
        samples=2,
        seed=0,
    )
    scored = (design - design.mean(axis=0)) / design.std(axis=0)
    rows, classes, weights = [], [], []
    for pair in right.T:
        beats = [(one, other) for one in np.flatnonzero(pair) for other in np.flatnonzero(~pair)]
        for one, other in beats:
            rows += [scored[one] - scored[other], scored[other] - scored[one]]
            classes += [1, 0]
            weights += [0.5 / len(beats)] * 2
    model = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10)
    model.fit(np.array(rows), classes, sample_weight=weights)
    wanted = model.coef_[0] * 2.0 / np.abs(model.coef_[0]).sum()
    assert [one.weight for one in found.terms] == pytest.approx(wanted.tolist(), abs=1e-4)


def test_more_answers_make_the_weights_surer() -> None:
    errors = []
    for pairs in (60, 600):
        right, terms = judged(pairs=pairs)
        errors.append(reweigh(right, terms, DEFAULTS, samples=40, seed=3).terms[0].error)
    assert errors[1] < 0.7 * errors[0]


def test_few_answers_are_refused() -> None:
    right, terms = judged(pairs=150)
    with pytest.raises(UsageError, match="29 answers tell trials apart") as refused:
        reweigh(right[:, :29], terms, DEFAULTS, seed=0)
    assert "ledgerkit review" in str(refused.value.hint)
    right[:, :130] = True  # all trials are right of these: they compare nothing
    with pytest.raises(UsageError, match="20 answers tell trials apart"):
        reweigh(right, terms, DEFAULTS, seed=0)
    with pytest.raises(UsageError, match="no method 'vote'"):
        reweigh(right, terms, DEFAULTS, method="vote", seed=0)


def test_bradley_terry_finds_the_strengths_that_games_were_played_by() -> None:
    generator = np.random.default_rng(1)
    true = np.linspace(-1.5, 1.5, 8)
    chance = 1 / (1 + np.exp(true[None] - true[:, None]))
    wins = np.triu(generator.binomial(4000, chance), 1).astype(float)
    wins += np.tril(4000 - wins.T, -1)
    np.fill_diagonal(wins, 0)
    assert bradley_terry(wins) == pytest.approx(true, abs=0.08)
    never = np.array([[0.0, 3.0], [0.0, 0.0]])  # one that never lost has a finite strength too
    first, second = bradley_terry(never)
    assert 0 < first < 10
    assert first == pytest.approx(-second)


def test_right_is_what_the_answers_say() -> None:
    votes = np.array([[0, 0, 1], [0, 1, -1]], dtype=np.int32)
    left, right = np.array([0, 1, 0]), np.array([1, 2, 2])
    correct, decided = right_of(votes, left, right, ["same", "different", "unsure"])
    assert decided.tolist() == [True, True, False]
    assert correct.tolist() == [[True, True], [False, True]]
