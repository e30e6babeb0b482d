"""Copy an embedded service while it runs: database, objects and secret, into a directory that another can start from."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from app.settings import Settings, SettingsError, load_settings
from app.storage import OBJECTS_DIRECTORY
from app.tenants.secret import FILE_NAME as SECRET_NAME

DATABASE_NAME = "farzi.sqlite3"


def main(directory: Path) -> int:
    """Copy the service of the environment and return an exit code."""
    try:
        back_up(load_settings(), directory)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stderr.write(f"The copy is in {directory}; FARZI_DATA_DIR={directory} starts from it.\n")
    return 0


def back_up(settings: Settings, directory: Path) -> None:
    """Copy the database as of one moment, then the objects, which never change once they are written.

    An object that is deleted meanwhile is missing from the copy; whatever else its database names is there.

    Raises:
        SettingsError: the service is not embedded, has never started, or the directory is not empty.
    """
    source = _database_of(settings)
    if directory.exists() and any(directory.iterdir()):
        raise SettingsError(f"{directory} is not empty; give a directory that is new")
    directory.mkdir(parents=True, exist_ok=True)
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as running,
        closing(sqlite3.connect(directory / DATABASE_NAME)) as copy,
    ):
        running.backup(copy)
    _copy_objects(settings.resolved_data_dir / OBJECTS_DIRECTORY, directory / OBJECTS_DIRECTORY)
    secret = settings.resolved_data_dir / SECRET_NAME
    if secret.exists():
        shutil.copy2(secret, directory / SECRET_NAME)


def _copy_objects(source: Path, target: Path) -> None:
    """Copy what is there; runs delete checkpoints all the time. Hidden folders hold what is not finished."""
    for folder, subfolders, names in os.walk(source):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        copy = target / Path(folder).relative_to(source)
        copy.mkdir(parents=True, exist_ok=True)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(Path(folder, name), copy / name)


def _database_of(settings: Settings) -> Path:
    url = make_url(settings.resolved_database_url)
    if url.drivername != "sqlite" or settings.s3_bucket is not None:
        raise SettingsError(
            "FARZI_DATABASE_URL, FARZI_S3_BUCKET: this copies SQLite and a directory; docs/operations.md says how to copy "
            "Postgres and a bucket"
        )
    path = Path(url.database or "")
    if not path.exists():
        raise SettingsError(f"FARZI_DATA_DIR: there is no database at {path}; name the directory of the service")
    return path
