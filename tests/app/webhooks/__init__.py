"""Webhooks: what may be sent to, how it is signed, and when it is tried again."""
