// A gateway in a process of its own, on free ports.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { later } from "./cleanup.mjs";

process.setMaxListeners(100);

/** The program under test. */
export const PROGRAM = process.env.AUDITGATE_WEB_BINARY ?? fail("AUDITGATE_WEB_BINARY names no program");

/** How long a test waits for what must come, in milliseconds. */
export const WAIT_MAX = Number(process.env.AUDITGATE_WEB_WAIT ?? 60_000);

function fail(sentence) {
  throw new Error(sentence);
}

/** A directory that is removed when the tests end. */
export function scratch() {
  const folder = mkdtempSync(join(tmpdir(), "auditgate-web-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs a command of the program, and gives its standard output. */
export function run(args, input = "") {
  const ran = spawnSync(PROGRAM, args, { input, encoding: "utf8", timeout: WAIT_MAX, maxBuffer: 1 << 30 });
  // A search that finds nothing says so by its status.
  const nothing = args[0] === "search" && ran.status === 1 && ran.stderr === "";
  if (ran.status !== 0 && !nothing) fail(`auditgate ${args.join(" ")}: status ${ran.status}\n${ran.stderr}`);
  return ran.stdout;
}

/** A running gateway. */
export class Gateway {
  #process;
  #lines = [];

  /** Starts `auditgate serve` with these flags; on return it listens. */
  static async start(flags = [], { listen = "127.0.0.1:0", web = "127.0.0.1:0" } = {}) {
    const gateway = new Gateway();
    const ports = ["--listen", listen, "--web-listen", web, "--admin-listen", "127.0.0.1:0"];
    const args = ["serve", ...ports, "--log-format", "json", ...flags];
    gateway.#process = spawn(PROGRAM, args, { stdio: ["ignore", "ignore", "pipe"] });
    process.on("exit", () => gateway.#process.kill("SIGKILL"));
    await gateway.#listens();
    later(() => gateway.stop());
    return gateway;
  }

  #listens() {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`it does not start:\n${this.#lines.join("\n")}`)), WAIT_MAX);
      this.#process.once("exit", (status) => reject(new Error(`it ended with ${status}:\n${this.#lines.join("\n")}`)));
      createInterface({ input: this.#process.stderr }).on("line", (line) => {
        if (this.#lines.length < 1_000) this.#lines.push(line);
        if (!line.includes('"listens"')) return;
        clearTimeout(late);
        const said = JSON.parse(line);
        Object.assign(this, { address: said.listen, web: said.web, admin: said.admin, tls: said.tls });
        resolve();
      });
    });
  }

  /** Where a browser opens the page. */
  get url() {
    return `${this.tls ? "https" : "http"}://${this.web}`;
  }

  /** The port of the page. */
  get port() {
    return Number(this.web.split(":").at(-1));
  }

  /** The port of gRPC. */
  get grpcPort() {
    return Number(this.address.split(":").at(-1));
  }

  /** Runs a command of the program against this gateway. */
  run(args, input) {
    return run([...args, "--server", `http://${this.address}`], input);
  }

  /** Emits events in protobuf JSON. */
  emit(events, more = []) {
    this.run(["emit", ...more], events.map((event) => JSON.stringify(event)).join("\n"));
  }

  /** Emits events over TLS, as the administrator of these files. */
  emitBy({ ca, tokenFile }, events) {
    const server = ["--server", `https://localhost:${this.grpcPort}`, "--cacert", ca, "--token-file", tokenFile];
    run(["emit", ...server], events.map((event) => JSON.stringify(event)).join("\n"));
  }

  /** Emits so many logins in batches. */
  flood(from, to) {
    const lines = [];
    for (let number = from; number <= to; number++) {
      lines.push(JSON.stringify({ event: "user.login", code: "T1000I", time: new Date().toISOString(), uid: `f-${number}`, user: `user-${number % 5}`, success: true }));
    }
    this.run(["import", "--format", "teleport", "-"], lines.join("\n"));
  }

  /** The records of a search, newest first. */
  search(args = []) {
    const lines = this.run(["search", "-o", "ndjson", "--limit", "1000000", ...args]).trim();
    return lines === "" ? [] : lines.split("\n").map((line) => JSON.parse(line));
  }

  /** The number of open subscriptions. */
  subscribers() {
    return JSON.parse(this.run(["status", "-o", "json"])).subscribers?.length ?? 0;
  }

  /** The sum of the metrics whose lines begin so. */
  async metric(begin) {
    const page = await (await fetch(`http://${this.admin}/metrics`)).text();
    const lines = page.split("\n").filter((line) => line.startsWith(begin));
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  /** Has the gateway read its configuration again. */
  reload() {
    this.#process.kill("SIGHUP");
  }

  /** Stops the gateway, and waits until it has ended. */
  async stop(signal = "SIGTERM") {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, "exit");
    this.#process.kill(signal);
    await ended;
  }
}

/** Logins of these numbers, each by one of a few users. */
export function logins(from, to, more = {}) {
  const events = [];
  for (let number = from; number <= to; number++) {
    const user = { name: `user-${number % 5}` };
    events.push({ id: `e-${number}`, user, session: { id: `s-${number % 3}` }, outcome: { success: number % 4 !== 0 }, user_login: {}, ...more });
  }
  return events;
}

/** Makes a CA, a certificate for these hosts and the token of `admin`; gives their files. */
export function certificates(hosts) {
  const folder = join(scratch(), "setup");
  run(["init", folder, "--listen", "127.0.0.1:0", ...hosts.flatMap((host) => ["--host", host])]);
  const file = (name) => join(folder, name);
  return {
    config: file("auditgate.toml"),
    cert: file("server.pem"),
    key: file("server.key"),
    ca: file("ca.pem"),
    token: readFileSync(file("admin.token"), "utf8").trim(),
    tokenFile: file("admin.token"),
  };
}
