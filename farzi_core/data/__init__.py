"""Data: what a user uploads, and the ragged id sequences it becomes. Imports no torch.

``reading`` is the way in, ``sequences`` the canonical form, ``splits`` and ``batches`` what trainings take from it.
"""
