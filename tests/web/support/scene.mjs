// A quiet afternoon with one bad minute in it: events that show what the page can show.

import { writeFileSync } from "node:fs";

const PEOPLE = ["alice", "bob", "chen.wei", "dora", "eve.contractor", "ci-deployer"];
const HOSTS = ["web-1", "web-2", "db-primary", "bastion"];
const ADDRESSES = ["10.1.4.17:50211", "10.1.4.23:49152", "192.0.2.44:61022", "[2001:db8::7]:40112"];
const COUNT = 420;
const SPAN_MS = 110 * 60_000;

/** What happens in turn: the field of the type, what it holds, its code, and what the event has beside it. */
const KINDS = [
  ["user_login", { method: "oidc" }, "T1001I", {}],
  ["session_start", {}, "T2000I", {}],
  ["db_session_query", { db_query: "select id, total from orders where customer = $1", database: { name: "orders" } }, "TDB02I", {}],
  ["exec", { command: { line: "systemctl status nginx" } }, "T3002I", {}],
  ["db_session_query", { db_query: "update orders set state = 'paid' where id = $1", database: { name: "orders" } }, "TDB02I", {}],
  ["session_end", {}, "T2004I", {}],
  ["role_created", {}, "T9000I", { resource: { name: "auditor" } }],
];

function event(number, now) {
  const bad = number > 280 && number < 330;
  const who = bad ? "eve.contractor" : PEOPLE[(number * 7 + (number >> 2)) % PEOPLE.length];
  const [payload, body, code, more] = KINDS[(number * 5 + (number >> 3)) % KINDS.length];
  // Most of it evenly, the bad minute at once.
  const at = bad ? now - SPAN_MS * 0.3 + (number - 280) * 900 : now - SPAN_MS + (SPAN_MS * number) / COUNT;
  const refused = { outcome: { success: false, error: "the second factor was refused" }, code: "T1001W", user_login: { method: "oidc" } };
  const done = { outcome: { success: true }, code, [payload]: body, ...more };
  return {
    id: `scene-${number}`,
    time: new Date(Math.min(at, now)).toISOString(),
    user: { name: who },
    session: { id: `${who.slice(0, 3)}-${Math.floor(number / 12).toString(16).padStart(4, "0")}` },
    server: { id: `srv-${number % HOSTS.length}`, hostname: HOSTS[number % HOSTS.length] },
    connection: { remote_address: ADDRESSES[(number >> 1) % ADDRESSES.length] },
    source: { name: "teleport" },
    labels: { env: "prod" },
    ...(bad && number % 2 === 0 ? refused : done),
  };
}

export const scene = {
  events() {
    const now = Date.now();
    return Array.from({ length: COUNT }, (_, number) => event(number, now));
  },

  /** A gateway with a delivery that runs and one whose destination is out of order. */
  configure(file, port) {
    const delivery = (name, destination) => `[[delivery]]\nname = "${name}"\nstart = "earliest"\n[delivery.destination]\n${destination}\n`;
    const archive = delivery("archive", 'kind = "file"\npath = "archive"');
    const siem = delivery("siem", `kind = "http"\nurl = "http://127.0.0.1:${port}/in"`);
    writeFileSync(file, `${archive}${siem}`, { mode: 0o600 });
  },
};
