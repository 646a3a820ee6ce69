//! `auditgate init`: creates the files of a gateway with TLS and authentication.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use rcgen::KeyPair;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::certificate::Authority;
use super::new_file::{PRIVATE, PUBLIC};
use super::new_folder::NewFolder;
use super::{Error, ExitKind, print, say};
use crate::access::{hash_token, new_token};
use crate::address;
use crate::config::LISTEN;

/// Create a configuration with TLS and authentication to start from
///
/// Writes to the folder: a CA (ca.pem, ca.key), a certificate for the gateway
/// (server.pem, server.key; valid for a year), a token with all rights (admin.token),
/// and the configuration (auditgate.toml). Existing files are never overwritten. After
/// an error or Ctrl-C, no file is left. Only their owner can read the secrets. Move
/// ca.key to a safe place.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate init gateway && auditgate serve --config gateway/auditgate.toml
  auditgate init gateway --host audit.example.org --listen 0.0.0.0:50051
  auditgate init /var/lib/auditgate/setup --print admin.token

Exit status: 0 if all files were written; 2 if none was; 130 if Ctrl-C came first.")]
pub struct Args {
    /// Folder to write to; created if it does not exist
    dir: PathBuf,
    /// Names and addresses at which clients reach the gateway; may be repeated
    #[arg(long = "host", value_name = "NAME", default_values = HOSTS)]
    hosts: Vec<String>,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = LISTEN, value_parser = address::parse)]
    listen: SocketAddr,
    /// Print one file of an existing directory instead, for example from within a container
    #[arg(long, value_name = "FILE", value_parser = [CA, TOKEN])]
    print: Option<String>,
}

/// Where clients on the same machine reach the gateway.
const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Names of the files.
pub(super) const CA: &str = "ca.pem";
pub(super) const CA_KEY: &str = "ca.key";
pub(super) const CERT: &str = "server.pem";
pub(super) const KEY: &str = "server.key";
const TOKEN: &str = "admin.token";
const CONFIG: &str = "auditgate.toml";

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    if let Some(name) = &args.print {
        let file = args.dir.join(name);
        let text = std::fs::read_to_string(&file)
            .map_err(|error| Error::Read { file: file.display().to_string(), error })?;
        return print(&text);
    }
    // From here on, no signal ends the process between two files.
    let mut signals = Interrupts::new().map_err(|error| Error::Usage(error.to_string()))?;
    let folder = stage(&args)?;
    if signals.came().await {
        return Ok(ExitKind::Interrupted);
    }
    folder.finish()?;
    let dir = args.dir.display();
    say(&format!(
        "wrote {dir}: a CA, a certificate for {hosts}, a token and a configuration

start the gateway, and use it:
  auditgate serve --config {dir}/{CONFIG}
  export AUDITGATE_SERVER=https://{server} AUDITGATE_CACERT={dir}/{CA} AUDITGATE_TOKEN_FILE={dir}/{TOKEN}
  auditgate tail",
        hosts = args.hosts.join(", "),
        server = reachable(&args),
    ));
    Ok(ExitKind::All)
}

/// Generates everything, and writes it to a directory that is not in place yet.
fn stage(args: &Args) -> Result<NewFolder, Error> {
    let made = GeneratedFiles::new(args).map_err(Error::Usage)?;
    let mut folder = NewFolder::begin(&args.dir)?;
    for (name, text, mode) in made.files(args) {
        folder.write(name, &text, mode)?;
    }
    Ok(folder)
}

/// The result of [`set_up`].
pub(super) struct Setup {
    /// The configuration.
    pub config: PathBuf,
    /// A sentence about what was created; `None` if the configuration existed.
    pub notice: Option<String>,
}

