//! The peer of searches and counts: the same records in SQLite, in memory, with
//! an index for each search.

use std::collections::BTreeMap;
use std::sync::Arc;

use auditgate::log::{Segment, SegmentView};
use auditgate::proto;
use auditgate::record::{Record, Sequence};
use auditgate::time::Time;
use prost_reflect::{DynamicMessage, MessageDescriptor, Value};
use rusqlite::{Connection, Params, params};

use crate::Result;

const TABLE: &str = "
    CREATE TABLE records (
        sequence INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,
        type TEXT NOT NULL,
        user TEXT NOT NULL,
        session TEXT NOT NULL,
        text TEXT NOT NULL,
        frame BLOB NOT NULL
    )";
const INSERT: &str = "INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const INDEXES: &str = "
    CREATE INDEX by_type ON records (type);
    CREATE INDEX by_user ON records (user);
    CREATE INDEX by_session ON records (session);
    CREATE INDEX by_user_type_time ON records (user, type, time);
    ANALYZE";

/// A database with the records of a log.
pub struct Database {
    connection: Connection,
    /// Reads events whose strings are wanted.
    event: MessageDescriptor,
}

impl Database {
    /// Copies the records.
    ///
    /// # Errors
    /// If SQLite refuses.
    pub fn new(segments: &[Arc<Segment>]) -> Result<Self> {
        let event = proto::descriptor_pool()
            .get_message_by_name("auditgate.v1.Event")
            .ok_or("the protocol has events")?;
        let database = Self { connection: Connection::open_in_memory()?, event };
        database.connection.execute_batch(TABLE)?;
        let transaction = database.connection.unchecked_transaction()?;
        for segment in segments {
            database.insert(&segment.view(Sequence(u64::MAX - 1)))?;
        }
        transaction.commit()?;
        database.connection.execute_batch(INDEXES)?;
        Ok(database)
    }

    fn insert(&self, view: &SegmentView<'_>) -> Result<()> {
        let mut insert = self.connection.prepare_cached(INSERT)?;
        for (position, columns) in view.columns.iter().enumerate() {
            let record: Record<'_> = view.record(position);
            let envelope = record.envelope();
            insert.execute(params![
                record.sequence.0 as i64,
                columns.time.0,
                record.type_name,
                envelope.user.unwrap_or_default(),
                envelope.session_id.unwrap_or_default(),
                self.text(record.event)?,
                view.frame(position),
            ])?;
        }
        Ok(())
    }

    /// All strings of an event, in lines.
    fn text(&self, event: &[u8]) -> Result<String> {
        let mut text = String::new();
        let event = DynamicMessage::decode(self.event.clone(), event)?;
        add_strings(&Value::Message(event), &mut text);
        Ok(text)
    }

    /// The frames that a query selects, one behind the other.
    ///
    /// # Errors
    /// If SQLite refuses.
    pub fn page(&self, query: &str, parameters: impl Params) -> Result<Vec<u8>> {
        let mut statement = self.connection.prepare_cached(query)?;
        let mut rows = statement.query(parameters)?;
        let mut frames = Vec::new();
        while let Some(row) = rows.next()? {
            frames.extend_from_slice(row.get_ref(0)?.as_blob()?);
        }
        Ok(frames)
    }

    /// Counts records by bucket and type.
    ///
    /// # Errors
    /// If SQLite refuses.
    pub fn histogram(&self, bucket: i64) -> Result<BTreeMap<Time, BTreeMap<String, i64>>> {
        const COUNT: &str =
            "SELECT time / ?1, type, count(*) FROM records GROUP BY time / ?1, type";
        let mut statement = self.connection.prepare_cached(COUNT)?;
        let mut rows = statement.query([bucket])?;
        let mut buckets: BTreeMap<Time, BTreeMap<String, i64>> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            buckets.entry(Time(number * bucket)).or_default().insert(row.get(1)?, row.get(2)?);
        }
        Ok(buckets)
    }
}

fn add_strings(value: &Value, text: &mut String) {
    match value {
        Value::String(string) => {
            text.push_str(string);
            text.push('\n');
        }
        Value::Message(message) => message.fields().for_each(|(_, value)| add_strings(value, text)),
        Value::List(values) => values.iter().for_each(|value| add_strings(value, text)),
        Value::Map(entries) => entries.values().for_each(|value| add_strings(value, text)),
        _ => {}
    }
}
