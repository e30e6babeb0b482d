"""Distillation: the outer loop, the teachers it starts from, and checkpoints of both."""
