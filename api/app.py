"""The FastAPI app: routers, middleware and shared services.

`python -m api` serves the app without workers; `limbeck serve` also starts workers.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import openapi
from api.access import AccessMiddleware
from api.auth import AuthMiddleware
from api.http import body_limits, problems
from api.http.dependencies import Services
from api.jobs import estimates
from api.key_uses import KeyUses
from api.logs import logger
from api.metrics.registry import Metrics
from api.middleware import RequestMiddleware
from api.pages import (
    attribute_set,
    compare,
    example,
    images,
    job,
    lists,
    reference,
    sign_in,
    start,
    static_files,
    student,
    vocabulary,
)
from api.pages.job_curves import JobCurves
from api.rate_limits import rate_limiter
from api.readers.index_rows import IndexRows
from api.readers.student_models import StudentModels
from api.routes import (
    attribute_set_files,
    attribute_sets,
    attributes,
    audit,
    caption_sets,
    checkpoints,
    classify,
    comparison,
    datasets,
    drafts,
    endpoints,
    epoch_checkpoints,
    events,
    health,
    hub,
    jobs,
    keys,
    label_images,
    llm_profiles,
    llm_responses,
    plan,
    reports,
    storage,
    teachers,
    text_targets,
    thumbnails,
    token_counts,
    usage,
    vocabularies,
    webhooks,
)
from api.routes.token_counts import TokenCounters
from store.artefacts import Artefacts
from store.db import Database
from store.settings import Settings
from store.upkeep.disk_used import DiskScan

# Requests are matched in this order. Jobs come first because clients poll them.
_ROUTERS = (
    jobs,
    usage,
    estimates,
    plan,
    events,
    vocabularies,
    attribute_set_files,
    attribute_sets,
    attributes,
    comparison,
    storage,
    reports,
    drafts,
    llm_responses,
    endpoints,
    llm_profiles,
    text_targets,
    caption_sets,
    datasets,
    thumbnails,
    label_images,
    teachers,
    token_counts,
    checkpoints,
    epoch_checkpoints,
    classify,
    webhooks,
    keys,
    audit,
    hub,
    health,
    start,
    example,
    lists,
    vocabulary,
    images,
    job,
    student,
    compare,
    reference,
    attribute_set,
    sign_in,
    static_files,
)


def create_app(settings: Settings, db: Database | None = None) -> FastAPI:
    """The app over `db`, or over the settings' database, which the app closes at shutdown. Runs no migrations."""
    owned = db is None
    database = db or Database(settings.database)

    limiter, uses = rate_limiter(settings), KeyUses(database)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        from store import migrate  # imported late: Alembic is slow to load, and only the readiness check needs it

        app.state.revision_fault = lambda: migrate.revision_of(database).fault
        yield
        await uses.finish()
        await limiter.aclose()
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
    app.state.student_models = StudentModels(app.state.services.artefacts, settings.cache)
    app.state.index_rows = IndexRows(app.state.services.artefacts)
    app.state.token_counters = TokenCounters(app.state.services.artefacts)
    app.state.disk_scan = DiskScan(database, app.state.services.artefacts, settings)
    app.state.metrics = Metrics(database, app.state.disk_scan)
    app.state.job_curves = JobCurves()
    app.state.job_watch = events.job_watch(database)
    app.state.problem_page = sign_in.problem_page
    app.state.background_checks = health.BackgroundChecks()
    for module in _ROUTERS:
        limit = body_limits.of_router(module.__name__, settings.max_body_bytes)
        app.include_router(module.router, max_body_size=limit)
    problems.install(app)
    openapi.install(app)
    # The middleware added last is the outermost.
    app.add_middleware(AccessMiddleware, db=database, limiter=limiter, uses=uses)
    app.add_middleware(AuthMiddleware, db=database, host=settings.host)
    app.add_middleware(
        RequestMiddleware,
        log=logger(settings.log_level),
        metrics=app.state.metrics,
        max_body_bytes=settings.max_body_bytes,
    )
    return app
