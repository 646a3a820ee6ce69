//! The cells of a line about a record: severity, who, where, and result.

use crate::catalog::TypeId;
use crate::cli::terminal::TextStyle;
use crate::proto::pb;

/// Categories of events for which the actor's address says more than the host.
const FROM_ELSEWHERE: [pb::Category; 2] = [pb::Category::Auth, pb::Category::User];

/// The severity as a word, or as a letter.
pub fn severity(severity: pb::Severity, is_word: bool) -> (&'static str, TextStyle) {
    // The first letters differ.
    let (word, letter, style) = match severity {
        pb::Severity::Unspecified => ("-", "-", TextStyle::Faint),
        pb::Severity::Info => ("info", "I", TextStyle::Faint),
        pb::Severity::Warning => ("warning", "W", TextStyle::Notable),
        pb::Severity::Error => ("error", "E", TextStyle::Bad),
        pb::Severity::Critical => ("critical", "C", TextStyle::Alarm),
    };
    (if is_word { word } else { letter }, style)
}

/// The result as a word, or as a short one.
pub fn result(result: pb::Result, is_word: bool) -> (&'static str, TextStyle) {
    let (word, short, style) = match result {
        pb::Result::Unspecified => ("-", "-", TextStyle::Faint),
        pb::Result::Success => ("success", "ok", TextStyle::Good),
        pb::Result::Failure => ("failure", "fail", TextStyle::Bad),
        pb::Result::Pending => ("pending", "wait", TextStyle::Notable),
    };
    (if is_word { word } else { short }, style)
}

/// The actor: the user, with the impersonator if any; else the bot or the service.
pub fn who(event: &pb::Event) -> String {
    let user = event.user.as_ref();
    let name = user.map(pb::User::name).filter(|name| !name.is_empty());
    let impersonator = user.map(pb::User::impersonator).filter(|name| !name.is_empty());
    let bot = user.map(pb::User::bot_name).filter(|name| !name.is_empty());
    let service = event.source.as_ref().map(pb::Source::name).filter(|name| !name.is_empty());
    match (name, impersonator) {
        (Some(name), Some(impersonator)) => format!("{impersonator} as {name}"),
        (name, impersonator) => name.or(impersonator).or(bot).or(service).unwrap_or("-").to_owned(),
    }
}

/// Where it happened: the name of the host, the actor's address, the id of the host, or the
/// cluster, whichever is first present. For some categories the address comes first.
pub fn place<'a>(type_name: &str, event: &'a pb::Event) -> &'a str {
    let category = TypeId::of(type_name).get().category;
    let from_elsewhere = FROM_ELSEWHERE.iter().any(|listed| *listed as i32 == category);
    let server = event.server.as_ref();
    let connection = event.connection.as_ref();
    let mut candidates = [
        server.map(pb::Server::hostname),
        connection.map(|connection| without_port(connection.remote_address())),
        server.map(pb::Server::id),
        Some(event.cluster_name()),
    ];
    if from_elsewhere {
        candidates.swap(0, 1);
    }
    candidates.into_iter().flatten().find(|text| !text.is_empty()).unwrap_or("-")
}

/// `10.1.2.3` of `10.1.2.3:4711`, `fd00::1` of `[fd00::1]:4711`.
pub fn without_port(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
                Some(inner) => inner,
                // An IPv6 address without a port has several colons.
                None if host.contains(':') => address,
                None => host,
            }
        }
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_and_where_have_second_choices() {
        fn place(event: &pb::Event) -> &str {
            super::place("exec", event)
        }
        let mut event = pb::Event::default();
        assert_eq!((who(&event).as_str(), place(&event)), ("-", "-"));
        event.source = Some(pb::Source { name: Some("billing".into()), ..Default::default() });
        event.cluster_name = Some("main".into());
        assert_eq!((who(&event).as_str(), place(&event)), ("billing", "main"));
        event.user = Some(pb::User {
            name: Some("alice".into()),
            impersonator: Some("carol".into()),
            ..Default::default()
        });
        event.server = Some(pb::Server { hostname: Some("db1".into()), ..Default::default() });
        assert_eq!((who(&event).as_str(), place(&event)), ("carol as alice", "db1"));
        let remote_address = Some("10.1.2.3:4711".into());
        event.connection = Some(pb::Connection { remote_address, ..Default::default() });
        assert_eq!(place(&event), "db1");
        for type_name in ["user.login", "auth"] {
            assert_eq!(super::place(type_name, &event), "10.1.2.3", "{type_name}");
        }
        assert_eq!(without_port("[fd00::1]:22"), "fd00::1");
        assert_eq!(without_port("fd00::1"), "fd00::1");
        assert_eq!(without_port("host"), "host");
    }
}
