"""Pages of data sets: the list, the upload, what validation found, the end."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from app.dashboard.charts import BarChart, draw_bars
from app.dashboard.formatting import label_times
from app.dashboard.forms import Form, validate
from app.dashboard.page_route import InForm, PageRoute, begin_post, redirect
from app.dashboard.pages import show
from app.dashboard.schema_form import make_sections, read_values
from app.dashboard.upload_routes import list_begun, targets_of
from app.datasets import endpoints
from app.datasets.models import DatasetStatus
from app.datasets.report_schemas import Histograms, Reading, ReportOut
from app.datasets.schemas import DatasetCreate, DatasetOut
from app.dependencies import DatasetReader, DatasetWriter, InServices
from app.pagination import PageQuery
from app.services import Services
from app.tenants.service import Caller
from app.uploads import endpoints as upload_endpoints
from app.uploads.schemas import UploadWithPartsOut

VALIDATED = frozenset({DatasetStatus.READY, DatasetStatus.INVALID})
SHOWN_PROBLEMS = 100
DELIMITER_NAMES = {"\t": "tabs", " ": "spaces", ",": "commas", ";": "semicolons", "|": "bars"}
_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " "}

router = APIRouter(prefix="/dashboard/datasets", route_class=PageRoute, include_in_schema=False)


@router.get("")
def list_datasets(
    request: Request, page: Annotated[PageQuery, Query()], caller: DatasetReader, services: InServices
) -> Response:
    """Show a page of the list."""
    return show(request, "datasets.html.j2", page=endpoints.list_datasets(page, caller, services), is_first=page.cursor is None)


@router.get("/new")
def show_upload(request: Request, _caller: DatasetWriter, services: InServices) -> Response:
    """Ask for a file, and for how it is to be read."""
    _, columns, options = _sections()
    limit = services.settings.max_upload_bytes
    return show(request, "dataset_new.html.j2", columns=columns.fields, options=options.fields, max_upload_bytes=limit)


@router.post("")
def declare_dataset(request: Request, form: InForm, _caller: DatasetWriter, services: InServices) -> Response:
    """Declare a data set, for the script that uploads the file next."""
    created = endpoints.create_dataset(_declaration(form), begin_post(request, form), services)
    dataset_id = json.loads(bytes(created.body))["id"]
    return JSONResponse({"id": dataset_id, **targets_of(dataset_id)}, 201)


@router.get("/{dataset_id}")
def show_dataset(dataset_id: str, request: Request, caller: DatasetReader, services: InServices) -> Response:
    """Show one data set; while it is validated, its page asks for itself again."""
    dataset = endpoints.get_dataset(dataset_id, caller, services)
    report, preview, histograms = None, None, []
    if dataset.status in VALIDATED:
        report = endpoints.get_report(dataset_id, caller, services)
        preview = endpoints.get_preview(dataset_id, caller, services)
        histograms = _draw_histograms(report)
    return show(
        request,
        "dataset.html.j2",
        dataset=dataset,
        report=report,
        preview=preview,
        histograms=histograms,
        reading=_describe_reading(report.reading) if report and report.reading else [],
        declared=_declared(dataset),
        targets=targets_of(dataset_id),
        begun=_look_at_begun(dataset, caller, services),
        shown_problems=SHOWN_PROBLEMS,
    )


@router.get("/{dataset_id}/delete")
def ask_before_deleting(dataset_id: str, request: Request, caller: DatasetWriter, services: InServices) -> Response:
    """Ask whether it is meant."""
    return show(request, "dataset_delete.html.j2", dataset=endpoints.get_dataset(dataset_id, caller, services))


@router.post("/{dataset_id}/delete")
def delete_dataset(dataset_id: str, caller: DatasetWriter, services: InServices) -> Response:
    """Delete it."""
    endpoints.delete_dataset(dataset_id, caller, services)
    return redirect("/dashboard/datasets")


def _sections() -> Any:
    # Columns that nobody names are looked for by their usual names, so nothing is filled in.
    nothing = dict.fromkeys(("user", "item", "timestamp", "rating"))
    return make_sections(DatasetCreate.model_json_schema(), {"columns": nothing})


def _declaration(form: Form) -> DatasetCreate:
    filled_in = {name: value for name, value in form.values.items() if value.strip()}
    named = filled_in.pop("options.delimiter", "").strip()
    values = read_values([field for section in _sections() for field in section.fields], filled_in)
    if named:
        values.setdefault("options", {})["delimiter"] = _DELIMITERS.get(named, named)
    return validate(DatasetCreate, values)


def _look_at_begun(dataset: DatasetOut, caller: Caller, services: Services) -> tuple[UploadWithPartsOut, int] | None:
    """Return the newest upload that can be gone on with, and the bytes of it that are there."""
    begun = list_begun(dataset.id, caller, services) if dataset.status == DatasetStatus.AWAITING_UPLOAD else []
    if not begun:
        return None
    upload = upload_endpoints.get_upload(dataset.id, begun[0].id, caller, services)
    return upload, upload.size_bytes - sum(part.size_bytes for part in upload.missing_parts)


def _declared(dataset: DatasetOut) -> dict[str, str]:
    """Return what was said of how the file is to be read, other than what is always so."""
    defaults = DatasetCreate.model_fields["options"].default.model_dump(mode="json")
    said = {f"column of {role}": str(column) for role, column in (dataset.columns or {}).items() if column is not None}
    said |= {name: str(value) for name, value in dataset.options.items() if value != defaults.get(name)}
    return said


def _describe_reading(reading: Reading) -> list[str]:
    """Return how the file was understood, in a few words each."""
    parts = [f"{role} from column {column}" for role, column in (reading.columns or {}).items()]
    if reading.delimiter is not None:
        parts.append(f"fields separated by {DELIMITER_NAMES.get(reading.delimiter, reading.delimiter)}")
    if reading.header is not None:
        parts.append("with a header" if reading.header else "without a header")
    if reading.layout is not None:
        parts.append("a user and an item on each line" if reading.layout == "pairs" else "a whole sequence on each line")
    if reading.tokenizer is not None:
        parts.append(f"an event for each of its {reading.tokenizer}")
    return parts


def _draw_histograms(report: ReportOut) -> list[BarChart]:
    histograms = report.histograms
    return [] if histograms is None else list(_charts(histograms))


def _charts(histograms: Histograms) -> list[BarChart]:
    charts = [
        draw_bars("Sequences by their number of events", *_binned(histograms.sequence_length)),
        draw_bars("Items or words by how often they occur", *_binned(histograms.popularity)),
    ]
    if histograms.time:
        title, labels = label_times([span.low for span in histograms.time])
        charts.append(draw_bars(title, labels, [span.count for span in histograms.time]))
    return charts


def _binned(bins: Any) -> tuple[list[str], list[int]]:
    labels = [str(each.low) if each.low == each.high else f"{each.low}-{each.high}" for each in bins]
    return labels, [each.count for each in bins]
