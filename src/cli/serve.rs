//! `auditgate serve`: runs the gateway.

mod open_log;
mod proof_key;
mod reload;
mod served_log;
mod shared;

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::proof_key::ProofKey;
use super::log_output::LogOutput;
use super::settings::ConfigSource;
use super::{Error, ExitKind, init, memory_limit, say};
use crate::config::Settings;
use crate::log::Bounds;
use crate::proof::prover::CheckpointFailure;
use crate::server::{Config, Gateway};
use reload::reload;
use served_log::ServedLog;

/// Run the gateway with its log in memory, on disk, or shared with other gateways
///
/// SIGTERM and Ctrl-C stop the gateway: streams end with a cursor, and running calls
/// finish within the drain timeout. A second signal stops it at once.
///
/// SIGHUP reloads the configuration: keys, certificates, roles and redaction rules
/// change without a restart. On a terminal and without --config, SIGHUP stops the
/// gateway instead, so that closing the terminal ends it. Keys and certificates are
/// also reloaded when their files change.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate serve
  auditgate serve --listen 127.0.0.1:0 --port-file /tmp/auditgate.port
  auditgate serve --web-listen 127.0.0.1:8080
  auditgate serve --ring-bytes 1GiB --ring-records 4000000
  auditgate serve --data-dir /var/lib/auditgate --retain-age 90d
  auditgate serve --config auditgate.toml
  auditgate serve --merkle --signing-key prod.key
  auditgate serve --data-dir /data/log --setup /data/setup --setup-host audit.example.org
  auditgate serve --data-dir log --shared nats://n1 --cluster-key c.key --signing-key s.key

Exit status: 0 if a signal stopped it; 2 if it cannot start.")]
pub struct Args {
    #[command(flatten)]
    source: ConfigSource,
    /// Use the configuration in this directory; at the first start, create it there, as `auditgate
    /// init` does: a CA, a certificate, a token, a configuration
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    setup: Option<PathBuf>,
    /// With --setup: further names and addresses at which clients reach the gateway; may be repeated
    #[arg(long = "setup-host", value_name = "NAME", requires = "setup")]
    setup_hosts: Vec<String>,
}

/// Runs the command until a signal arrives.
pub async fn run(mut args: Args) -> Result<ExitKind, Error> {
    let mut notice = None;
    if let Some(dir) = args.setup {
        let setup = init::set_up(dir, &args.setup_hosts)?;
        args.source.use_file(setup.config);
        notice = setup.notice;
    }
    let settings = args.source.load()?.settings;
    serve(&args.source, settings, notice).await.map_err(Error::Serve)
}

/// Serves until a signal arrives; prints `notice` once it listens.
async fn serve(
    source: &ConfigSource,
    mut settings: Settings,
    notice: Option<String>,
) -> io::Result<ExitKind> {
    let logs = LogOutput::start(&settings.log);
    // Installed before anyone can know that the gateway runs, so that an immediate signal stops it
    // in order.
    let mut signals = Signals::new()?;
    // A connection takes a file descriptor; other limits bound the number of connections.
    raise_open_files();
    warn_of_memory(settings.ring.bounds());
    let content = settings.content().map_err(io::Error::other)?;
    let ServedLog { log, mut kept, shared } = tokio::select! {
        opened = open_log::open(&settings, &logs) => opened?,
        // Opening the log may wait for another gateway that has it open.
        name = signals.next_end(), if settings.shared.is_on() => {
            logs.announce(&format!("{name}: stopped before the log was open"));
            return Ok(ExitKind::All);
        }
    };
    let proofs = ProofKey::of(&settings, &*log)?;
    let config = Config {
        signing_key: proofs.key.clone(),
        verifier_key: proofs.verifier.clone(),
        key_beside_log: proofs.is_beside_log,
        tiles: settings.data_dir.clone(),
        content,
        deliveries: settings.deliveries().map_err(io::Error::other)?,
        ..Config::from(&settings)
    };
    let gateway = Gateway::start_on(config, Arc::clone(&log)).await?;
    let failure = gateway.prover().and_then(|prover| prover.failure());
    if let Some(failure) = failure.filter(CheckpointFailure::is_lasting) {
        tracing::error!("ALARM: {failure}");
    }
    write_ports(&gateway, &settings)?;
    warn_of_open_addresses(&gateway, &settings);
    if let Some(notice) = notice {
        logs.announce(&notice);
    }
    if let Some(told) = &proofs.told {
        kept.push('\n');
        kept.push_str(told);
    }
    announce_start(&gateway, &settings, kept, &logs);

    let on_terminal = io::stderr().is_terminal();
    // Tells systemd that the gateway is ready, if systemd waits for that.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let name = loop {
        match signals.next().await {
            // The terminal is gone, and there is no configuration to reload.
            Signals::RELOAD if on_terminal && !source.has_file() => break Signals::RELOAD,
            Signals::RELOAD => {
                settings = reload(source, &gateway, settings, &logs).await;
                if let Some(shared) = &shared {
                    shared.announce(shared::profile(&settings));
                }
            }
            name => break name,
        }
    };
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    let within = settings.drain_timeout;
    logs.announce(&format!("{name}: stopping, within {within}; send it again to stop at once"));
    tokio::select! {
        () = gateway.stop() => logs.announce("stopped"),
        _ = signals.next_end() => logs.announce("stopped at once"),
    }
    // Calls that still run find the log closed.
    log.close().await;
    Ok(ExitKind::All)
}

