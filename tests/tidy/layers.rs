//! The layers of `src`. CONTRIBUTING.md has them as a table, which a test compares.

/// The modules at the top of `src` and what each is for, from the top layer down: each may
/// use those below it. A module within the log may use all of the log, and so on.
const LAYERS: [(&str, &str); 36] = [
    ("main", "the program: arguments in, exit status out"),
    ("cli", "the commands"),
    (
        "server",
        "the listeners for gRPC and for browsers, what holds for every call, health, reflection, metrics, and how the gateway stops",
    ),
    ("service", "one RPC a file; `status.rs` is the only maker of `Status`"),
    ("access", "who may do what: tokens, certificates, roles"),
    ("config", "what can be configured, and where it comes from"),
    ("audit", "the gateway's own events"),
    ("delivery", "records out to other systems: destinations, formats, cursors, dead letters"),
    ("hub", "between the services and the log: appends, subscriptions, searches, counts"),
    ("proof", "the Merkle tree over the log, checkpoints, keys, proofs"),
    (
        "log",
        "the contract of a log, the ring in memory, the log on disk, segments and their indexes",
    ),
    ("filter", "the filter and its expressions: which records match"),
    ("reference", "the reference of event types, written from the catalog"),
    ("mapping", "records in other schemas, by tables"),
    ("json", "protobuf messages as JSON"),
    ("example", "example events, written from the catalog"),
    ("teleport", "Teleport's form of events"),
    ("record", "checked events as records: drafts, envelopes, columns"),
    ("content", "redaction and limits of what an event holds"),
    ("event", "checks the bytes of an event where it arrives"),
    ("client", "the client, which knows nothing of the server"),
    ("backoff", "pauses between attempts to reach another system"),
    ("counters", "counters by kind, such as refusals by reason"),
    ("catalog", "event types"),
    ("proto", "generated messages and descriptors of the protocol"),
    ("wire", "the wire format of protobuf, by tables"),
    ("glob", "patterns of names"),
    ("go_duration", "durations as Go reads them"),
    ("network", "the network of an address, which identifies a client without a principal"),
    ("reserved_names", "names that no key may have, since what a log's key signs begins with them"),
    ("secret_file", "files that only their owner may read"),
    ("printable", "which characters of a text may be shown on a terminal"),
    ("text", "shortens texts, and finds the nearest names"),
    ("address", "reads host and port"),
    ("histogram", "histograms of durations"),
    ("time", "points in time"),
];

/// Which layer a module at the top of `src` is, counted from the top.
pub fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|(name, _)| *name == module)
}

/// The layers as a table in Markdown.
pub fn table() -> String {
    let row = |(name, what): &(&str, &str)| format!("| `{name}` | {what} |\n");
    "| module | what it is for |\n|---|---|\n".to_owned()
        + &LAYERS.iter().map(row).collect::<String>()
}
