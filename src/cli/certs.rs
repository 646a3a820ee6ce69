//! `auditgate certs`: renews the gateway's certificate.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::KeyPair;

use super::certificate::{Authority, Leaf};
use super::init::{CA, CA_KEY, CERT, KEY};
use super::new_file::{PRIVATE, PUBLIC, replace};
use super::{Error, ExitKind, say};

/// Renew the certificate of a gateway that `auditgate init` set up
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: CertsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum CertsCommand {
    Renew(RenewArgs),
}

/// Issue a new certificate from the same CA, and replace the old one
///
/// The new certificate in server.pem names the same hosts, unless --host names others, and is
/// valid for 397 days. It replaces the old one in one step. A running gateway reads it within
/// two seconds, or at once after SIGHUP; connections stay open. Clients keep their ca.pem.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate certs renew gateway
  auditgate certs renew gateway --ca-key /media/safe/ca.key
  auditgate certs renew gateway --host localhost --host audit.example.org

Exit status: 0 if the certificate was replaced; 2 if not.")]
struct RenewArgs {
    /// Directory that `auditgate init` wrote
    dir: PathBuf,
    /// Private key of the CA [default: ca.key in the directory]
    #[arg(long, value_name = "FILE")]
    ca_key: Option<PathBuf>,
    /// Names and addresses at which clients reach the gateway [default: those of the old
    /// certificate]; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Also generate a new private key; the gateway uses the old pair until both files are replaced
    #[arg(long)]
    new_key: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    let CertsCommand::Renew(args) = &args.command;
    let cert_file = args.dir.join(CERT);
    let key_file = args.dir.join(KEY);
    let ca_file = args.dir.join(CA);
    let ca_key_file = args.ca_key.clone().unwrap_or_else(|| args.dir.join(CA_KEY));

    let old = Leaf::from_pem(&read(&cert_file)?).map_err(|what| unusable(&cert_file, &what))?;
    let hosts = if args.hosts.is_empty() { &old.hosts } else { &args.hosts };
    if hosts.is_empty() {
        return Err(unusable(&cert_file, "it names no host; name them by --host"));
    }
    let authority = Authority::from_pem(&read(&ca_file)?, &read(&ca_key_file)?)
        .map_err(|what| unusable(&ca_key_file, &format!("with {}, {what}", ca_file.display())))?;
    let key = if args.new_key {
        KeyPair::generate().map_err(|error| Error::Usage(error.to_string()))?
    } else {
        let pem = read(&key_file)?;
        KeyPair::from_pem(&pem).map_err(|error| unusable(&key_file, &error.to_string()))?
    };
    let certificate = authority.certify(&key, hosts).map_err(Error::Usage)?;
    let new = Leaf::from_pem(&certificate).map_err(|what| unusable(&cert_file, &what))?;
    if args.new_key {
        replace(&key_file, &key.serialize_pem(), PRIVATE)?;
    }
    replace(&cert_file, &certificate, PUBLIC)?;
    say(&format!(
        "renewed {}: valid until {} for {}; the old certificate ended on {}",
        cert_file.display(),
        date(new.not_after),
        hosts.join(", "),
        date(old.not_after),
    ));
    Ok(ExitKind::All)
}

fn read(file: &Path) -> Result<String, Error> {
    fs::read_to_string(file)
        .map_err(|error| Error::Read { file: file.display().to_string(), error })
}

fn unusable(file: &Path, what: &str) -> Error {
    Error::Usage(format!("cannot use {}: {what}", file.display()))
}

/// A date in UTC, such as 2027-01-31.
fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "?".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}
