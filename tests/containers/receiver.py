"""Prints the type of every webhook that is posted to port 8080. Runs in a bare Python image."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Receiver(BaseHTTPRequestHandler):
    """Takes everything."""

    def do_POST(self) -> None:
        """One webhook."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = "webhook-signature" in self.headers
        sys.stdout.write(f"{json.loads(body)['type']} {'signed' if signed else 'unsigned'}\n")
        sys.stdout.flush()
        self.send_response(204)
        self.end_headers()


HTTPServer(("0.0.0.0", 8080), Receiver).serve_forever()
