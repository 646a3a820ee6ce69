//! `auditgate cluster init`: the stream of a shared log, and the keys of its gateways.

use std::fmt::Write as _;
use std::path::PathBuf;

use uuid::Uuid;

use super::usage;
use crate::cli::new_file::{PRIVATE, PUBLIC};
use crate::cli::new_folder::NewFolder;
use crate::cli::settings::SharedSource;
use crate::cli::{Error, ExitKind, say};
use crate::config::{ByteSize, Period, SharedSettings};
use crate::log::shared::cluster_key::ClusterSecrets;
use crate::log::shared::stream::jetstream::{
    self, INBOX, JetStream, NatsServers, StreamPlan, Subjects,
};
use crate::proof::SigningKey;
use crate::proof::key::SignatureKind;

/// Make the stream of a shared log, and the keys of its gateways
///
/// Makes the stream in NATS JetStream, and writes to the folder: the key that
/// authenticates the messages of the gateways (cluster.key), the key that signs
/// checkpoints and its verifier key (signing.key, signing.key.pub), the permissions that
/// a gateway needs in NATS (nats-permissions.conf), and a configuration for a gateway
/// (gateway.toml). Give each gateway a copy of both keys, and keep them secret. Existing
/// files and streams are left as they are. After an error, no file is left.
///
/// NATS acknowledges before it syncs to stable storage, unless its servers are
/// configured with `jetstream { sync_interval: always }`: a receipt needs that.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate cluster init --shared nats://n1,nats://n2,nats://n3 --replicas 3 --out cluster
  auditgate cluster init --shared nats://127.0.0.1:4222 --replicas 1 --out cluster
  auditgate cluster init --config gateway.toml --retain-age 90d --out cluster

Exit status: 0 if the stream was made and all was written; 2 if not.")]
pub struct Args {
    #[command(flatten)]
    source: SharedSource,
    /// Folder to write to; created if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// On how many servers each message is stored; an odd number, of which a minority may fail
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=5))]
    replicas: u32,
    /// How long records are stored; without it and --retain-bytes, all are. At least 1m
    #[arg(long, value_name = "TIME")]
    retain_age: Option<Period>,
    /// The most bytes that the stream takes on each server; the oldest records go then. At least
    /// 64MiB
    #[arg(long, value_name = "BYTES")]
    retain_bytes: Option<ByteSize>,
    /// Name of the signing key, which is the origin of the log and which no other log may have;
    /// by default auditgate/ and the log's id
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

const CLUSTER_KEY: &str = "cluster.key";
const SIGNING_KEY: &str = "signing.key";
const VERIFIER_KEY: &str = "signing.key.pub";
const PERMISSIONS: &str = "nats-permissions.conf";
const CONFIG: &str = "gateway.toml";

/// A shorter retention would remove what a gateway still needs to join.
const RETAIN_AGE_MIN: std::time::Duration = std::time::Duration::from_secs(60);
const RETAIN_BYTES_MIN: usize = 64 * 1024 * 1024;

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let shared = args.source.load()?;
    let plan = plan(args.replicas, args.retain_age, args.retain_bytes)?;
    let (servers, subjects) = (shared.connection()?, shared.subjects()?);
    let log_id = Uuid::now_v7();
    let made = ClusterFiles::new(&args, &shared, &subjects, log_id)?;
    let mut folder = NewFolder::begin(&args.out)?;
    for (name, text, mode) in &made.0 {
        folder.write(name, text, *mode)?;
    }
    // The files come last: a stream without its keys is of no use, but it is not lost either.
    let stream = JetStream::create(&servers, &subjects, plan, log_id).await;
    let stream = stream.map_err(|error| Error::Usage(refused(&error)))?;
    folder.finish()?;
    let dir = args.out.display();
    say(&format!(
        "made the stream {stream} for the log {log_id} on {count} of the servers of {server}
wrote {dir}: the cluster key, the signing key, permissions for NATS and a configuration

1. let the servers sync before they acknowledge: jetstream {{ sync_interval: always }}
2. let them take large messages: max_payload: 8MB
3. give each gateway a user with the permissions in {dir}/{PERMISSIONS}
4. copy {CLUSTER_KEY}, {SIGNING_KEY} and {CONFIG} to each gateway, and start it:
  auditgate serve --config {dir}/{CONFIG}",
        stream = subjects.stream(),
        count = plan.replicas,
        server = stream.server_name(),
    ));
    Ok(ExitKind::All)
}