/// Warns if the ring alone may take so much memory that the process is likely to be killed.
fn warn_of_memory(ring: Bounds) {
    let Some(limit) = memory_limit::limit() else { return };
    if ring.bytes as u64 > limit / 2 {
        let (mib, limit) = (ring.bytes / MIB, limit / MIB as u64);
        tracing::warn!(
            "the ring may take {mib} MiB, more than half of the {limit} MiB that the control group allows: lower ring.bytes, or raise the limit"
        );
    }
}

const MIB: usize = 1024 * 1024;

/// Lets the process open as many files as it is allowed to.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // After an error, fewer connections are possible.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The port at which commands look for a gateway.
const DEFAULT_PORT: u16 = 50051;

/// SIGTERM, SIGINT and SIGHUP.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// The signal that does not end the gateway.
    const RELOAD: &str = "SIGHUP";

    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => Self::RELOAD,
        }
    }

    /// A signal that ends the gateway.
    async fn next_end(&mut self) -> &'static str {
        loop {
            match self.next().await {
                Self::RELOAD => {}
                name => return name,
            }
        }
    }
}

/// Writes the ports on which the gateway listens into the files for them.
fn write_ports(gateway: &Gateway, settings: &Settings) -> io::Result<()> {
    let grpc = settings.port_file.as_ref().map(|file| (file, gateway.address()));
    let web = settings.web.port_file.as_ref().zip(gateway.web_address());
    for (file, address) in grpc.into_iter().chain(web) {
        write_port(file, address.port())
            .map_err(|error| with_context(error, format!("cannot write {}", file.display())))?;
    }
    Ok(())
}

/// Warns if other machines can reach the gateway without TLS or authentication.
fn warn_of_open_addresses(gateway: &Gateway, settings: &Settings) {
    let Some(missing) = settings.missing_guard() else { return };
    let addresses = [Some(gateway.address()), gateway.web_address()];
    for reached in addresses.into_iter().flatten().filter(|reached| !reached.ip().is_loopback()) {
        tracing::warn!(
            "other machines can reach {reached} without {missing}, as --insecure allows"
        );
    }
}

/// Says where the gateway listens and what it keeps (`kept`): in text, or as one log line.
fn announce_start(gateway: &Gateway, settings: &Settings, mut kept: String, logs: &LogOutput) {
    let (address, admin, web) = (gateway.address(), gateway.admin_address(), gateway.web_address());
    let page = web.map(|web| page_url(web, settings));
    if logs.is_text() {
        kept.extend(page.map(|page| format!("\npage for browsers: {page}")));
        kept.extend(admin.map(|admin| {
            format!("\nmetrics and probes on http://{admin}: /metrics, /livez, /readyz")
        }));
        greet(address, settings, &kept);
    } else {
        let admin = admin.map(tracing::field::display);
        let version = env!("CARGO_PKG_VERSION");
        let (tls, authentication) = (settings.tls.is_on(), settings.authenticates());
        let web = web.map(tracing::field::display);
        tracing::info!(version, listen = %address, tls, authentication, admin, web, page, "listens");
        kept.lines().for_each(|line| logs.announce(line));
    }
}

fn greet(address: SocketAddr, settings: &Settings, kept: &str) {
    let guarded = match (settings.tls.is_on(), settings.authenticates()) {
        (true, true) => "with TLS and authentication",
        (true, false) => "with TLS, without authentication",
        (false, true) => "without TLS, with authentication",
        (false, false) => "without TLS or authentication",
    };
    let version = env!("CARGO_PKG_VERSION");
    say(&format!("auditgate {version} listens on {address}, {guarded}\n{kept}"));
    // On another address, commands need certificates and tokens, which only the operator knows.
    if !settings.tls.is_on() && !settings.authenticates() {
        let server = match address.port() {
            DEFAULT_PORT => String::new(),
            _ => format!(" --server http://{address}"),
        };
        say(&format!(
            "
try it in other terminals:
  auditgate tail{server}
  auditgate emit user.login --user alice{server}
  grpcurl -plaintext {address} list"
        ));
    }
}

/// The URL of the page for a browser on this machine, or on another one if the gateway listens for
/// it. A browser accepts a certificate only for the names in it, which the operator knows.
fn page_url(web: SocketAddr, settings: &Settings) -> String {
    let scheme = if settings.tls.is_on() { "https" } else { "http" };
    match settings.web.hosts.first() {
        Some(origin) => format!("{origin}/ and {scheme}://{web}/"),
        None => format!("{scheme}://{web}/"),
    }
}

/// The file appears complete: it is written under another name and renamed.
fn write_port(file: &Path, port: u16) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, format!("{port}\n"))?;
    std::fs::rename(&beside, file)
}

fn with_context(error: io::Error, context: String) -> io::Error {
    io::Error::new(error.kind(), format!("{context}: {error}"))
}
