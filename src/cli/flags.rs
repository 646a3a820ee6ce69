//! Rewrites refusals of the gateway so that they name the flags of the command instead of the
//! fields of the request.

/// The fields of filters and of requests, and the flags that set them.
const FLAGS: [(&str, &str); 19] = [
    ("types", "--type"),
    ("exclude_types", "--not-type"),
    ("categories", "--category"),
    ("min_severity", "--severity"),
    ("results", "--result"),
    ("codes", "--code"),
    ("users", "--user"),
    ("session_ids", "--session"),
    ("server_ids", "--server-id"),
    ("cluster_names", "--cluster"),
    ("sources", "--source"),
    ("remote_addresses", "--address"),
    ("labels", "--label"),
    ("text", "--text"),
    ("expression", "--filter"),
    ("start_time", "--since"),
    ("end_time", "--until"),
    ("bucket", "--bucket"),
    ("fields", "--by"),
];
/// The prefix of the paths of a filter's fields.
const FILTER: &str = "filter.";

/// The sentence about `field`, with the flag instead of the field; `None` if no flag sets the
/// field.
///
/// `types[0] is "user.logni", which is not an event type` becomes `--type "user.logni" is
/// not an event type`.
pub fn sentence(field: &str, sentence: &str) -> Option<String> {
    let path = field.strip_prefix(FILTER).unwrap_or(field);
    let name = path.split(['[', '.']).next().unwrap_or_default();
    let (_, flag) = FLAGS.iter().find(|(known, _)| *known == name)?;
    let sentence = sentence.strip_prefix(FILTER).unwrap_or(sentence);
    let Some(rest) = sentence.strip_prefix(path).or_else(|| sentence.strip_prefix(name)) else {
        return Some(flags_for_names(sentence, flag));
    };
    // The rest of the path, if the sentence has only a part of it.
    let told = rest.strip_prefix(" is ").and_then(|rest| rest.split_once(", which "));
    let told = told.map(|(value, rest)| {
        if let Some(rest) = rest.strip_prefix("you may not read") {
            return format!("you may not read {value} ({flag}){rest}");
        }
        let is_verb = rest.starts_with("is ") || rest.starts_with("matches ");
        if is_verb { format!("{flag} {value} {rest}") } else { format!("{flag} {value}: {rest}") }
    });
    Some(flags_for_names(&told.unwrap_or_else(|| format!("{flag}{rest}")), flag))
}

/// A sentence about a range names the fields of both ends.
fn flags_for_names(sentence: &str, flag: &str) -> String {
    if !matches!(flag, "--since" | "--until") {
        return sentence.to_owned();
    }
    sentence.replace("start_time", "--since").replace("end_time", "--until")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_speak_of_flags() {
        for (field, said, told) in [
            (
                "filter.types[0]",
                "types[0] is \"user.logni\", which is not an event type; nearest: user.login",
                "--type \"user.logni\" is not an event type; nearest: user.login",
            ),
            (
                "filter.exclude_types[1]",
                "filter.exclude_types[1] is \"users.*\", which matches no event type",
                "--not-type \"users.*\" matches no event type",
            ),
            (
                "filter.types[0]",
                "types[0] is \"exec\", which you may not read: no role allows it",
                "you may not read \"exec\" (--type): no role allows it",
            ),
            (
                "filter.remote_addresses[0]",
                "remote_addresses[0] is \"x\", which is neither an IP address nor a CIDR block",
                "--address \"x\" is neither an IP address nor a CIDR block",
            ),
            ("filter.users[3]", "users[3] is empty", "--user is empty"),
            (
                "filter.users",
                "users has 1001 values, limit 1000",
                "--user has 1001 values, limit 1000",
            ),
            (
                "filter.expression",
                "expression names \"evnt\" at 1:1, which Record does not have",
                "--filter names \"evnt\" at 1:1, which Record does not have",
            ),
            (
                "fields[0]",
                "fields[0]: \"user.roles\" has no single value: roles is a list or a map",
                "--by: \"user.roles\" has no single value: roles is a list or a map",
            ),
            ("filter.text", "text is 2000 bytes, limit 1024", "--text is 2000 bytes, limit 1024"),
            ("start_time", "start_time 2 is after end_time 1", "--since 2 is after --until 1"),
        ] {
            assert_eq!(sentence(field, said).as_deref(), Some(told));
        }
        assert_eq!(sentence("event.user.name", "user.name is not UTF-8"), None);
        assert_eq!(sentence("page_size", "page_size is -1"), None);
    }
}
