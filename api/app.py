"""The app: routes, the layers around them, and what they are made with.

`python -m api` serves it alone; `limbeck serve` serves it with a worker beside it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import openapi
from api.auth import Access
from api.http import problems
from api.http.dependencies import Services
from api.jobs import estimates
from api.logs import logger
from api.metrics import Metrics
from api.middleware import Edge
from api.pages import editor, overview
from api.routes import (
    answers,
    attribute_set_files,
    attribute_sets,
    caption_sets,
    checkpoints,
    datasets,
    drafts,
    events,
    health,
    jobs,
    set_reports,
    spending,
    teachers,
    text_targets,
    vocabularies,
)
from store.artefacts import Artefacts
from store.db import Database
from store.settings import Settings

# In the order in which requests are tried on them: jobs are polled.
_ROUTERS = (
    jobs,
    spending,
    estimates,
    events,
    vocabularies,
    attribute_set_files,
    attribute_sets,
    set_reports,
    drafts,
    answers,
    text_targets,
    caption_sets,
    datasets,
    teachers,
    checkpoints,
    health,
    overview,
    editor,
)


def create_app(settings: Settings, db: Database | None = None) -> FastAPI:
    """The service over `db` (the settings' own where None, which the app then closes). Migrates nothing."""
    owned = db is None
    database = db or Database(settings.database)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        from store import migrate  # Alembic takes its time to load, and only readiness asks it

        app.state.is_current = lambda: migrate.is_current(database)
        yield
        if owned:
            database.dispose()

    app = FastAPI(
        title="Limbeck",
        version="1",
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = Services(settings, database, Artefacts(settings.artefacts))
    app.state.metrics = Metrics(database)
    app.state.probes = health.Probes()
    for room in _ROUTERS:
        app.include_router(room.router)
    problems.install(app)
    openapi.install(app)
    # The last one added is the outermost.
    app.add_middleware(Access, db=database, host=settings.host)
    app.add_middleware(Edge, log=logger(), metrics=app.state.metrics, max_body_bytes=settings.max_body_bytes)
    return app
