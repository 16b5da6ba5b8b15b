// A shop: it tells prices and what is in stock.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const stock = JSON.parse(readFileSync("stock.json", "utf8"));
const prices = Object.fromEntries(Object.keys(stock).map((name) => [name, name.length * 10]));
const answers = { "/health": { well: true }, "/stock": { stock }, "/prices": { prices } };

createServer((request, response) => {
    const answer = answers[request.url];
    console.log(request.method, request.url);
    response.writeHead(answer ? 200 : 404, { "content-type": "application/json" });
    response.end(answer ? JSON.stringify(answer) : "");
}).listen(Number(process.env.PORT), "127.0.0.1");
