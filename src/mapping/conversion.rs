//! The conversions of mapping tables.

use crate::wire::{self, FieldKind};

/// How a value is converted, named as in tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// `text`: a text, unchanged.
    Text,
    /// `number`: a whole number.
    Number,
    /// `flag`: true or false.
    Flag,
    /// `name`: the name of an enum's value.
    Name,
    /// `map NAME`: by the table `values.NAME`, from the name of an enum's value or from a text.
    Values(u8),
    /// `time`: a time by RFC 3339.
    Time,
    /// `millis`: a time or a duration in milliseconds.
    Millis,
    /// `nanos`: a time or a duration in nanoseconds.
    Nanos,
    /// `duration`: a duration in seconds, such as `90s`.
    Duration,
    /// `base64`: bytes.
    Base64,
    /// `ip`: the address of `ADDRESS:PORT`, or of a text that is one.
    Ip,
    /// `host`: the name of `NAME:PORT`, or a whole text that is not an address.
    Host,
    /// `ip4`: as `ip`, of an IPv4 address.
    Ip4,
    /// `ip6`: as `ip`, of an IPv6 address.
    Ip6,
    /// `host_part`: the address or the name of `HOST:PORT`.
    HostPart,
    /// `whole_ip`: a text that is an IP address.
    WholeIp,
    /// `whole_host`: a text that is not an IP address.
    WholeHost,
    /// `port`: the port of `HOST:PORT`.
    Port,
    /// `port_number`: a number that is a port.
    PortNumber,
    /// `decimal`: a whole number that is written as a text.
    Decimal,
    /// `file_name`: what follows the last `/` of a path.
    FileName,
    /// `texts`: a list of texts.
    Texts,
    /// `first`: the first of a list of texts.
    First,
    /// `join`: a list of texts, with spaces between them.
    Join,
    /// `names`: a list of texts, as objects with a `name`.
    Names,
    /// `tags`: a map, as objects with `name` and `value`.
    Tags,
    /// `labels`: a map of texts whose keys are plain words.
    Labels,
    /// `json`: any value as protobuf JSON.
    Json,
    /// `json_text`: any value as a text that is protobuf JSON.
    JsonText,
    /// `id`: the stable id of the record.
    Id,
    /// `meaning`: the description of the event's code.
    Meaning,
    /// `trace_id`: a text of 32 hexadecimal digits, as 16 bytes.
    TraceId,
}

impl Conversion {
    /// The conversion with this name; `map` is followed by the name of a value table.
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "text" => Self::Text,
            "number" => Self::Number,
            "flag" => Self::Flag,
            "name" => Self::Name,
            "time" => Self::Time,
            "millis" => Self::Millis,
            "nanos" => Self::Nanos,
            "duration" => Self::Duration,
            "base64" => Self::Base64,
            "ip" => Self::Ip,
            "host" => Self::Host,
            "ip4" => Self::Ip4,
            "ip6" => Self::Ip6,
            "host_part" => Self::HostPart,
            "whole_ip" => Self::WholeIp,
            "whole_host" => Self::WholeHost,
            "port" => Self::Port,
            "port_number" => Self::PortNumber,
            "decimal" => Self::Decimal,
            "file_name" => Self::FileName,
            "texts" => Self::Texts,
            "first" => Self::First,
            "join" => Self::Join,
            "names" => Self::Names,
            "tags" => Self::Tags,
            "labels" => Self::Labels,
            "json" => Self::Json,
            "json_text" => Self::JsonText,
            "id" => Self::Id,
            "meaning" => Self::Meaning,
            "trace_id" => Self::TraceId,
            _ => return None,
        })
    }

    /// The default conversion of a kind of field.
    pub fn usual(kind: FieldKind, repeated: bool) -> Self {
        match kind {
            FieldKind::String if repeated => Self::Texts,
            _ if repeated => Self::Json,
            FieldKind::String => Self::Text,
            FieldKind::Bool => Self::Flag,
            FieldKind::Enum(_) => Self::Name,
            FieldKind::Bytes => Self::Base64,
            FieldKind::Message(wire::TIMESTAMP) => Self::Time,
            FieldKind::Message(wire::DURATION) => Self::Duration,
            FieldKind::Message(_) => Self::Json,
            FieldKind::Double | FieldKind::Float => Self::Json,
            _ => Self::Number,
        }
    }

    /// Whether its result is a part of an address.
    pub fn is_part(self) -> bool {
        let is_port = self == Self::Port;
        is_port || matches!(self, Self::Ip | Self::Ip4 | Self::Ip6 | Self::Host | Self::HostPart)
    }

    /// Whether its result determines the value.
    pub fn is_lossless(self) -> bool {
        match self {
            Self::Text
            | Self::Number
            | Self::Flag
            | Self::Name
            | Self::Time
            | Self::Duration
            | Self::Base64
            | Self::WholeIp
            | Self::WholeHost
            | Self::PortNumber
            | Self::Decimal
            | Self::Texts
            | Self::Names
            | Self::Tags
            | Self::Labels
            | Self::Json
            | Self::JsonText
            | Self::Id
            | Self::TraceId => true,
            // For times in the range of the number.
            Self::Nanos => true,
            // The plan decides for value tables, and for rows with all parts of an address.
            Self::Values(_) | Self::Ip | Self::Ip4 | Self::Ip6 | Self::Host | Self::HostPart => {
                false
            }
            Self::Millis
            | Self::Port
            | Self::FileName
            | Self::First
            | Self::Join
            | Self::Meaning => false,
        }
    }
}
