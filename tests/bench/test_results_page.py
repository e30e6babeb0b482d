from __future__ import annotations

from bench.results_page import DOCUMENT, _hard_rule, read_baselines, read_comparisons, render


def test_the_page_holds_the_committed_figures_and_no_others() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(read_comparisons(), read_baselines())


def test_every_comparison_has_a_row_a_cost_and_a_command() -> None:
    comparisons = read_comparisons()
    assert comparisons
    page = render(comparisons, read_baselines())
    for comparison in comparisons:
        student = next(iter(comparison["students"].values()))
        metric = "perplexity" if comparison["task"] == "language_modeling" else "ndcg@10"
        assert f"{student['ratio'][metric]['mean']:.3f}" in page
        assert f"{comparison['size']['bytes']:,}" in page
        assert all(field.split("=")[0] in page for field in comparison["set"])


def test_a_speed_up_says_over_how_many_seeds_it_is() -> None:
    for comparison in read_comparisons():
        found = comparison["students"][comparison["spec"]["student"]["architecture"]]["speedup_to_same_metric"]
        shown = "-" if found["ratio"] is None else f"{found['ratio']:.1f}"
        reached, seeds = found["seeds_reached"], comparison["protocol"]["num_seeds"]
        left_out = (
            " alone"
            if reached < seeds and "ends up worse" not in comparison["protocol"].get("speedup_to_same_metric", "")
            else ""
        )
        assert f"| {shown} ({reached} of {seeds}{left_out}) |" in render([comparison], [])


def test_the_head_says_what_the_intervals_leave_out() -> None:
    head = render([], []).partition("## Quality")[0]
    assert "Each row is one distillation, with seed 0." in head
    assert "`teacher.num_steps` steps at most" in head
    assert "dropout is the same on both sides" in head
    assert all(comparison["spec"]["seed"] == 0 for comparison in read_comparisons())


def test_figures_were_taken_under_the_protocol_the_page_describes() -> None:
    for comparison in read_comparisons():
        evaluation = comparison["spec"]["evaluation"]
        assert evaluation["num_seeds"] >= 3
        tried = len(evaluation["lr_factors"])
        assert tried == 3 or any(field.startswith("evaluation.lr_factors=") for field in comparison["set"])
        assert evaluation["hard_draws"] == 4


def test_every_row_says_by_which_rule_hard_sequences_were_drawn() -> None:
    rules = {tuple(_hard_rule(comparison).split(", ")) for comparison in read_comparisons()}
    assert ("1", "0") in rules
    assert any(len(rule) == 3 for rule in rules)
    page = render(read_comparisons(), [])
    assert all(f"| {', '.join(rule)} |" in page for rule in rules)


def test_every_side_of_a_comparison_with_baselines_has_a_row() -> None:
    assert read_baselines()
    for comparison in read_baselines():
        page = render([], [comparison])
        for side in set(comparison["sides"]) - {"full_data"}:
            assert page.count(f"| `{side}` |") == 1