/// Creates in `dir` the files that the command creates, also for these hosts, unless the directory
/// has a configuration.
///
/// # Errors
/// If the directory cannot be written, or holds some of the files but no configuration.
pub(super) fn set_up(dir: PathBuf, hosts: &[String]) -> Result<Setup, Error> {
    let config = dir.join(CONFIG);
    if config.exists() {
        return Ok(Setup { config, notice: None });
    }
    let mut all = HOSTS.map(str::to_owned).to_vec();
    all.extend(hosts.iter().filter(|host| !HOSTS.contains(&host.as_str())).cloned());
    let listen = LISTEN.parse().expect("the default address is one");
    let args = Args { dir, hosts: all, listen, print: None };
    stage(&args)?.finish()?;
    let dir = args.dir.display();
    let notice = format!(
        "first start: made a CA, a certificate for {hosts}, a token and a configuration in {dir}
the token of the principal \"admin\" is in {dir}/{TOKEN}; clients trust {dir}/{CA}
print them: auditgate init {dir} --print {TOKEN}; keep {dir}/{CA_KEY} elsewhere",
        hosts = args.hosts.join(", "),
    );
    Ok(Setup { config, notice: Some(notice) })
}

/// The signals that ask the command to end.
struct Interrupts([Signal; 3]);

impl Interrupts {
    fn new() -> std::io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [a, b, c] = kinds.map(signal);
        Ok(Self([a?, b?, c?]))
    }

    /// Whether a signal has arrived.
    async fn came(&mut self) -> bool {
        /// Enough time for a signal that was sent before to arrive.
        const SETTLE_TIME: std::time::Duration = std::time::Duration::from_millis(1);
        let [a, b, c] = &mut self.0;
        tokio::select! {
            _ = a.recv() => true,
            _ = b.recv() => true,
            _ = c.recv() => true,
            () = tokio::time::sleep(SETTLE_TIME) => false,
        }
    }
}

/// The generated files.
struct GeneratedFiles {
    ca: String,
    ca_key: String,
    cert: String,
    key: String,
    token: String,
}

impl GeneratedFiles {
    fn new(args: &Args) -> Result<Self, String> {
        let (authority, ca, ca_key) = Authority::generate()?;
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        let cert = authority.certify(&key, &args.hosts)?;
        let token = new_token().map_err(|error| error.to_string())?;
        Ok(Self { ca, ca_key, cert, key: key.serialize_pem(), token })
    }

    /// Name, text and mode of each file. The configuration is the last one.
    fn files(&self, args: &Args) -> [(&'static str, String, u32); 6] {
        [
            (CA, self.ca.clone(), PUBLIC),
            (CA_KEY, self.ca_key.clone(), PRIVATE),
            (CERT, self.cert.clone(), PUBLIC),
            (KEY, self.key.clone(), PRIVATE),
            (TOKEN, format!("{}\n", self.token), PRIVATE),
            (CONFIG, configuration(args.listen, &self.token), PRIVATE),
        ]
    }
}

/// The address for a client on the same machine.
fn reachable(args: &Args) -> String {
    let host = args.hosts.first().map_or("localhost", String::as_str);
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:{}", args.listen.port()),
        _ => format!("{host}:{}", args.listen.port()),
    }
}

fn configuration(listen: SocketAddr, token: &str) -> String {
    format!(
        r#"# Configuration of auditgate. `auditgate config check --config FILE` looks it over.
listen = "{listen}"

[tls]
cert = "{CERT}"
key = "{KEY}"
# Clients may also show a certificate by this CA:
# client_ca = "{CA}"

# Who has the token in {TOKEN}. `auditgate token NAME FILE` makes others.
[[access.tokens]]
principal = "admin"
sha256 = "{hash}"

# What no role allows is refused.
[[access.roles]]
name = "admin"
principals = ["admin"]
emit = ["*"]
read = ["*"]
allow = ["status", "subscribers", "deliveries", "proof", "reflection"]

# For example, a service that emits, and a person who looks at sessions:
# [[access.roles]]
# name = "services"
# principals = ["orders", "cert:spiffe://example.org/*"]
# emit = ["db.*", "custom.orders.*"]
#
# [[access.roles]]
# name = "support"
# principals = ["jwt:*@example.org"]
# read = ["session.*"]
"#,
        hash = hash_token(token),
    )
}
