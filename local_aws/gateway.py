"""The front door: looks at who a request is for, asks our services first, and lets moto answer the rest."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug import Request, Response

from local_aws.clock import Clock
from local_aws.service import DEFAULT_REGION, Call, Service

# Credential=<key>/<date>/<region>/<service>/aws4_request
_SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")


class Gateway:
    """WSGI application of the local AWS.

    Two paths aren't AWS APIs: `status` is called for `GET /_local/status`, and `/_local/clock` tells the time, what is
    at work and the next moment that somebody waits for; a POST of `{"to": <moment>}` moves time on, but not past that.
    """

    def __init__(
        self, services: Sequence[Service], status: Callable[[], dict[str, Any]], clock: Clock | None = None
    ) -> None:
        self._by_scope = {scope: service for service in services for scope in service.scopes}
        self._status = status
        self._clock = clock or Clock()
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not _comes_from_a_tool(environ):
            refusal = "the local AWS answers AWS tools of this machine, not web pages and not other host names\n"
            return Response(refusal, status=403, mimetype="text/plain")(environ, start_response)
        if environ.get("PATH_INFO") == "/_local/status":
            return Response(json.dumps(self._status()), mimetype="application/json")(environ, start_response)
        if environ.get("PATH_INFO") == "/_local/clock":
            return _passing_time(self._clock, Request(environ))(environ, start_response)
        scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
        service = self._by_scope.get(scope["service"]) if scope else None
        if scope is not None and service is not None:
            request = Request(environ)
            request.get_data(cache=True)
            call = Call(request, account_of(scope["key"]), scope["region"] or DEFAULT_REGION, scope["service"])
            response = service.handle(call)
            if response is not None:
                return response(environ, start_response)
            environ["wsgi.input"] = io.BytesIO(request.get_data())
        return self._moto(environ, start_response)  # type: ignore[no-any-return]


def _passing_time(clock: Clock, request: Request) -> Response:
    if request.method == "POST":
        try:
            moment = datetime.fromisoformat(json.loads(request.get_data())["to"])
            clock.advance_to(moment)
        except (ValueError, KeyError, TypeError) as error:
            text = f'send {{"to": "2026-01-31T06:00:00+00:00"}}, with a time zone: {error!r}'
            return Response(text, status=400, mimetype="text/plain")
    upcoming = clock.upcoming()
    found = {
        "now": clock.now().isoformat(),
        "upcoming": upcoming.isoformat() if upcoming else None,
        "busy": clock.busy(),
    }
    return Response(json.dumps(found), mimetype="application/json")


def _comes_from_a_tool(environ: dict[str, Any]) -> bool:
    """Tell AWS clients from web pages, which a browser would let start jobs here: they run commands on this machine.

    Browsers send Origin or Sec-Fetch-Site with whatever a page asks of another host, AWS clients never do. The host's
    name is checked since a page's own host name may be made to lead to this machine.
    """
    if "HTTP_ORIGIN" in environ or "HTTP_SEC_FETCH_SITE" in environ:
        return False
    host = environ.get("HTTP_HOST", "").rpartition(":")[0] or environ.get("HTTP_HOST", "")
    return host in ("localhost", "127.0.0.1") or host.endswith(".localhost")


def account_of(access_key: str) -> str:
    """Return the account that an access key belongs to: an assumed role's keys name it, all others are the default."""
    from moto.iam.models import get_account_id_from  # moto keeps the keys of its users and roles

    return str(get_account_id_from(access_key))
