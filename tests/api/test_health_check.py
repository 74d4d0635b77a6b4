"""The health check of a container says why it fails."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from api.health import ask
from cli.local.stack import free_port


@contextmanager
def answering(status, body=b""):
    """A server on the loopback address that gives this answer to everything; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_an_answer_is_fine():
    with answering(200) as port:
        assert ask(port, "/readyz") == (True, "/readyz answers 200")


def test_a_problem_is_told_with_its_detail():
    body = b'{"code": "store_unavailable", "detail": "The job store cannot be reached."}'
    with answering(503, body) as port:
        expected = "/readyz answers 503: The job store cannot be reached."
        assert ask(port, "/readyz") == (False, expected)


def test_an_answer_of_somebody_else_is_told_too():
    with answering(502, b"<html>") as port:
        assert ask(port, "/healthz") == (False, "/healthz answers 502: Bad Gateway")


def test_silence_is_told_with_the_address():
    port = free_port()
    is_fine, sentence = ask(port, "/healthz")
    assert not is_fine
    assert f"http://127.0.0.1:{port}/healthz" in sentence
    assert "Connection refused" in sentence
