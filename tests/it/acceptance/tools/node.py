#!/usr/bin/python3
# Stands in for node: serves a page, whatever script it is given.
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
if "--version" in sys.argv:
    print("v22.0.0")
    sys.exit()
class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"ok\n" if self.path == "/health" else b"<h1>Checkout</h1>\n"
        self.send_response(200 if self.path in ("/health", "/checkout.html") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
