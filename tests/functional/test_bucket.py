"""Objects in folders and through Google's own client, and the events of a folder."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import aiohttp
import msgspec
import pytest

from cli.client import uploads
from cli.client.uploads import CHUNK_BYTES, object_name, read_content
from cli.local.bucket import BucketServer, BucketWatch
from cli.local.processes import free_port
from tests.contracts.objects import ObjectsContract
from tests.fakes import RecordingPublisher
from tests.polling import eventually
from transcripts.embedded.objects import FolderObjects
from transcripts.errors import ObjectForbidden, ObjectNotFound, ObjectUnavailable
from transcripts.google import objects as objects_module
from transcripts.google.objects import RETRY, CloudStorageObjects
from transcripts.ports import ObjectSource
from transcripts.uploads.stored_object import StoredObject

TOPIC = "projects/local/topics/uploads"


class Bucket:
    """A folder behind the local endpoint, read by one of the adapters."""

    def __init__(self, source: ObjectSource, server: BucketServer) -> None:
        self.source = source
        self.server = server

    async def put(
        self,
        name: str,
        content: bytes,
        content_type: str | None = None,
        metadata: dict[str, str] | None = None,
        content_encoding: str | None = None,
    ) -> None:
        headers = {f"x-goog-meta-{key}": value for key, value in (metadata or {}).items()}
        if content_type:
            headers["Content-Type"] = content_type
        if content_encoding:
            headers["Content-Encoding"] = content_encoding
        async with (
            aiohttp.ClientSession() as client,
            client.put(
                f"{self.server.url}/uploads/{quote(name)}",
                data=io.BytesIO(content),
                headers=headers,
            ) as response,
        ):
            assert response.status == 200


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[BucketServer]:
    server = BucketServer(FolderObjects(tmp_path))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[RecordingPublisher]:
    """Watch the folder of the bucket."""
    publisher = RecordingPublisher()
    watching = asyncio.create_task(BucketWatch(FolderObjects(tmp_path), publisher, TOPIC).run())
    yield publisher
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


class TestFolder(ObjectsContract):
    @pytest.fixture
    def bucket(self, server: BucketServer, tmp_path: Path) -> Bucket:
        return Bucket(FolderObjects(tmp_path), server)

    @pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc/passwd", ".", ""])
    def test_bucket_name_outside_the_folder_is_not_found(self, tmp_path: Path, name: str) -> None:
        """A file beside the folder exists and is not served."""
        objects = FolderObjects(tmp_path)
        (objects.buckets / "uploads").mkdir(parents=True)
        (objects.buckets / "secret").write_bytes(b"x")
        with pytest.raises(ObjectNotFound):
            objects.stat("uploads", name, None)

    def test_stat_of_an_unreadable_file_is_transient(self, tmp_path: Path) -> None:
        """A link to itself is no reason to reject a purchase."""
        objects = FolderObjects(tmp_path)
        path = objects.path("uploads", "a.mp4")
        path.parent.mkdir(parents=True)
        path.symlink_to(path)
        with pytest.raises(ObjectUnavailable):
            objects.stat("uploads", "a.mp4", None)
        with pytest.raises(ObjectUnavailable):
            objects.open(
                StoredObject(bucket="uploads", name="a.mp4", generation="1", content_type=None)
            )

    @pytest.mark.parametrize("name", [f"0123/{'a' * 251}.mp4", f"0123/{'録' * 245}.mp4"])
    async def test_object_with_a_long_name_keeps_its_metadata(
        self, bucket: Bucket, watched: RecordingPublisher, name: str
    ) -> None:
        """A file system takes 255 bytes; 245 Chinese letters are 735, and the event has them."""
        await bucket.put(name, b"12345", metadata={"mavi-label-case": "7"})
        stored = bucket.source.stat("uploads", name, None)
        assert (stored.size, stored.metadata) == (5, {"mavi-label-case": "7"})
        await eventually(lambda: len(watched.published) == 1)
        assert watched.on(TOPIC)[0].attributes["objectId"] == name

    @pytest.mark.parametrize("name", ["a\0.mp4", "folder"])
    def test_stat_name_that_no_file_has_is_gone(self, tmp_path: Path, name: str) -> None:
        """A file name has no NUL, and a folder is no object."""
        objects = FolderObjects(tmp_path)
        (objects.buckets / "uploads" / "folder").mkdir(parents=True)
        with pytest.raises(ObjectNotFound):
            objects.stat("uploads", name, None)

    def test_file_that_may_not_be_read_is_forbidden(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is like 403 of Cloud Storage: an administrator can grant the permission."""
        objects = FolderObjects(tmp_path)
        path = objects.path("uploads", "a.mp4")
        path.parent.mkdir(parents=True)
        path.write_bytes(b"12345")
        stored = objects.stat("uploads", "a.mp4", None)

        def refuse(*_: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        # The tests may run as root, who may read anything.
        monkeypatch.setattr(io, "FileIO", refuse)
        with pytest.raises(ObjectForbidden):
            objects.open(stored)

    def test_read_that_fails_is_unavailable(self, tmp_path: Path) -> None:
        """A failing disk is no reason to reject an object."""
        objects = FolderObjects(tmp_path)
        path = objects.path("uploads", "a.mp4")
        path.parent.mkdir(parents=True)
        path.write_bytes(b"12345")
        reader = objects.open(objects.stat("uploads", "a.mp4", None))
        os.close(reader.fileno())
        with pytest.raises(ObjectUnavailable):
            reader.read(5)
        with contextlib.suppress(OSError):
            reader.close()


class TestCloudStorage(ObjectsContract):
    """The requests of the cloud, over HTTP."""

    @pytest.fixture
    def bucket(self, server: BucketServer) -> Bucket:
        return Bucket(CloudStorageObjects(server.url), server)

    def test_stat_without_storage_is_transient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It was retried before."""
        monkeypatch.setattr(objects_module, "RETRY", replace(RETRY, timeout_s=0.1))
        with pytest.raises(ObjectUnavailable):
            CloudStorageObjects(f"http://127.0.0.1:{free_port()}").stat("uploads", "a.mp4", None)

    async def test_open_during_an_outage_of_storage_is_transient(
        self, bucket: Bucket, server: BucketServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The upload starts again later."""
        monkeypatch.setattr(objects_module, "RETRY", replace(RETRY, timeout_s=0.1))
        await bucket.put("a.mp4", b"x" * 100)
        stored = await asyncio.to_thread(bucket.source.stat, "uploads", "a.mp4", None)
        await server.stop()
        with pytest.raises(ObjectUnavailable):
            await asyncio.to_thread(bucket.source.open, stored)

    def test_call_without_a_google_identity_is_transient(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The next call looks for an identity again."""
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
        with pytest.raises(ObjectUnavailable):
            CloudStorageObjects(None).stat("uploads", "a.mp4", None)


async def test_bucket_announces_a_file_once_it_is_complete(
    watched: RecordingPublisher, tmp_path: Path
) -> None:
    """Each write causes one event, with the fields of a bucket notification."""
    path = tmp_path / "buckets" / "uploads" / "talks" / "a.mp4"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"12345")
    await eventually(lambda: len(watched.published) == 1)
    message = watched.on(TOPIC)[0]
    assert message.attributes["eventType"] == "OBJECT_FINALIZE"
    assert message.attributes["objectId"] == "talks/a.mp4"
    resource = msgspec.json.decode(message.data)
    assert (resource["size"], resource["contentType"]) == ("5", "video/mp4")
    assert resource["generation"] == message.attributes["objectGeneration"]
    os.utime(path, ns=(1, 1))
    await eventually(lambda: len(watched.published) == 2)
    assert watched.on(TOPIC)[1].attributes["objectGeneration"] == "1"


async def test_bucket_takes_an_upload_of_the_command_in_pieces(
    server: BucketServer,
    watched: RecordingPublisher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With labels in umlauts and both checksums; the second run finds the object."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "Gespräch.mp4"
    path.write_bytes(os.urandom(CHUNK_BYTES + 5))
    content = read_content(path)
    upload = partial(
        uploads.Bucket("uploads", server.url).upload,
        path,
        object_name(path.name, content),
        content,
        {"mavi-label-straße": "Höhe"},
        lambda _: None,
    )
    uploaded = await asyncio.to_thread(upload)
    await eventually(lambda: len(watched.published) == 1)
    resource = msgspec.json.decode(watched.on(TOPIC)[0].data)
    assert (resource["generation"], resource["crc32c"]) == (uploaded.generation, content.crc32c)
    assert resource["metadata"] == {"mavi-label-straße": "Höhe"}
    assert (await asyncio.to_thread(upload)).existed


async def test_bucket_session_says_how_far_it_has_come_and_compares_the_checksum(
    server: BucketServer,
) -> None:
    """It outlives the server's process, and takes no bytes at another position."""
    address = f"{server.url}/upload/storage/v1/b/uploads/o"
    content = {"name": "a.mp4", "crc32c": "AAAAAA=="}
    async with aiohttp.ClientSession() as client:

        async def put(session: str, span: str, data: bytes = b"") -> tuple[int, str | None]:
            headers = {"Content-Range": f"bytes {span}/10"}
            async with client.put(session, data=data, headers=headers) as response:
                return response.status, response.headers.get("Range")

        async with client.post(address, json=content) as response:
            session = response.headers["Location"]
        assert await put(session, "*") == (308, None)
        assert await put(session, "0-3", b"0123") == (308, "bytes=0-3")
        assert await put(session, "0-3", b"0123") == (308, "bytes=0-3")
        assert (await put(session, "4-9", b"456789"))[0] == 400
        assert (await put(session, "*"))[0] == 410
        assert (await put(f"{address}?upload_id=../x", "*"))[0] == 400


async def test_bucket_endpoint_answers_like_cloud_storage(server: BucketServer) -> None:
    """It serves ranges, and answers 404 to missing objects and names outside of the bucket."""
    async with aiohttp.ClientSession() as client:
        await client.put(f"{server.url}/uploads/a.mp4", data=b"0123456789")
        object_url = f"{server.url}/storage/v1/b/uploads/o/a.mp4"
        download = f"{server.url}/download/storage/v1/b/uploads/o/a.mp4?alt=media"
        async with client.get(f"{object_url}?alt=media") as response:
            assert await response.read() == b"0123456789"
        async with client.get(download, headers={"Range": "bytes=2-4"}) as response:
            assert (response.status, await response.read()) == (206, b"234")
            assert response.headers["Content-Range"] == "bytes 2-4/10"
        async with client.get(download, headers={"Range": "bytes=7-"}) as response:
            assert await response.read() == b"789"
        async with client.get(download, headers={"Range": "bytes=10-"}) as response:
            assert response.status == 416
        for url in (object_url.replace("a.mp4", "b.mp4"), download.replace("a.mp4", "b.mp4")):
            async with client.get(url) as response:
                assert response.status == 404
    request = b"PUT /uploads/../../evil HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    port = int(server.url.rpartition(":")[2])

    def put_outside() -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request)
            return connection.recv(100)

    assert b" 404 " in await asyncio.to_thread(put_outside)
