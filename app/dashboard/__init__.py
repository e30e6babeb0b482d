"""The dashboard at ``/``: pages for people, made of what the endpoints of ``/v1`` answer."""
