"""Uploads in parts: begun, continued after whatever went wrong, completed or given up."""
