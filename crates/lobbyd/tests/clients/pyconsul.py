"""What py-consul's two scripts share: the client, and waiting for a condition with a deadline."""

import sys
import time

try:
    import consul
except ImportError:
    sys.exit("py-consul is not installed here: run ./test, which installs it")

WITHIN = 20.0


def connect():
    """A client of the agent whose HTTP port is the first argument."""
    return consul.Consul(host="127.0.0.1", port=int(sys.argv[1]))


def eventually(look):
    """Polls until `look` raises nothing; its value."""
    end = time.monotonic() + WITHIN
    while True:
        try:
            return look()
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def same(seen, wanted):
    """Fails showing both."""
    assert seen == wanted, f"\n   seen: {seen!r}\n wanted: {wanted!r}"


def refused(call, *kinds):
    """`call` raises one of these; the exception."""
    try:
        answer = call()
    except kinds or (consul.ConsulException,) as err:
        return err
    raise AssertionError(f"not refused: {answer!r}")


def ids(answer):
    """The instances of a health answer, after its index."""
    return [entry["Service"]["ID"] for entry in answer[1]]
