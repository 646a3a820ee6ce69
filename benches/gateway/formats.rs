//! What it costs to write a record in another format.

use auditgate::mapping::{MappingInput, TargetSchema};
use auditgate::proto::pb;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message as _;
use serde_json::{Map, Value};

use crate::rounds::{Better, Duel, Row, Sample, Stopwatch};
use crate::{Result, Scale, events};

/// The measures of this file.
pub const NAMES: &[&str] = &["delivery_ocsf", "delivery_otlp"];

/// Records of a request.
const BATCH_RECORDS: usize = 1_000;
const LOG_ID: &str = "0198c0f2-7d1c-7c3a-9a55-3f7f3f6f1a01";

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let records: Vec<Vec<u8>> = (0..scale.pick(50_000, 500)).map(record).collect();
    let measure = |name: &'static str| match name {
        "delivery_ocsf" => ocsf(name, &records, scale),
        _ => otlp(name, &records, scale),
    };
    wanted.iter().map(|name| measure(name)).collect()
}

/// Nothing is decoded for the peer, either: its values lie ready, and are put together.
fn ocsf(name: &'static str, records: &[Vec<u8>], scale: Scale) -> Result<Row> {
    let written = |record: &Vec<u8>| {
        let mut out = Vec::new();
        write(TargetSchema::Ocsf, record, &mut out);
        serde_json::from_slice(&out)
    };
    let values: Vec<Value> =
        records.iter().map(written).collect::<std::result::Result<_, serde_json::Error>>()?;
    let peer = "building and printing a serde_json::Value of the same events";
    let duel = Duel { name, unit: "records/s", better: Better::More, peer };
    let ours = || {
        rate(records, |batch, out| {
            for record in batch {
                write(TargetSchema::Ocsf, record, out);
                out.push(b'\n');
            }
            Ok(())
        })
    };
    let theirs = || {
        rate(&values, |batch, out| {
            for value in batch {
                serde_json::to_writer(&mut *out, &built(value))?;
                out.push(b'\n');
            }
            Ok(())
        })
    };
    duel.run(scale.rounds(), ours, theirs)
}

/// The peer has its log records ready, builds a request of copies, and encodes it.
fn otlp(name: &'static str, records: &[Vec<u8>], scale: Scale) -> Result<Row> {
    let written = |record: &Vec<u8>| {
        let mut out = Vec::new();
        write(TargetSchema::Otlp, record, &mut out);
        LogRecord::decode(&*out)
    };
    let decoded: Vec<LogRecord> =
        records.iter().map(written).collect::<std::result::Result<_, prost::DecodeError>>()?;
    let peer = "one thread that builds and encodes ExportLogsServiceRequest";
    let duel = Duel { name, unit: "records/s", better: Better::More, peer };
    let ours = || {
        rate(records, |batch, out| {
            // The fields of a request are put around the items by the destination.
            let mut item = Vec::new();
            for record in batch {
                item.clear();
                write(TargetSchema::Otlp, record, &mut item);
                auditgate::wire::put_bytes_field(out, 2, &item);
            }
            Ok(())
        })
    };
    let theirs = || {
        rate(&decoded, |batch, out| {
            let logs = ScopeLogs { log_records: batch.to_vec(), ..Default::default() };
            let logs = ResourceLogs { scope_logs: vec![logs], ..Default::default() };
            ExportLogsServiceRequest { resource_logs: vec![logs] }.encode(out)?;
            Ok(())
        })
    };
    duel.run(scale.rounds(), ours, theirs)
}

/// Records of a second in which `write` puts batches of them into a buffer.
fn rate<T>(
    records: &[T],
    mut write: impl FnMut(&[T], &mut Vec<u8>) -> Result<()>,
) -> Result<Sample> {
    let mut out = Vec::new();
    let watch = Stopwatch::start();
    for batch in records.chunks(BATCH_RECORDS) {
        out.clear();
        write(batch, &mut out)?;
        std::hint::black_box(&out);
    }
    let took = watch.stop();
    Ok(Sample { value: records.len() as f64 / took.cpu.as_secs_f64(), cpu: Some(took.cpu) })
}

fn write(schema: TargetSchema, record: &[u8], out: &mut Vec<u8>) {
    schema.write(&MappingInput::new(record, LOG_ID), out);
}

/// A value that is put together anew, member by member.
fn built(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut object = Map::new();
            for (name, member) in members {
                object.insert(name.clone(), built(member));
            }
            Value::Object(object)
        }
        Value::Array(items) => Value::Array(items.iter().map(built).collect()),
        value => value.clone(),
    }
}

fn record(number: u64) -> Vec<u8> {
    let event = events::event(number);
    let type_id = event.payload.as_ref().map(auditgate::catalog::type_of);
    let record = pb::Record {
        sequence: number + 1,
        accept_time: event.time,
        emitter: Some(pb::Emitter { principal: "bench".into(), peer: "10.0.7.2:40112".into() }),
        r#type: type_id.map(|id| id.get().name.to_owned()).unwrap_or_default(),
        severity: pb::Severity::Info.into(),
        result: pb::Result::Success.into(),
        event: Some(event),
        ..Default::default()
    };
    record.encode_to_vec()
}