/// How a stream is made by these flags.
pub(super) fn plan(
    replicas: u32,
    retain_age: Option<Period>,
    retain_bytes: Option<ByteSize>,
) -> Result<StreamPlan, Error> {
    if replicas.is_multiple_of(2) {
        let what = format!(
            "--replicas is {replicas}: choose an odd number, since an even one survives no more failures than one less"
        );
        return Err(Error::Usage(what));
    }
    if retain_age.is_some_and(|Period(age)| age < RETAIN_AGE_MIN) {
        return Err(Error::Usage("--retain-age must be at least 1m".to_owned()));
    }
    if retain_bytes.is_some_and(|ByteSize(bytes)| bytes < RETAIN_BYTES_MIN) {
        return Err(Error::Usage("--retain-bytes must be at least 64MiB".to_owned()));
    }
    Ok(StreamPlan {
        replicas,
        age_max: retain_age.map(|Period(age)| age),
        bytes_max: retain_bytes.map(|ByteSize(bytes)| bytes as u64),
    })
}

/// Why there is no stream, and what to do.
fn refused(error: &jetstream::Error) -> String {
    match error {
        jetstream::Error::Exists(stream) => format!(
            "there is a stream {stream} already: use the keys that were written when it was made, or choose another name (--shared-stream)"
        ),
        other => other.to_string(),
    }
}

/// Name, text and mode of each file.
struct ClusterFiles([(&'static str, String, u32); 5]);

impl ClusterFiles {
    fn new(
        args: &Args,
        shared: &SharedSettings,
        subjects: &Subjects,
        log_id: Uuid,
    ) -> Result<Self, Error> {
        let secrets = ClusterSecrets::generate().map_err(usage)?;
        let origin = args.name.clone().unwrap_or_else(|| format!("auditgate/{log_id}"));
        let key = SigningKey::generate(&origin, SignatureKind::Log)
            .map_err(|error| Error::Usage(format!("--name {origin:?}: {error}")))?;
        Ok(Self([
            (CLUSTER_KEY, secrets.encoded(), PRIVATE),
            (SIGNING_KEY, format!("{}\n", key.encoded()), PRIVATE),
            (VERIFIER_KEY, format!("{}\n", key.verifier()), PUBLIC),
            (PERMISSIONS, permissions(subjects), PUBLIC),
            (CONFIG, configuration(shared), PUBLIC),
        ]))
    }
}

/// What a gateway's user in NATS may do, as its servers are configured.
fn permissions(subjects: &Subjects) -> String {
    let list = |subjects: &[String]| {
        subjects.iter().fold(String::new(), |mut text, subject| {
            let _ = writeln!(text, "      \"{subject}\"");
            text
        })
    };
    let inbox = NatsServers::default().inbox();
    format!(
        "# For the user of each gateway in the configuration of the NATS servers:
#   authorization {{ users = [ {{ user: {INBOX}, password: ..., permissions: {{ ... }} }} ] }}
# Nobody else may publish to {publish}, and nobody at all to live.>.
# The inbox is named as the user: {inbox} for the user {INBOX}. Give each gateway a user
# of its own, and write that user's name there; without one, set shared.inbox to a name.
permissions: {{
  publish: {{
    allow: [
{published}    ]
  }}
  subscribe: {{
    allow: [
{subscribed}    ]
  }}
}}
",
        publish = subjects.published().first().map_or("", String::as_str),
        published = list(&subjects.published()),
        subscribed = list(&subjects.subscribed(&inbox)),
    )
}

/// The configuration of a gateway, beside its keys.
fn configuration(shared: &SharedSettings) -> String {
    let mut text = format!(
        "# A gateway of a shared log: see docs/CLUSTER.md. Each gateway has its own data directory.
data_dir = \"data\"
signing_key = \"{SIGNING_KEY}\"

[shared]
servers = {servers}
stream = {stream}
cluster_key = \"{CLUSTER_KEY}\"
",
        servers = toml::Value::from(shared.servers.clone()),
        stream = toml::Value::from(shared.stream.clone()),
    );
    let files = [
        ("ca", &shared.ca),
        ("cert", &shared.cert),
        ("key", &shared.key),
        ("credentials", &shared.credentials),
        ("password_file", &shared.password_file),
    ];
    let absolute = |path: &PathBuf| std::path::absolute(path).ok()?.to_str().map(str::to_owned);
    for (name, path) in files {
        if let Some(path) = path.as_ref().and_then(absolute) {
            let _ = writeln!(text, "{name} = {}", toml::Value::from(path));
        }
    }
    if let Some(user) = &shared.user {
        let _ = writeln!(text, "user = {}", toml::Value::from(user.clone()));
    }
    text
}
