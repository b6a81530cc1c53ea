"""A server that speaks S3 (moto's), as a process on a port of its own, and what a test looks at in its bucket."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config

from tests.node import free_port, listens, wait_for

BUCKET = "images"
PREFIX = "hospital/pacs"


class Server:
    """`start` may come later: until then nobody listens there."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._log = directory / "s3.out"
        self._process: subprocess.Popen[bytes] | None = None
        self.environment = {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "eu-central-1",
        }

    def start(self) -> Self:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        wait_for(lambda: listens(self.port), what="the S3 server")
        location = {"LocationConstraint": "eu-central-1"}
        self.client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)

    @property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL_S3"],
            region_name="eu-central-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(s3={"addressing_style": "path"}),
        )

    def keys(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", ())
        return [row["Key"] for row in found]

    def images(self) -> list[str]:
        return [key for key in self.keys() if "/records/" not in key]

    def content(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def replace(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def empty(self) -> None:
        client = self.client
        for key in self.keys():
            client.delete_object(Bucket=BUCKET, Key=key)
