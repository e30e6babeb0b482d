"""Jobs: submitted, claimed, run, published."""
