//! Encodes messages of RFC 5424, with octet counting: `LENGTH SP MESSAGE`.

use crate::delivery::batch::ItemView;
use crate::proto::pb;

/// The facilities of syslog, by number.
pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
/// Severities of syslog.
const CRITICAL: u8 = 2;
const ERROR: u8 = 3;
const WARNING: u8 = 4;
const INFORMATIONAL: u8 = 6;
/// The longest MSGID, in bytes.
const MSGID_BYTES_MAX: usize = 32;
/// The longest HOSTNAME, in bytes.
const HOSTNAME_BYTES_MAX: usize = 255;

/// The common fields of the messages of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageForm {
    /// The number of the facility: a position in [`FACILITIES`].
    pub facility: u8,
    /// The field HOSTNAME.
    pub hostname: String,
    /// The field APP-NAME.
    pub app_name: String,
    /// The SD-ID of the structured data, such as `auditgate@32473`.
    pub sd_id: String,
}

impl MessageForm {
    /// An item as a message in its frame.
    pub fn frame(&self, item: &ItemView<'_>) -> Vec<u8> {
        let record = item.record();
        let severity = record.map_or(WARNING, |record| severity(record.severity));
        let priority = u16::from(self.facility) * 8 + u16::from(severity);
        let type_name = record.map_or("auditgate.gap", |record| record.type_name);
        let (seconds, nanos) = item.time().parts();
        // The field has microseconds at most.
        let time = prost_types::Timestamp { seconds, nanos: nanos / 1_000 * 1_000 };
        let mut message = format!(
            "<{priority}>1 {time} {} {} - {} [{} id=\"{}\" sequence=\"{}\" type=\"{}\"] ",
            header_field(&self.hostname, HOSTNAME_BYTES_MAX),
            header_field(&self.app_name, 48),
            header_field(type_name, MSGID_BYTES_MAX),
            self.sd_id,
            parameter(&item.id()),
            item.source.sequence(),
            parameter(type_name),
        )
        .into_bytes();
        message.extend_from_slice(item.bytes);
        let mut frame = format!("{} ", message.len()).into_bytes();
        frame.append(&mut message);
        frame
    }
}

/// A severity of syslog for a number of `auditgate.v1.Severity`.
fn severity(number: u8) -> u8 {
    match pb::Severity::try_from(i32::from(number)) {
        Ok(pb::Severity::Critical) => CRITICAL,
        Ok(pb::Severity::Error) => ERROR,
        Ok(pb::Severity::Warning) => WARNING,
        _ => INFORMATIONAL,
    }
}

/// A header field: the visible ASCII characters of the text without spaces, cut; `-` if there are
/// none.
fn header_field(text: &str, bytes_max: usize) -> String {
    let visible = text.chars().filter(char::is_ascii_graphic);
    let field: String = visible.take(bytes_max).collect();
    if field.is_empty() { "-".to_owned() } else { field }
}

/// The value of a parameter: `"`, `\` and `]` are escaped.
fn parameter(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '"' | '\\' | ']') {
            value.push('\\');
        }
        value.push(letter);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::batch::Batch;
    use crate::delivery::format::{FormatName, testing};

    fn form(hostname: &str) -> MessageForm {
        MessageForm {
            facility: 13,
            hostname: hostname.into(),
            app_name: "auditgate".into(),
            sd_id: "auditgate@32473".into(),
        }
    }

    #[test]
    fn a_message_is_one_of_rfc_5424_behind_its_length() {
        let mut batch = Batch::new("log".into());
        let record = testing::record(7).into();
        batch.add_record(record, &*FormatName::Json.format()).expect("it has a form");
        let frame = form("host one\n").frame(&batch.item(0));
        let text = String::from_utf8(frame).expect("it is text");
        let (length, message) = text.split_once(' ').expect("a length");
        assert_eq!(length.parse(), Ok(message.len()));
        let head = "<110>1 1970-01-01T00:00:00Z hostone auditgate - user.login \
                    [auditgate@32473 id=\"log/7\" sequence=\"7\" type=\"user.login\"] {\"id\":";
        assert!(message.starts_with(head), "{message}");
    }

    #[test]
    fn parameters_are_escaped_and_fields_are_visible() {
        assert_eq!(parameter(r#"a"b\c]d"#), r#"a\"b\\c\]d"#);
        assert_eq!(header_field("", 5), "-");
        assert_eq!(header_field("\u{1b}[1m é", 5), "[1m");
        assert_eq!(header_field("abcdefgh", 5), "abcde");
        assert_eq!(FACILITIES[13], "audit");
    }
}
