"""One module a fault: ``inject(cluster, goal, random)`` does it to a running service and returns what came of it."""
