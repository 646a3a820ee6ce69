//! `auditgate init`: what a gateway with TLS and authentication starts with.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use jiff::ToSpan as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::new_file::{PRIVATE, PUBLIC};
use super::new_folder::NewFolder;
use super::{Error, ExitKind, say};
use crate::access::{hash_token, new_token};
use crate::config::LISTEN;

/// How long the CA is valid, in days.
const CA_DAYS: i64 = 3_650;
/// How long the gateway's certificate is valid, in days.
const SERVER_DAYS: i64 = 397;

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

Exit status: 0 if all was written; 2 if nothing was; 130 after Ctrl-C, if nothing was.")]
pub struct Args {
    /// Folder to write to; created if it does not exist
    dir: PathBuf,
    /// Names and addresses at which clients reach the gateway; may be repeated
    #[arg(long = "host", value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
    hosts: Vec<String>,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = LISTEN)]
    listen: SocketAddr,
}

/// Names of the files.
const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const CERT: &str = "server.pem";
const KEY: &str = "server.key";
const TOKEN: &str = "admin.token";
const CONFIG: &str = "auditgate.toml";

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    // From here on, no signal ends the process between two files.
    let mut signals = Interrupts::new().map_err(|error| Error::Usage(error.to_string()))?;
    let made = GeneratedFiles::new(&args).map_err(Error::Usage)?;
    let mut folder = NewFolder::begin(&args.dir)?;
    for (name, text, mode) in made.files(&args) {
        folder.write(name, &text, mode)?;
    }
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

/// The signals that ask the command to end.
struct Interrupts([Signal; 3]);

impl Interrupts {
    fn new() -> std::io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [a, b, c] = kinds.map(signal);
        Ok(Self([a?, b?, c?]))
    }

    /// Whether one came.
    async fn came(&mut self) -> bool {
        /// A signal that came before is known by then.
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

/// What is made.
struct GeneratedFiles {
    ca: String,
    ca_key: String,
    cert: String,
    key: String,
    token: String,
}

impl GeneratedFiles {
    fn new(args: &Args) -> Result<Self, String> {
        let text = |error: rcgen::Error| error.to_string();
        let mut params = CertificateParams::new(Vec::new()).map_err(text)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "auditgate CA");
        set_validity(&mut params, CA_DAYS)?;
        let ca_key = KeyPair::generate().map_err(text)?;
        let ca = params.self_signed(&ca_key).map_err(text)?.pem();
        let ca_key_pem = ca_key.serialize_pem();
        let issuer = Issuer::new(params, ca_key);

        let mut params = CertificateParams::new(Vec::new()).map_err(text)?;
        params.subject_alt_names = args.hosts.iter().map(name).collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.distinguished_name.push(DnType::CommonName, "auditgate");
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, SERVER_DAYS)?;
        let key = KeyPair::generate().map_err(text)?;
        let cert = params.signed_by(&key, &issuer).map_err(text)?.pem();
        let token = new_token().map_err(|error| error.to_string())?;
        Ok(Self { ca, ca_key: ca_key_pem, cert, key: key.serialize_pem(), token })
    }

    /// Name, text and mode. The configuration comes last.
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

fn name(host: &String) -> Result<SanType, String> {
    match host.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => {
            let name = host.as_str().try_into();
            name.map(SanType::DnsName).map_err(|_| format!("{host:?} is not the name of a host"))
        }
    }
}

/// Valid from yesterday on, since clocks differ, for this number of days.
fn set_validity(params: &mut CertificateParams, days: i64) -> Result<(), String> {
    let today = jiff::Zoned::now().date();
    let at = |offset: i64| -> Result<_, String> {
        let date = today.checked_add(offset.days()).map_err(|error| error.to_string())?;
        Ok(rcgen::date_time_ymd(i32::from(date.year()), date.month() as u8, date.day() as u8))
    };
    params.not_before = at(-1)?;
    params.not_after = at(days)?;
    Ok(())
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
allow = ["status", "subscribers", "proof", "reflection"]

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
