//! `auditgate cluster status`: the gateways of a shared log, as its stream tells.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::{cluster_keys, connect, usage};
use crate::cli::columns::{Cell, Column, Grid};
use crate::cli::numbers::counted;
use crate::cli::settings::SharedSource;
use crate::cli::{Error, ExitKind, interruptible, print, terminal};
use crate::log::shared::members::MEMBER_INTERVAL;
use crate::log::shared::stream::Stream as _;
use crate::log::shared::stream::jetstream::{JetStream, ReplicaState, ReplicaStatus};
use crate::log::shared::survey::{Survey, survey};
use crate::text::hex;

/// A gateway tells of itself within this time, if it can publish.
const PERIOD: Duration = Duration::from_secs(MEMBER_INTERVAL.as_secs() + 2);

/// Show the gateways of a shared log, as its stream tells
///
/// Reads the newest messages of the stream, and those of the next half a minute if that is
/// too short to have heard of every gateway. Each gateway tells its name, version, how far
/// it is, whether it signs checkpoints, and digests of its settings; where these differ, a
/// line says so. What one gateway knows is in `auditgate status`.
///
/// The leader of the stream tells of the NATS servers with a copy: whether each has all, by how
/// much it is behind, and how long ago the leader heard of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate cluster status --config gateway.toml
  auditgate cluster status --config gateway.toml -o json

Exit status: 0 if the stream answers; 2 if the arguments are wrong, or the stream cannot be
reached; 130 after Ctrl-C.")]
pub struct Args {
    #[command(flatten)]
    source: SharedSource,
    /// Output format
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = ClusterFormat::Pretty)]
    output: ClusterFormat,
    #[command(flatten)]
    color: terminal::Args,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ClusterFormat {
    /// Table
    Pretty,
    /// One JSON object
    Json,
}

