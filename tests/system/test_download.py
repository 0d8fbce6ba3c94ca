"""Fetching a file from a server that behaves, and from those that do not."""

import hashlib
from pathlib import Path

import pytest

from edvr_cli.errors import DownloadError
from edvr_cli.system.download import download
from edvr_cli.system.files import sha256_of
from tests.support.server import Server, serving

CONTENT = bytes(range(256)) * 3000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serving({"model.pth": CONTENT}) as state:
        yield state


def fetch(server: Server, folder: Path, **options) -> Path:
    target = folder / "models" / "model.pth"
    download(f"{server.address}/model.pth", target, **({"sha256": DIGEST[:8]} | options))
    return target


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "models").iterdir())


def test_a_file_arrives_whole_and_progress_is_told(server, tmp_path):
    """The last report is of all bytes, and nothing else is left in the folder."""
    told = []
    target = fetch(server, tmp_path, on_bytes=lambda done, total: told.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert names(tmp_path) == ["model.pth"]


def test_a_partial_file_is_gone_on_with(server, tmp_path):
    """What an earlier run left is not fetched again."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.pth.part").write_bytes(CONTENT[:1000])
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.requests == [("/model.pth", "bytes=1000-")]


def test_a_server_without_ranges_starts_over(server, tmp_path):
    """It sends the whole file, which replaces the part."""
    server.ranges = False
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.pth.part").write_bytes(b"x" * 1000)
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path):
    """The server refuses the range; then everything is fetched."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.pth.part").write_bytes(CONTENT + b"more")
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_connection_that_breaks_is_opened_again(server, tmp_path):
    """As often as that brings something."""
    server.cut = [1000, 2000, 300_000]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, "bytes=1000-", "bytes=3000-", "bytes=303000-"]


def test_a_file_that_stays_truncated_is_kept_for_next_time(server, tmp_path):
    """The message says how much has arrived; the final name is not used; the next run continues."""
    server.cut = [1000, 0, 0, 0, 0]
    with pytest.raises(DownloadError, match="1000 bytes are kept"):
        fetch(server, tmp_path)
    assert names(tmp_path) == ["model.pth.part"]
    server.cut = []
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_corrupt_file_is_deleted(server, tmp_path):
    """Its digest is said, and neither it nor its part is left."""
    server.files["model.pth"] = CONTENT[:-1] + b"\0"
    with pytest.raises(DownloadError, match=r"whose sha256 is [0-9a-f]{64}, not"):
        fetch(server, tmp_path)
    assert names(tmp_path) == []


def test_the_whole_digest_is_compared_where_it_is_known(server, tmp_path):
    """Not its beginning alone."""
    wrong = DIGEST[:63] + ("0" if DIGEST[63] != "0" else "1")
    with pytest.raises(DownloadError, match="sha256"):
        fetch(server, tmp_path, sha256=wrong)
    assert sha256_of(fetch(server, tmp_path, sha256=DIGEST)) == DIGEST


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_is_told_as_the_server_says_it(server, tmp_path, status):
    """At once, without another try."""
    server.status = status
    with pytest.raises(DownloadError, match=f"the server answers {status}"):
        fetch(server, tmp_path)
    assert len(server.requests) == 1


def test_a_slow_server_is_waited_for_but_not_a_silent_one(server, tmp_path):
    """Slowness is no error; silence beyond patience is taken for a broken connection."""
    server.pause = 0.2
    with pytest.raises(DownloadError, match="timed out"):
        fetch(server, tmp_path, patience=0.05)
    assert 0 < (tmp_path / "models" / "model.pth.part").stat().st_size < len(CONTENT)
    assert fetch(server, tmp_path, patience=5).read_bytes() == CONTENT


def test_nobody_listening_is_an_error_that_says_so(tmp_path):
    """With the address."""
    with serving({}) as server:
        address = server.address
    with pytest.raises(DownloadError, match=rf"{address}/x cannot be fetched: .*refused"):
        download(f"{address}/x", tmp_path / "x")


def test_the_page_before_a_large_file_is_answered(server, tmp_path):
    """Google Drive's: its form leads to the file, also when going on with a part."""
    server.page = (
        b"<html><title>Virus scan warning</title><form id='download-form' action='/model.pth' method='get'>"
        b"<input type='submit' value='Download anyway'><input type='hidden' name='id' value='1dd6'>"
        b"<input type='hidden' name='confirm' value='t'><input type='hidden' name='uuid' value='a-b'></form></html>"
    )
    server.cut = [5000]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.requests[1] == ("/model.pth?id=1dd6&confirm=t&uuid=a-b", None)
    assert server.requests[-1][1] == "bytes=5000-"


def test_a_page_without_a_way_on_is_not_taken_for_the_file(server, tmp_path):
    """As where too many people have fetched it; the page's title says why."""
    server.page = b"<html><head><title>Google Drive - Quota exceeded</title></head></html>"
    with pytest.raises(DownloadError, match="a page instead of the file: Google Drive - Quota exceeded"):
        fetch(server, tmp_path)


def test_a_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    """It is asked for the whole address."""
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.setenv("no_proxy", "")
    server.files["/example.invalid/model.pth"] = CONTENT
    server.files["http://example.invalid/model.pth"] = CONTENT
    download("http://example.invalid/model.pth", tmp_path / "m.pth", sha256=DIGEST)
    assert server.requests == [("http://example.invalid/model.pth", None)]


def test_other_schemes_are_refused(tmp_path):
    """No local file is read by way of an address."""
    with pytest.raises(DownloadError, match="not an http"):
        download("file:///etc/passwd", tmp_path / "x")
