import http from "node:http";
const port = process.env.PORT || process.env.HTTP_PORT || 8080;
http.createServer((q, s) => { s.end(q.url === "/health" ? "ok" : "page " + q.url); }).listen(port, "127.0.0.1");
