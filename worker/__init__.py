"""The worker: a Celery edge, a supervisor that claims jobs, and the run process that does the work."""
