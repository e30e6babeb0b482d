"""All routers of the dashboard. Paths without parameters come before those that would match them."""

from __future__ import annotations

from app.dashboard import (
    comparison_pages,
    dataset_pages,
    evaluation_pages,
    home,
    job_pages,
    job_watching,
    key_pages,
    new_job_pages,
    result_pages,
    sign_in,
    static_files,
    upload_routes,
    usage_pages,
    webhook_pages,
)

ROUTERS = (
    home.router,
    static_files.router,
    sign_in.open_router,
    sign_in.router,
    dataset_pages.router,
    upload_routes.router,
    new_job_pages.router,
    evaluation_pages.router,
    job_pages.router,
    job_watching.router,
    result_pages.router,
    comparison_pages.router,
    usage_pages.router,
    key_pages.router,
    webhook_pages.router,
)
