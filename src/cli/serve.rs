//! `auditgate serve`: runs the gateway.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Done, Error, say};
use crate::log::{BYTES_MIN, Bounds, RING_RECORDS};
use crate::server::{Config, DRAIN_TIME_MAX, Gateway, LISTEN};

/// Run the gateway, with its log in memory
///
/// SIGTERM and Ctrl-C stop it: streams end with a cursor, calls that run are
/// finished, within 10 seconds. A second signal stops it at once.
///
/// Examples:
///   auditgate serve
///   auditgate serve --listen 127.0.0.1:0 --port-file /tmp/auditgate.port
///   auditgate serve --ring-bytes 1GiB --ring-records 4000000
///
/// Exit status: 0 if it was stopped by a signal; 2 if it cannot start.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Address to listen on; port 0 takes a free port
    #[arg(long, value_name = "ADDR", default_value = LISTEN, env = "AUDITGATE_LISTEN")]
    listen: SocketAddr,

    /// Write the port to this file once the gateway listens
    #[arg(long, value_name = "FILE", env = "AUDITGATE_PORT_FILE")]
    port_file: Option<PathBuf>,

    /// The most memory that the ring takes, index included: bytes, or with a
    /// suffix KiB, MiB or GiB; at least 1MiB
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = parse_bytes, env = "AUDITGATE_RING_BYTES")]
    ring_bytes: usize,

    /// The most records that the ring keeps
    #[arg(long, value_name = "COUNT", default_value_t = RING_RECORDS, value_parser = parse_records, env = "AUDITGATE_RING_RECORDS")]
    ring_records: usize,
}

/// Runs until a signal comes.
pub async fn run(args: Args) -> Result<Done, Error> {
    serve(args).await.map_err(Error::Serve)
}

async fn serve(args: Args) -> io::Result<Done> {
    // Before anyone can know that the gateway runs: a signal that comes right
    // after must stop it in order.
    let mut signals = Signals::new()?;
    let ring = Bounds { bytes: args.ring_bytes, records: args.ring_records };
    let config = Config { listen: args.listen, ring, ..Config::default() };
    let gateway = Gateway::start(config)
        .await
        .map_err(|error| with_context(error, format!("cannot listen on {}", args.listen)))?;
    let address = gateway.address();
    if let Some(file) = &args.port_file {
        write_port(file, address.port())
            .map_err(|error| with_context(error, format!("cannot write {}", file.display())))?;
    }
    greet(address, ring);

    let name = signals.next().await;
    let seconds = DRAIN_TIME_MAX.as_secs();
    say(&format!("{name}: stopping, within {seconds} s; once more to stop at once"));
    tokio::select! {
        () = gateway.stop() => say("stopped"),
        _ = signals.next() => say("stopped at once"),
    }
    Ok(Done::All)
}

/// The port at which commands look for a gateway.
const DEFAULT_PORT: u16 = 50051;

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn greet(address: SocketAddr, ring: Bounds) {
    say(&format!(
        "auditgate {version} listens on {address}, without TLS or authentication
keeps in memory the newest {records} records within {mib} MiB; they are gone when it stops

try it in other terminals:
  auditgate tail{server}
  auditgate emit user.login --user alice{server}
  grpcurl -plaintext {address} list",
        version = env!("CARGO_PKG_VERSION"),
        records = ring.records,
        mib = ring.bytes / (1024 * 1024),
        server = if address.port() == DEFAULT_PORT {
            String::new()
        } else {
            format!(" --server http://{address}")
        },
    ));
}

/// Whoever waits for the file finds it complete: it is written beside and then
/// renamed.
fn write_port(file: &Path, port: u16) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, format!("{port}\n"))?;
    std::fs::rename(&beside, file)
}

fn with_context(error: io::Error, context: String) -> io::Error {
    io::Error::new(error.kind(), format!("{context}: {error}"))
}

fn parse_bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "" | "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        "GiB" => 1024 * 1024 * 1024,
        other => return Err(format!("unknown unit {other:?}: use KiB, MiB or GiB")),
    };
    let number: usize =
        digits.trim().parse().map_err(|_| format!("{text:?} is not a number of bytes"))?;
    match number.checked_mul(unit) {
        Some(bytes) if bytes >= BYTES_MIN => Ok(bytes),
        Some(bytes) => Err(format!("{bytes} bytes are too few: at least {BYTES_MIN}")),
        None => Err(format!("{text:?} is more than this machine can address")),
    }
}

fn parse_records(text: &str) -> Result<usize, String> {
    /// The id table tells records apart by 32 bits of their sequence.
    const RECORDS_MAX: usize = u32::MAX as usize;
    match text.parse() {
        Ok(records) if (1..=RECORDS_MAX).contains(&records) => Ok(records),
        _ => Err(format!("{text:?} is not a number of records from 1 to {RECORDS_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_bytes("1048576"), Ok(1024 * 1024));
        assert_eq!(parse_bytes("256MiB"), Ok(256 * 1024 * 1024));
        assert_eq!(parse_bytes("2GiB"), Ok(2 * 1024 * 1024 * 1024));
        for bad in ["", "MiB", "12XB", "-5MiB", "1023KiB", "99999999999999GiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_default_of_the_flag_is_the_ring_s() {
        assert_eq!(parse_bytes("256MiB"), Ok(crate::log::RING_BYTES));
    }
}
