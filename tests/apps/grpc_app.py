"""A gRPC service in Google's own words, without a schema: messages are bytes as they are.

    grpc_app.py [CERTIFICATE KEY]

Prints its port, and serves until its standard input ends.
"""

import sys
import threading
from concurrent import futures

import grpc

gave_up = threading.Semaphore(0)


def metadata(context):
    return dict(context.invocation_metadata())


def say(request, context):
    """What came, and what came with it."""
    told = metadata(context)
    context.send_initial_metadata((("x-begins", "yes"),))
    context.set_trailing_metadata((("x-ends", "yes"), ("x-ends-bin", b"\0\xff")))
    return request + b" for " + told.get("x-asked", "").encode() + b" " + told.get("x-session-id", "-").encode()


def count(request, _):
    yield from (str(number).encode() for number in range(int(request)))


def total(requests, _):
    return str(sum(len(request) for request in requests)).encode()


def chat(requests, _):
    for request in requests:
        yield request.upper()


def fail(_, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "there is none: zoë")


def wait(_, context):
    """Answers only who gives up."""
    ended = threading.Event()
    context.add_callback(ended.set)
    ended.wait(60)
    gave_up.release()


def given_up(_, __):
    """Answers once somebody has given up."""
    return str(gave_up.acquire(timeout=30)).encode()


def health(request, _):
    """SERVING, as grpc.health.v1 has it in bytes."""
    assert request == b"", request
    return b"\x08\x01"


HANDLERS = {
    "Say": grpc.unary_unary_rpc_method_handler(say),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Total": grpc.stream_unary_rpc_method_handler(total),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Wait": grpc.unary_unary_rpc_method_handler(wait),
    "GivenUp": grpc.unary_unary_rpc_method_handler(given_up),
}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
HEALTH = {"Check": grpc.unary_unary_rpc_method_handler(health)}
for name, handlers in (("test.Service", HANDLERS), ("grpc.health.v1.Health", HEALTH)):
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
if len(sys.argv) > 2:
    certificate, key = (open(path, "rb").read() for path in sys.argv[1:3])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(((key, certificate),)))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
sys.stdin.read()
server.stop(None)
