// Who the reader is: a token in memory and in sessionStorage, handed to new tabs by
// BroadcastChannel. It never stands in a URL, and goes when the gateway refuses it.

import { batch, signal } from "@preact/signals";
import { CallError, Code } from "../transport/error";
import type { Transport } from "../transport/transport";
import { GetCaller, type Caller } from "../wire/messages";

const STORED = "auditgate-token";
const CHANNEL = "auditgate-session";
/** How long another tab has to hand its token over, in milliseconds. */
const ASK_MS = 150;
/** The longest token that is taken, in characters. */
const TOKEN_MAX = 16 * 1024;

/** How clients authenticate: `/session.json` says it. */
export type Authentication = "none" | "token" | "certificate";

/** What the gateway says of itself before anyone is signed in. */
export interface GatewayInfo {
  readonly authentication: Authentication;
  /** This connection shows a client certificate. */
  readonly certificate: boolean;
  /** Name of the deployment, if it has one. */
  readonly name?: string;
  /** Where gRPC is served, for the commands that the page shows. */
  readonly grpc?: string;
  readonly version?: string;
}

export type SessionState =
  | { readonly kind: "starting" }
  | { readonly kind: "unreachable"; readonly error: unknown }
  | { readonly kind: "signed-out"; readonly why: string }
  | { readonly kind: "certificate-only" }
  | { readonly kind: "ready"; readonly caller: Caller };

type Message = { kind: "ask" } | { kind: "token"; token: string } | { kind: "forget"; token: string };

export class Session {
  readonly state = signal<SessionState>({ kind: "starting" });
  readonly info = signal<GatewayInfo>({ authentication: "none", certificate: false });
  /** Told when the reader is known. */
  onReady: () => void = () => {};
  private current: string | undefined;
  private readonly channel: BroadcastChannel | undefined;
  private waiting: ((token: string) => void) | undefined;

  constructor() {
    this.current = read();
    this.channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel(CHANNEL);
    this.channel?.addEventListener("message", (event: MessageEvent<Message>) => this.heard(event.data));
  }

  token(): string | undefined {
    return this.current;
  }

  get signedIn(): boolean {
    return this.current !== undefined;
  }

  /** Finds out how to authenticate, and who the reader is. */
  async start(transport: Transport): Promise<void> {
    this.state.value = { kind: "starting" };
    try {
      this.info.value = await loadInfo();
    } catch (error) {
      this.state.value = { kind: "unreachable", error };
      return;
    }
    const { authentication, certificate } = this.info.value;
    if (authentication === "none" || certificate) {
      await this.identify(transport);
      return;
    }
    if (authentication === "certificate") {
      this.state.value = { kind: "certificate-only" };
      return;
    }
    this.current ??= await this.ask();
    if (this.current !== undefined) await this.identify(transport);
    else this.state.value = { kind: "signed-out", why: "" };
  }

  /** A token was entered. */
  async signIn(transport: Transport, entered: string): Promise<void> {
    const token = entered.trim().replace(/^Bearer\s+/i, "");
    const wrong = invalidToken(token);
    if (wrong !== undefined) {
      this.state.value = { kind: "signed-out", why: wrong };
      return;
    }
    this.current = token;
    await this.identify(transport);
    if (this.state.value.kind === "ready") {
      store(token);
      this.channel?.postMessage({ kind: "token", token } satisfies Message);
    }
  }

  /** Forgets the token, in every tab. */
  forget(why = ""): void {
    const token = this.current;
    this.clear(why);
    if (token !== undefined) this.channel?.postMessage({ kind: "forget", token } satisfies Message);
  }

  /** The gateway refused a token. One that was replaced meanwhile says nothing. */
  refused(error: CallError, token: string | undefined): void {
    if (this.info.value.authentication === "none" && token === undefined) return;
    if (token !== this.current) return;
    const expired = error.reason === "CREDENTIALS_EXPIRED";
    this.forget(token === undefined ? "" : expired ? "The token has expired. Get a new one, and sign in with it." : `The gateway refused the token: ${error.message}.`);
  }

  private async identify(transport: Transport): Promise<void> {
    try {
      const caller = await transport.unary(GetCaller, {});
      // As one batch: the first calls leave before the page is painted.
      batch(() => {
        this.state.value = { kind: "ready", caller };
        this.onReady();
      });
    } catch (error) {
      // A refused token has signed the reader out already.
      if (this.state.value.kind === "signed-out" || this.state.value.kind === "certificate-only") return;
      this.state.value = { kind: "unreachable", error };
    }
  }

  private clear(why: string): void {
    this.current = undefined;
    remove();
    this.state.value = this.info.value.authentication === "certificate" ? { kind: "certificate-only" } : { kind: "signed-out", why };
  }

  /** Asks the other tabs for their token. */
  private ask(): Promise<string | undefined> {
    if (this.channel === undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), ASK_MS);
      this.waiting = (token) => {
        clearTimeout(timer);
        this.waiting = undefined;
        store(token);
        resolve(token);
      };
      this.channel?.postMessage({ kind: "ask" } satisfies Message);
    });
  }

  private heard(message: Message): void {
    if (message.kind === "ask" && this.current !== undefined && this.state.value.kind === "ready") {
      this.channel?.postMessage({ kind: "token", token: this.current } satisfies Message);
    } else if (message.kind === "token" && invalidToken(message.token) === undefined) {
      this.waiting?.(message.token);
    } else if (message.kind === "forget" && message.token === this.current) {
      this.clear("");
    }
  }
}

/** What is wrong with a token, before it is sent. */
function invalidToken(token: string): string | undefined {
  if (token === "") return "Enter a token.";
  if (token.length > TOKEN_MAX) return "This is too long to be a token.";
  if (!/^[\x21-\x7e]+$/.test(token)) return "A token has no blanks and no letters beyond ASCII. Copy it again.";
  return undefined;
}

async function loadInfo(): Promise<GatewayInfo> {
  let response;
  try {
    // As index.html preloads it: the gateway says that it is not to be stored.
    response = await fetch("session.json", { credentials: "same-origin", signal: AbortSignal.timeout(10_000) });
  } catch {
    throw new CallError(Code.UNAVAILABLE, `${location.host} does not answer`);
  }
  if (!response.ok) throw new CallError(Code.UNAVAILABLE, `${location.host} answered with HTTP ${response.status}`);
  const said = (await response.json()) as Partial<Record<string, unknown>>;
  const authentication = said["authentication"];
  return {
    authentication: authentication === "token" || authentication === "certificate" ? authentication : "none",
    certificate: said["certificate"] === true,
    ...(typeof said["name"] === "string" ? { name: said["name"] } : {}),
    ...(typeof said["grpc"] === "string" ? { grpc: said["grpc"] } : {}),
    ...(typeof said["version"] === "string" ? { version: said["version"] } : {}),
  };
}

function read(): string | undefined {
  try {
    return sessionStorage.getItem(STORED) ?? undefined;
  } catch {
    return undefined;
  }
}

function store(token: string): void {
  try {
    sessionStorage.setItem(STORED, token);
  } catch {
    // Without storage the token lasts until the page is left.
  }
}

function remove(): void {
  try {
    sessionStorage.removeItem(STORED);
  } catch {
    // Then it was never stored.
  }
}
