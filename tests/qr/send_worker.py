"""A worker process for tests: `python -m tests.qr.send_worker` runs what is due, of two kinds."""

import django
from django.conf import settings
from django.utils.module_loading import import_string

if __name__ == "__main__":
    django.setup()
    settings.JOB_KINDS = "tests.qr.kinds_of_sending.KINDS"
    import_string("apps.jobs.runner.run_due")()
