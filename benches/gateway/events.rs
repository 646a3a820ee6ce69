//! Realistic events, the same ones in every run: a mix over the types of about
//! 300 bytes, of 1,000 users on 500 servers, in sessions of 20 events.

mod payload;

use auditgate::catalog;
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
/// One event in so many is of [`RARE_TYPE`], and another one has
/// [`RARE_TEXT`].
pub const RARE_ONE_IN: u64 = 10_000;
/// A type that the mix lacks otherwise.
pub const RARE_TYPE: &str = "trusted_cluster.create";
/// Occurs in the command line of one event in [`RARE_ONE_IN`].
pub const RARE_TEXT: &str = "Exfiltrate";
/// Types that the mix lacks altogether.
pub const UNUSED_TYPES: [&str; 10] = [
    "cert.generation_mismatch",
    "lock.created",
    "lock.deleted",
    "oidc.created",
    "oidc.deleted",
    "recovery_code.used",
    "saml.created",
    "saml.deleted",
    "session.rejected",
    "trusted_cluster.delete",
];
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
    let (payload, code) = payload::payload(number, index, dice);
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

/// An event of any type of the catalog, with an empty payload.
pub fn bare(number: u64, type_name: &str) -> Bytes {
    let id = catalog::by_name(type_name).expect("the type is in the catalog");
    let event = Event { payload: None, code: None, ..event(number) };
    let mut encoded = event.encode_to_vec();
    wire::put_bytes_field(&mut encoded, id.get().number, &[]);
    encoded.into()
}

/// Gives the numbers of events that were not sent before.
pub fn numbers() -> impl Fn(usize) -> std::ops::Range<u64> {
    let next = std::cell::Cell::new(0);
    move |count| {
        let numbers = next.get()..next.get() + count as u64;
        next.set(numbers.end);
        numbers
    }
}

/// Encoded events.
pub fn encoded(numbers: std::ops::Range<u64>) -> impl Iterator<Item = Bytes> {
    numbers.map(|number| Bytes::from(event(number).encode_to_vec()))
}

/// Encoded events that lie one behind the other, so many at a time, as they do in
/// a request to EmitBatch.
pub fn in_batches(numbers: std::ops::Range<u64>, size: usize) -> Vec<Bytes> {
    let events: Vec<Bytes> = encoded(numbers).collect();
    let batches = events.chunks(size).map(|batch| (Bytes::from(batch.concat()), batch));
    batches
        .flat_map(|(bytes, batch)| {
            let mut rest = bytes;
            batch.iter().map(move |event| rest.split_to(event.len()))
        })
        .collect()
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
