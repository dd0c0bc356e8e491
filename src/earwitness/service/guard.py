"""Who may do what, how often, and from which page; and the headers that every answer carries."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earwitness.service.keys import Caller, Role, find_caller
from earwitness.service.problems import Problem, answer
from earwitness.service.state import Service, service_of
from earwitness.service.uploads import bounded, too_big

LOCAL = Caller("local", "admin")  # whoever sits at a machine that only serves itself
LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}
MOST_CALLERS = 10_000  # whose rates are remembered
SAFE = ("GET", "HEAD", "OPTIONS")
UPLOADS = ("/v1/analyses", "/v1/batches")  # bound what comes in themselves
SMALL = 1 << 16  # bytes of any other body
log = logging.getLogger("earwitness.service")
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
HEADERS = {
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
    "cache-control": "no-store",
}


class Rates:
    """A bucket of requests for each caller, which fills again as time goes by."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self.clock = rate, burst, clock
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self.turn = threading.Lock()

    def wait_s(self, caller: str) -> float:
        """0 where one more request is within the limit, else how long to wait for it."""
        with self.turn:
            now = self.clock()
            left, then = self.buckets.pop(caller, (float(self.burst), now))
            left = min(self.burst, left + (now - then) * self.rate)
            self.buckets[caller] = (left - 1 if left >= 1 else left, now)
            while len(self.buckets) > MOST_CALLERS:
                self.buckets.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self.rate


def token_of(headers: Headers) -> str | None:
    """The key that a request brings."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def caller_of(service: Service, connection: HTTPConnection, token: str | None) -> Caller:
    """Who sends a request.

    Raises:
        Problem: 401 without a valid key where one is needed; 429 over the rate.
    """
    address = connection.client.host if connection.client else "-"
    caller = find_caller(service.store.engine, token) if token else None
    wait_s = service.rates.wait_s(caller.name if caller else address)
    if wait_s:
        headers = {"retry-after": str(int(wait_s) + 1)}
        raise Problem(429, "rate-limited", f"too many requests; wait {wait_s:.1f} s", headers)
    if caller is None and (service.keys or token):
        detail = "send a key of this service (Authorization: Bearer ew_...); `earwitness keys add` makes one"
        raise Problem(401, "unauthorised", detail, {"www-authenticate": "Bearer"})
    return caller or LOCAL


def needs(role: Role) -> Callable[[Request], Caller]:
    """A dependency: the caller, who must have a role."""

    def check(request: Request) -> Caller:
        caller = caller_of(service_of(request), request, token_of(request.headers))
        if not caller.may(role):
            raise Problem(
                403, "forbidden", f"the key {caller.name!r} has the role {caller.role}; this needs {role}"
            )
        return caller

    return check


def check_origin(service: Service, headers: Headers, method: str) -> None:
    """Refuse what a page of somebody else sends, or asks under another name of this machine.

    Without keys the service trusts whoever reaches it. A browser on this machine reaches it, and so does
    whatever page is open there, by its own requests or by a name that it lets point here.

    Raises:
        Problem: 403.
    """
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if not service.keys and name.lower() not in (*LOCAL_NAMES, service.options.host):
        raise Problem(403, "wrong-host", "this service answers to localhost only; make a key to serve others")
    origin = headers.get("origin")
    if method not in SAFE and origin is not None and origin.partition("://")[2] != host:
        raise Problem(403, "wrong-origin", "the request comes from a page of another site")


class Guard:
    """ASGI middleware: origin, headers, and no answer that tells of the insides."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, begun = time.monotonic(), 500, False

        async def guarded(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            headers = Headers(scope=scope)
            check_origin(self.service, headers, scope["method"])
            if scope["path"] not in UPLOADS:
                receive = small(headers, receive)
            await self.app(scope, receive, guarded)
        except Problem as problem:
            await answer(problem)(scope, receive, guarded)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        except Exception:
            log.exception("a request failed")
            if begun:
                raise
            detail = "something failed that nobody foresaw; it stands in the log of the service"
            await answer(Problem(500, "internal", detail))(scope, receive, guarded)
        finally:
            self.service.gauges.request(route_of(scope), scope["method"], status, time.monotonic() - began)


def small(headers: Headers, receive: Receive) -> Receive:
    """A receive for what is no upload.

    Raises:
        Problem: 413, the body is announced to be larger.
    """
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > SMALL:
        raise too_big(SMALL)
    return bounded(receive, SMALL)


def route_of(scope: Scope) -> str:
    """The pattern that matched, so that ids do not become names of metrics."""
    return getattr(scope.get("route"), "path", "other")
