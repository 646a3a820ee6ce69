//! The key of a count: a column or the path of a field.

use crate::cli::field_path::FieldPath;
use crate::cli::numbers::positive;
use crate::json::shape;
use crate::proto::pb;
use crate::text;

/// The most values that a gateway lists.
pub const VALUES_MAX: u64 = 1_000;

/// The names of keys.
pub const NAMES: [&str; 11] = [
    "type", "category", "severity", "result", "user", "session", "server", "cluster", "source",
    "address", "code",
];

/// What records are counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CountKey {
    /// A column of the record with few values.
    Group {
        /// Its name on the command line.
        name: String,
        /// Its number in requests.
        group: pb::GroupBy,
    },
    /// A field of the event.
    Values {
        /// Its path on the command line.
        name: String,
        /// Its path in requests.
        path: String,
    },
}

impl CountKey {
    /// The name on the command line.
    pub fn name(&self) -> &str {
        match self {
            CountKey::Group { name, .. } | CountKey::Values { name, .. } => name,
        }
    }
}

/// Reads how many values are listed.
pub fn top(text: &str) -> Result<u64, String> {
    match positive(text)? {
        top if top <= VALUES_MAX => Ok(top),
        _ => Err(format!("at most {VALUES_MAX} are listed")),
    }
}

/// Reads a key: one of [`NAMES`], or the path of a field.
pub fn parse(text: &str) -> Result<CountKey, String> {
    let name = text.to_owned();
    let group = |group| Ok(CountKey::Group { name: name.clone(), group });
    let values = |path: &str| Ok(CountKey::Values { name: name.clone(), path: path.to_owned() });
    match text {
        "type" => group(pb::GroupBy::Type),
        "category" => group(pb::GroupBy::Category),
        "severity" => group(pb::GroupBy::Severity),
        "result" => group(pb::GroupBy::Result),
        "user" => values("user.name"),
        "session" => values("session.id"),
        "server" => values("server.hostname"),
        "cluster" => values("cluster_name"),
        "source" => values("source.name"),
        "address" | "code" => values(text),
        _ => {
            let path = text.strip_prefix("event.").unwrap_or(text);
            match FieldPath::new(path, &shape("Event")) {
                Ok(_) => values(path),
                Err(error) if path.contains('.') => Err(error.to_string()),
                Err(_) => Err(unknown(text)),
            }
        }
    }
}

fn unknown(text: &str) -> String {
    let nearest = text::nearest_one(text, NAMES);
    let nearest = nearest.map(|name| format!("did you mean {name}? ")).unwrap_or_default();
    format!("{nearest}there are: {}, or the path of a field", NAMES.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_word_or_a_path() {
        for name in NAMES {
            assert_eq!(parse(name).expect(name).name(), name);
        }
        let path = |text| match parse(text).expect(text) {
            CountKey::Values { path, .. } => path,
            CountKey::Group { name, .. } => panic!("{name}"),
        };
        assert_eq!(path("user"), "user.name");
        assert_eq!(path("event.user.login"), "user.login");
        assert_eq!(path("user_login.method"), "user_login.method");
        assert_eq!(path("trace_id"), "trace_id");
        let of_record = parse("sequence").expect_err("of the record, not of the event");
        assert!(of_record.contains("there are: "), "{of_record}");
        assert_eq!((top("7"), top("1000")), (Ok(7), Ok(1_000)));
        assert_eq!(top("0"), Err("it begins at 1".to_owned()));
        assert_eq!(top("1001"), Err("at most 1000 are listed".to_owned()));
        assert!(parse("usr").expect_err("no key").starts_with("did you mean user? there are: "));
        assert!(parse("user.nam").expect_err("no field").contains("but there is \"name\""));
    }
}
