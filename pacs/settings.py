"""One settings file; what differs between installations comes from the environment (README, "Environment")."""

import os
from pathlib import Path
from typing import Any

import dj_database_url

from pacs import environment, logs

BASE_DIR = environment.BASE_DIR
VERSION = environment.version()

DATA = environment.data_directory()
NODE = os.environ.get("PACS_NODE") or "main"
SPOOLS = environment.directory("PACS_SPOOL", DATA / "spool")
SPOOL = SPOOLS / NODE
ARCHIVE, ARCHIVE_BUCKET, ARCHIVE_PREFIX = environment.archive(DATA)
STORE = "apps.storage.s3.S3Store" if ARCHIVE_BUCKET else "apps.storage.local.LocalStore"
# Bytes of disk for copies of what lies in a bucket (PACS_ARCHIVE_CACHE counts MiB).
ARCHIVE_CACHE = int(environment.number("PACS_ARCHIVE_CACHE", 10240) * 1024 * 1024)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    # Asked for by S3Store alone. Endpoint, region and credentials: the usual AWS_ variables, which boto3 reads.
    "archive": {
        "BACKEND": "apps.storage.s3.Bucket",
        "OPTIONS": {"bucket_name": ARCHIVE_BUCKET, "location": ARCHIVE_PREFIX},
    },
}

# Where the OHIF viewer is: files of a program, none of ours (apps.viewer.package fetches them at set-up).
VIEWER = Path(os.environ.get("PACS_VIEWER") or BASE_DIR / ".viewer")

# Bytes that stay free: beyond them images are refused with "out of resources" (PACS_MINIMUM_FREE counts MiB).
MINIMUM_FREE = int(environment.number("PACS_MINIMUM_FREE", 1024) * 1024 * 1024)
# Whether large images are written past the page cache, which then keeps what is being read.
DIRECT_IO = environment.switch("PACS_DIRECT_IO", True)

# Bytes of disk for what can be made again: metadata, rendered pictures, thumbnails (PACS_CACHE counts MiB).
CACHE = int(environment.number("PACS_CACHE", 2048) * 1024 * 1024)

# Seconds: how long storage commitment waits for instances that have not arrived, and how long our own requests wait for
# the peer's report on the same association.
COMMITMENT_WAIT = environment.number("PACS_COMMITMENT_WAIT", 60)
COMMITMENT_PATIENCE = environment.number("PACS_COMMITMENT_PATIENCE", 10)

# Folders of this server that a job may import, with colons between; none: no folder.
IMPORT_FROM = [folder for folder in (os.environ.get("PACS_IMPORT_FROM") or "").split(os.pathsep) if folder]

# The listener called "default"; a variable that is set wins over its row, and the console shows that field as locked.
DIMSE = environment.address("PACS_DIMSE", "127.0.0.1:11112")
AE_TITLE = os.environ.get("PACS_AE_TITLE") or "PACS"
LISTENER_LOCKED = [
    *(("host", "port") if os.environ.get("PACS_DIMSE") else ()),
    *(("ae_title",) if os.environ.get("PACS_AE_TITLE") else ()),
]
PROCESSES = environment.count("PACS_PROCESSES", os.cpu_count() or 1)
DRAIN_SECONDS = environment.number("PACS_DRAIN", 10)
SWEEP_SECONDS = environment.number("PACS_SWEEP_SECONDS", 5)
JOB_THREADS = environment.count("PACS_JOB_THREADS", 4)
JOB_LEASE = max(1, environment.number("PACS_JOB_LEASE", 45))  # apps.jobs.queue says why so long
HTTP = environment.address("PACS_HTTP", "127.0.0.1:8000")
# What /health/ready asks for on this node; standalone has all of it. `web` is who answers.
READY_ROLES = (os.environ.get("PACS_READY_ROLES") or "worker,listeners,indexer").split(",")

