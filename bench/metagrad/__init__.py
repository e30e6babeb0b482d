"""The meta-gradient against the libraries people use for it: same student, data and Adam, one core each, fresh processes."""
