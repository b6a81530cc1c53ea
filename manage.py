#!/usr/bin/env python
import os
import sys

from django.core.management import execute_from_command_line

from pacs import environment, supervision

if __name__ == "__main__":
    supervision.end_with_supervisor()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacs.settings")
    try:
        execute_from_command_line(sys.argv)
    except environment.InvalidEnvironment as error:
        sys.exit(environment.complain(error))
