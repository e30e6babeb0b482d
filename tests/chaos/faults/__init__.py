"""One module a fault: ``inject(cluster, count, random)`` does it to a running service and returns what came of it."""
