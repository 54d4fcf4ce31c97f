"""The front door: who is let in."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from local_aws.server import LocalAwsServer, running

SIGNATURE = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0"
CALL = b"Action=GetCallerIdentity&Version=2011-06-15"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAwsServer]:
    with running(tmp_path_factory.mktemp("local-aws")) as found:
        yield found


def answer(server: LocalAwsServer, method: str = "POST", path: str = "/", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    sent = {"Authorization": SIGNATURE, "Content-Type": "application/x-www-form-urlencoded"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=CALL if method == "POST" else None, headers=sent)
    response = connection.getresponse()
    return response.status, response.read().decode()


def test_a_tool_of_this_machine_is_answered(server: LocalAwsServer) -> None:
    status, body = answer(server)
    assert status == 200
    assert "GetCallerIdentityResult" in body
    assert answer(server, Host=f"localhost:{server.port}")[0] == 200
    assert answer(server, "GET", "/", Host=f"bucket.localhost:{server.port}")[0] in (200, 404)


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "GET"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://page.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Host": "page.example"},
        {"Host": "localhost.page.example:80"},
    ],
)
def test_a_web_page_is_refused_before_anything_is_done(
    server: LocalAwsServer, method: str, headers: dict[str, str]
) -> None:
    for path in ("/", "/moto-api/reset", "/_local/status"):
        status, body = answer(server, method, path, **headers)
        assert status == 403, (method, path)
        assert "not web pages" in body
