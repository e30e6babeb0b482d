from __future__ import annotations

from bench.results_page import DOCUMENT, read_comparisons, render


def test_the_page_holds_the_committed_figures_and_no_others() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(read_comparisons())


def test_every_comparison_has_a_row_a_cost_and_a_command() -> None:
    comparisons = read_comparisons()
    assert comparisons
    page = render(comparisons)
    for comparison in comparisons:
        student = next(iter(comparison["students"].values()))
        metric = "perplexity" if comparison["task"] == "language_modeling" else "ndcg@10"
        assert f"{student['ratio'][metric]['mean']:.3f}" in page
        assert f"{comparison['size']['bytes']:,}" in page
        assert all(field.split("=")[0] in page for field in comparison["set"])


def test_figures_were_taken_under_the_protocol_the_page_describes() -> None:
    for comparison in read_comparisons():
        evaluation = comparison["spec"]["evaluation"]
        assert evaluation["num_seeds"] >= 3
        tried = len(evaluation["lr_factors"])
        assert tried == 3 or (tried == 2 and f"(two on {comparison['data_set']})" in render([comparison]))
        assert evaluation["hard_draws"] == 4