SECRET_KEY = environment.secret_key(DATA)
DEBUG = False
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",  # its pages are loaded by pacs.urls: only the web process has them
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "apps.audit",
    "apps.accounts",
    "apps.jobs",
    "apps.network",
    "apps.storage",
    "apps.qr",
    "apps.worklist",
    "apps.commitment",
    "apps.mpps",
    "apps.viewer",
    "apps.routing",
    "apps.console",
    "pacs",
]
MIDDLEWARE = [
    "pacs.middleware.RequestIdentity",
    "pacs.middleware.HeadWithoutBody",
    "pacs.middleware.ContentSecurityPolicy",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
SECURE_CROSS_ORIGIN_OPENER_POLICY = None  # set by pacs.middleware where it counts
ROOT_URLCONF = "pacs.urls"
WSGI_APPLICATION = "pacs.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES: dict[str, dict[str, Any]] = {
    "default": {**dj_database_url.parse(environment.database_url(f"sqlite:///{DATA / 'pacs.sqlite3'}"))}
}
_database = DATABASES["default"]
if not _database.get("PASSWORD") and (_password := environment.value("PACS_DATABASE_PASSWORD")):
    _database["PASSWORD"] = _password
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["CONN_MAX_AGE"] = None  # to open it costs more than to ask it
    _database["OPTIONS"] = {
        # Deferred transactions of several writers fail "locked" instead of waiting for `timeout`.
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    _database["OPTIONS"] = {
        # One plan for all values of what apps.network.database.fetched asks; Django writes values into its statements.
        # To begin parallel workers takes longer than a page of an answer does; it is worth it for a whole table.
        "options": "-c synchronous_commit=on -c plan_cache_mode=force_generic_plan -c parallel_setup_cost=10000",
        "connect_timeout": 5,
        # One pool a process, opened when first used: threads borrow, so that a thread an association does not
        # exhaust the server.
        "pool": {
            "min_size": 0,
            "max_size": environment.count("PACS_DATABASE_POOL", 10),
            "timeout": 5,
            "max_idle": 60,
        },
    }
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_TZ = True
TIME_ZONE = environment.time_zone()
LANGUAGE_CODE = "en"
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign-in"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "apps.accounts.authentication.RoleBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

STATIC_URL = "/static/"
STATICFILES_DIRS = [path for path in (BASE_DIR / "static",) if path.is_dir()]
WHITENOISE_USE_FINDERS = True  # served from where they are: nothing to collect before the first start
# Asked for again each time, and mostly answered 304: no browser runs the scripts of an older version. What is of others
# has its version in its path.
WHITENOISE_MAX_AGE = 0
WHITENOISE_IMMUTABLE_FILE_TEST = r"^/static/vendor/"

LOGGING = logs.configuration()
LOGGING_CONFIG = "logging.config.dictConfig"

CELERY_BROKER_URL = environment.value("CELERY_BROKER_URL") or "memory://localhost"
CELERY_BROKER_TRANSPORT = "pacs.broker:Transport" if CELERY_BROKER_URL.startswith("memory:") else None
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker outlives its broker: jobs are rows, found by the sweep
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "jobs"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_POOL = "solo"  # jobs run in threads of the worker, started by its sweep

# Bodies of STOW-RS that arrive at once in a web process: half of its threads are left for everybody else.
# The only folder from below which a job may import a worklist.
WORKLIST_FOLDER = Path(os.environ.get("PACS_WORKLIST_FOLDER") or DATA / "worklist")
STORES_AT_ONCE = max(1, environment.count("PACS_WEB_THREADS", 32) // 2)

DICOMWEB = "/dicomweb"  # where `pacs.urls` has it: what answers point to
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.authentication.BasicAuthentication",  # first: its challenge is the one of 401
        "apps.accounts.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "EXCEPTION_HANDLER": "apps.accounts.http.problem",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "PACS",
    "DESCRIPTION": "DICOMweb (PS3.18) and REST of this archive.",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",  # nothing from other origins
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "POSTPROCESSING_HOOKS": ["pacs.description.add_dicomweb", "pacs.description.add_schemas"],
}

CELERY_APP = "pacs.celery.app"
JOB_KINDS = "pacs.kinds.KINDS"
JOB_LIMITS = "apps.network.limits.jobs_at_once"
EVENT_KINDS = "pacs.events.EVENTS"
