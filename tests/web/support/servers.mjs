// Servers of others: an attacker's pages, and a proxy that ends TLS.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";

import { later } from "./cleanup.mjs";

async function listen(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  later(() => {
    server.closeAllConnections();
    server.close();
  });
  return server.address().port;
}

/** Serves these pages by their paths; gives the port. */
export async function serve(pages) {
  const server = http.createServer((request, response) => {
    const page = pages[new URL(request.url, "http://x").pathname];
    response.writeHead(page === undefined ? 404 : 200, { "content-type": "text/html; charset=utf-8" });
    response.end(page ?? "");
  });
  return listen(server);
}

/** Takes deliveries by HTTP, and answers each with `status`. */
export async function destination() {
  const answers = { status: 200, port: 0 };
  const server = http.createServer((request, response) => {
    request.resume();
    request.on("end", () => response.writeHead(answers.status).end());
  });
  answers.port = await listen(server);
  return answers;
}

/** Ends TLS and hands on what comes to the port that `upstreamPort` gives, the header `host` as it came; gives its own. */
export async function proxy(files, upstreamPort) {
  const tls = { cert: readFileSync(files.cert), key: readFileSync(files.key) };
  const server = https.createServer(tls, (request, response) => {
    const forwarded = { ...request.headers, "x-forwarded-host": "evil.example", "x-forwarded-proto": "http" };
    const { method, url: path } = request;
    const upstream = http.request({ host: "127.0.0.1", port: upstreamPort(), method, path, headers: forwarded }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    upstream.on("error", () => response.destroy());
    response.on("close", () => upstream.destroy());
    request.pipe(upstream);
  });
  return listen(server);
}
