from labse.training.best import Best


def test_a_higher_score_is_the_best_and_others_count_what_has_passed_since() -> None:
    best = Best().after(10, 0.5)
    assert best == Best(10, 0.5, 0)
    assert best.after(20, 0.4).after(30, 0.5) == Best(10, 0.5, 2)
    assert best.after(20, 0.4).after(30, 0.6) == Best(30, 0.6, 0)


def test_a_score_that_is_no_number_is_never_the_best() -> None:
    assert Best().after(10, float("nan")) == Best(num_since=1)
