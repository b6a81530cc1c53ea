"""The settings of an installation whose workers know the campaign's kinds of job too; messages that no worker
acknowledged come back after a few seconds, not after an hour."""

from pacs.settings import *  # noqa: F403

JOB_KINDS = "tests.campaigns.job_kinds.KINDS"
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 5}
