"""Evaluation: fresh students on any data, full ranking or perplexity, comparison and report."""