/// What the stream tells, as JSON.
#[derive(Debug, Serialize)]
struct ClusterStatus {
    log_id: String,
    server: String,
    first_message: u64,
    last_message: u64,
    epoch: Option<u16>,
    /// Records that the newest signed checkpoint covers; it is not verified.
    checkpoint_records: Option<u64>,
    checkpoint_message: Option<u64>,
    invalid_messages: u64,
    gateways: Vec<GatewayStatus>,
    differences: Vec<String>,
    /// On how many servers each message should be.
    replicas: u32,
    /// The servers with a copy of the stream, as the leader knows them.
    servers: Vec<ServerStatus>,
    /// What should be changed at the stream or its servers.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct GatewayStatus {
    name: String,
    version: String,
    applied_message: u64,
    lag_messages: u64,
    records: u64,
    epoch: u16,
    is_signer: bool,
    seconds_ago: f64,
    digests: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct ServerStatus {
    name: String,
    state: ReplicaState,
    /// Steps of replication that it lacks.
    lag: u64,
    /// How long ago the leader heard of it; null for the leader, and if it never did.
    seconds_ago: Option<f64>,
}

impl From<ReplicaStatus> for ServerStatus {
    fn from(replica: ReplicaStatus) -> Self {
        Self {
            name: replica.server,
            state: replica.state,
            lag: replica.lag,
            seconds_ago: replica.silent.map(|silent| silent.as_secs_f64()),
        }
    }
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    interruptible(async {
        let shared = args.source.load()?;
        let stream = connect(&shared).await?;
        let keys = cluster_keys(&shared, stream.settings().log_id)?;
        let found = survey(&stream, &keys, PERIOD).await.map_err(usage)?;
        let status = ClusterStatus::of(&stream, found);
        let text = match args.output {
            ClusterFormat::Json => {
                serde_json::to_string(&status).map_err(std::io::Error::other)? + "\n"
            }
            ClusterFormat::Pretty => {
                let is_terminal = std::io::stdout().is_terminal();
                draw(&status, terminal::width(), args.color.resolve(is_terminal))
            }
        };
        print(&text)
    })
    .await
}

impl ClusterStatus {
    fn of(stream: &JetStream, found: Survey) -> Self {
        let Survey { ends, members, epoch, checkpoint, invalid, time } = found;
        let mut differences = Vec::new();
        for (place, one) in members.iter().enumerate() {
            for other in members.iter().skip(place + 1) {
                let (a, b) = (&one.report, &other.report);
                differences.extend(a.differences(b).map(|part| {
                    format!("{} and {} have different settings: {part}", a.name, b.name)
                }));
            }
        }
        let gateways = members.into_iter().map(|member| GatewayStatus {
            applied_message: member.basis.position,
            // Its own message came after what it had applied.
            lag_messages: (member.position - 1).saturating_sub(member.basis.position),
            records: member.basis.count,
            epoch: member.basis.epoch,
            is_signer: member.report.is_signer,
            seconds_ago: time.map_or(0.0, |time| (time.0 - member.time.0) as f64 / 1e9),
            digests: member
                .report
                .digests
                .iter()
                .map(|digest| (digest.name.clone(), hex(&digest.digest)))
                .collect(),
            name: member.report.name,
            version: member.report.version,
        });
        Self {
            log_id: stream.settings().log_id.to_string(),
            server: stream.server_name(),
            first_message: ends.first,
            last_message: ends.last,
            epoch,
            checkpoint_records: checkpoint
                .as_ref()
                .and_then(|(_, text)| text.lines().nth(1)?.parse().ok()),
            checkpoint_message: checkpoint.map(|(position, _)| position),
            invalid_messages: invalid,
            gateways: gateways.collect(),
            differences,
            replicas: stream.plan().replicas,
            servers: stream.replicas().into_iter().map(ServerStatus::from).collect(),
            warnings: stream.report().warnings,
        }
    }
}

fn draw(status: &ClusterStatus, width: Option<usize>, color: terminal::Color) -> String {
    let troubles = status.warnings.iter().chain(&status.differences);
    let mut lines: Vec<String> = troubles.map(|trouble| format!("! {trouble}")).collect();
    if status.invalid_messages > 0 {
        lines.push(format!(
            "! {} of the newest messages are not of a gateway with the cluster key",
            status.invalid_messages
        ));
    }
    let epoch = status.epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string());
    lines.push(format!("log         {}, epoch {epoch}", status.log_id));
    lines.push(format!(
        "stream      messages {} to {}, {} replicas, connected to {}",
        status.first_message, status.last_message, status.replicas, status.server
    ));
    lines.push(match (status.checkpoint_records, status.checkpoint_message) {
        (Some(records), Some(position)) => {
            format!("checkpoint  of {}, in message {position}", counted(records, "record"))
        }
        _ => "checkpoint  none in the newest messages".to_owned(),
    });
    // A server without a cluster tells of no copies.
    if !status.servers.is_empty() {
        let columns = vec![
            Column::new("SERVER", 8, 24),
            Column::new("COPY", 7, 8),
            Column::new("LAG", 3, 12).of_numbers(),
            Column::new("SEEN", 4, 12).of_numbers(),
        ];
        lines.push(String::new());
        lines.extend(table(columns, status.servers.iter().map(server_row), width, color));
    }
    lines.push(String::new());
    if status.gateways.is_empty() {
        lines.push("no gateway has told of itself".to_owned());
    } else {
        let columns = vec![
            Column::new("GATEWAY", 8, 24),
            Column::new("VERSION", 5, 8),
            Column::new("RECORDS", 7, 12).of_numbers(),
            Column::new("MESSAGE", 7, 12).of_numbers(),
            Column::new("LAG", 3, 6).of_numbers(),
            Column::new("SIGNS", 5, 5),
            Column::new("TOLD", 4, 10).of_numbers(),
        ];
        lines.extend(table(columns, status.gateways.iter().map(row), width, color));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// The lines of a table, with headings.
fn table(
    columns: Vec<Column>,
    rows: impl Iterator<Item = Vec<Cell>>,
    width: Option<usize>,
    color: terminal::Color,
) -> Vec<String> {
    let mut table = Grid::new(columns, width);
    let rows: Vec<_> = rows.collect();
    table.fit(rows.iter().map(Vec::as_slice));
    let headings = table.headings(color);
    std::iter::once(headings).chain(rows.iter().map(|row| table.line(row, color))).collect()
}

fn server_row(server: &ServerStatus) -> Vec<Cell> {
    let seen = match (server.state, server.seconds_ago) {
        (ReplicaState::Leader, _) => "-".to_owned(),
        (_, Some(seconds)) => format!("{seconds:.1} s ago"),
        (_, None) => "never".to_owned(),
    };
    vec![
        Cell::plain(server.name.as_str()),
        Cell::plain(server.state.name()),
        Cell::plain(server.lag.to_string()),
        Cell::plain(seen),
    ]
}

fn row(gateway: &GatewayStatus) -> Vec<Cell> {
    vec![
        Cell::plain(gateway.name.as_str()),
        Cell::plain(gateway.version.as_str()),
        Cell::plain(gateway.records.to_string()),
        Cell::plain(gateway.applied_message.to_string()),
        Cell::plain(gateway.lag_messages.to_string()),
        Cell::plain(if gateway.is_signer { "yes" } else { "no" }),
        Cell::plain(format!("{:.0} s ago", gateway.seconds_ago)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_a_line_with_its_state() {
        let replica = |server: &str, state, lag, silent| ReplicaStatus {
            server: server.to_owned(),
            state,
            lag,
            silent,
        };
        let seconds = |seconds| Some(Duration::from_secs_f64(seconds));
        let replicas = [
            replica("n2", ReplicaState::Leader, 0, None),
            replica("n1", ReplicaState::Current, 0, seconds(0.2)),
            replica("n3", ReplicaState::Behind, 9, None),
            replica("n4", ReplicaState::Offline, 31, seconds(43.14)),
        ];
        let status = ClusterStatus {
            log_id: "a-log".to_owned(),
            server: "n1".to_owned(),
            first_message: 1,
            last_message: 5,
            epoch: Some(1),
            checkpoint_records: Some(1),
            checkpoint_message: Some(4),
            invalid_messages: 0,
            gateways: Vec::new(),
            differences: Vec::new(),
            replicas: 5,
            servers: replicas.map(ServerStatus::from).into(),
            warnings: vec!["n4 is down".to_owned()],
        };
        let drawn = draw(&status, None, terminal::Color(false));
        let expected = "! n4 is down
log         a-log, epoch 1
stream      messages 1 to 5, 5 replicas, connected to n1
checkpoint  of 1 record, in message 4

SERVER  COPY     LAG        SEEN
n2      leader     0           -
n1      current    0   0.2 s ago
n3      behind     9       never
n4      offline   31  43.1 s ago

no gateway has told of itself
";
        let lines =
            |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(lines(&drawn), lines(expected));
        let json = serde_json::to_value(&status).expect("JSON");
        assert_eq!(json["servers"][3]["state"], "offline");
        assert_eq!(json["servers"][0]["seconds_ago"], serde_json::Value::Null);
    }
}
