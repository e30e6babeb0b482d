"""The distillation core: data, students, meta-gradient, distillation, evaluation.

It knows nothing of HTTP, databases, environment variables or terminals; progress leaves it as values.
"""
