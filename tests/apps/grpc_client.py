"""Asks the service of grpc_app.py for everything that gRPC can do, and stops at the first thing that is amiss.

    grpc_client.py HOST:PORT [CA]
"""

import sys
import threading

import grpc

target, authority = sys.argv[1], sys.argv[2:]
if authority:
    channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(open(authority[0], "rb").read()))
else:
    channel = grpc.insecure_channel(target)
PATIENCE = 20


def method(kind, name):
    return getattr(channel, kind)(f"/test.Service/{name}")


say = method("unary_unary", "Say")
answer, call = say.with_call(b"hi", metadata=(("x-asked", "you"),), timeout=PATIENCE)
assert answer == b"hi for you -", answer
assert ("x-begins", "yes") in [tuple(pair) for pair in call.initial_metadata()], call.initial_metadata()
ends = dict(tuple(pair) for pair in call.trailing_metadata())
assert ends["x-ends"] == "yes" and ends["x-ends-bin"] == b"\0\xff", ends

large = b"x" * 3_000_000
assert say(large, timeout=PATIENCE).startswith(large)

numbers = list(method("unary_stream", "Count")(b"1000", timeout=PATIENCE))
assert numbers == [str(number).encode() for number in range(1000)], numbers

assert method("stream_unary", "Total")((b"y" * 10_000 for _ in range(200)), timeout=PATIENCE) == b"2000000"

# Each is said only once the one before was answered.
turn = threading.Semaphore(1)


def turns():
    for number in range(50):
        turn.acquire()
        yield f"turn {number}".encode()


for number, answer in enumerate(method("stream_stream", "Chat")(turns(), timeout=PATIENCE)):
    assert answer == f"TURN {number}".encode(), answer
    turn.release()
assert number == 49

try:
    method("unary_unary", "Fail")(b"", timeout=PATIENCE)
    raise SystemExit("a failure was taken for an answer")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.NOT_FOUND, error
    assert error.details() == "there is none: zoë", error

try:
    method("unary_unary", "Missing")(b"", timeout=PATIENCE)
    raise SystemExit("what is not there was answered")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error

# Whoever gives up, or waits no longer, is heard of by the service.
wait, given_up = method("unary_unary", "Wait"), method("unary_unary", "GivenUp")
waiting = wait.future(b"", timeout=PATIENCE)
threading.Timer(0.2, waiting.cancel).start()
assert given_up(b"", timeout=PATIENCE) == b"True"
try:
    wait(b"", timeout=0.3)
    raise SystemExit("who waits was answered")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
assert given_up(b"", timeout=PATIENCE) == b"True"

# Many at a time, more than one connection takes.
answers = [say.future(str(number).encode(), timeout=PATIENCE) for number in range(300)]
assert all(answer.result().startswith(f"{number} for".encode()) for number, answer in enumerate(answers))
print("done")
