"""Webhooks: endpoints that are told of jobs and data sets, and the deliveries to them."""
