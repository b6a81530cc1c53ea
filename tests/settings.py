"""The settings of the product in a data directory of this test run."""

import atexit
import os
import shutil
import tempfile

_data = tempfile.mkdtemp(prefix="pacs-tests-")
atexit.register(shutil.rmtree, _data, ignore_errors=True)
os.environ["PACS_DATA"] = _data
os.environ["PACS_LOG_FILE"] = "off"

from pacs.settings import *  # noqa: E402, F403
from pacs.settings import DATA, DATABASES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
_default = DATABASES["default"]
if _default["ENGINE"] == "django.db.backends.sqlite3":
    # A file, as in the product: threads of a shared in-memory database meet table locks that do not exist there.
    _default["TEST"] = {"NAME": str(DATA / "test.sqlite3")}
    _default["OPTIONS"]["init_command"] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
else:
    # The test database is made and dropped by its name: nothing may hold a connection to it.
    del _default["OPTIONS"]["pool"]
