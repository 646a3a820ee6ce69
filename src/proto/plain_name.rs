//! The names that people have for the values of enums: `info` for `SEVERITY_INFO`.

use super::pb;

/// An enum whose values have such names.
pub trait PlainName: TryFrom<i32> + Into<i32> + Copy {
    /// The prefix of its names in the protocol.
    const PREFIX: &'static str;

    /// The name in the protocol.
    fn proto_name(self) -> &'static str;

    /// The value of a name in the protocol.
    fn from_proto_name(name: &str) -> Option<Self>;

    /// The name without the prefix, in lower case.
    fn plain_name(self) -> String {
        let name = self.proto_name();
        name.strip_prefix(Self::PREFIX).unwrap_or(name).to_ascii_lowercase()
    }

    /// The value of a plain name, in any case, with dashes or underscores; `None` also for the
    /// unspecified value.
    fn from_plain_name(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase().replace('-', "_");
        let value = Self::from_proto_name(&format!("{}{upper}", Self::PREFIX));
        value.filter(|value| (*value).into() != 0)
    }

    /// The plain names of all values except the unspecified one, by number.
    fn plain_names() -> Vec<String> {
        (1..).map_while(|number| Self::try_from(number).ok()).map(Self::plain_name).collect()
    }
}

macro_rules! plain_name {
    ($of:ty, $prefix:literal) => {
        impl PlainName for $of {
            const PREFIX: &'static str = $prefix;

            fn proto_name(self) -> &'static str {
                self.as_str_name()
            }

            fn from_proto_name(name: &str) -> Option<Self> {
                Self::from_str_name(name)
            }
        }
    };
}

plain_name!(pb::Category, "CATEGORY_");
plain_name!(pb::Severity, "SEVERITY_");
plain_name!(pb::Result, "RESULT_");
plain_name!(pb::DeliveryState, "DELIVERY_STATE_");
plain_name!(pb::GapReason, "GAP_REASON_");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_values_and_back() {
        assert_eq!(pb::Severity::plain_names(), ["info", "warning", "error", "critical"]);
        assert_eq!(pb::Result::plain_names(), ["success", "failure", "pending"]);
        for name in pb::Category::plain_names() {
            let value = pb::Category::from_plain_name(&name).expect("a value");
            assert_eq!(value.plain_name(), name);
        }
        let category = pb::Category::from_plain_name("Access-Request");
        assert_eq!(category, Some(pb::Category::AccessRequest));
        for name in ["", "unspecified", "SEVERITY_INFO", "high"] {
            assert_eq!(pb::Severity::from_plain_name(name), None, "{name}");
        }
    }
}
