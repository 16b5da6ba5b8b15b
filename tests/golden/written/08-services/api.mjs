import http from "node:http";
const port = process.env.PORT || 8081;
http.createServer((q, s) => { s.end(q.url === "/health" ? "ok" : "api"); }).listen(port, "127.0.0.1");
