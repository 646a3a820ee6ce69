//! A record as one line for people, fitted to the width of their terminal: when,
//! how bad, what type, who, where, how it came out, and what matters for that
//! type.

use jiff::tz::TimeZone;

use super::summary::summary;
use crate::catalog::TypeId;
use crate::cli::terminal::{self, Color, TextStyle};
use crate::cli::{escape, times};
use crate::proto::pb;

/// The width for which lines are laid out where nothing bounds them, in columns.
const WIDTH_UNBOUNDED: usize = 200;
/// From this width on a line has room for words instead of letters, in columns.
const WIDTH_WORDS: usize = 100;
/// From this width on a time has its year and its milliseconds, in columns.
const WIDTH_WHOLE_TIME: usize = 120;
/// Longest of the names that the catalog has, in columns.
const TYPE_COLUMNS_MAX: usize = 32;

/// Categories of what somebody does who comes from elsewhere: where from tells more
/// than which host it was.
const FROM_ELSEWHERE: [pb::Category; 2] = [pb::Category::Auth, pb::Category::User];

/// Longest IPv4 address, in columns.
const ADDRESS_COLUMNS: usize = 15;

/// Writes lines for people.
pub struct PrettyPrinter {
    zone: TimeZone,
    color: Color,
    layout: LineLayout,
}

/// How many columns each part of a line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LineLayout {
    time_pattern: &'static str,
    time: usize,
    severity: usize,
    type_name: usize,
    who: usize,
    place: usize,
    result: usize,
    /// Without a bound where lines are not cut.
    rest: Option<usize>,
}

impl LineLayout {
    fn new(width: Option<usize>) -> Self {
        let columns = width.unwrap_or(WIDTH_UNBOUNDED);
        let (time_pattern, time) =
            if columns >= WIDTH_WHOLE_TIME { ("%F %T%.3f", 23) } else { ("%m-%d %T", 14) };
        let (severity, result) = if columns >= WIDTH_WORDS { (8, 7) } else { (1, 4) };
        /// One between each two of the seven parts.
        const SPACES: usize = 6;
        let flexible = columns.saturating_sub(time + severity + result + SPACES);
        let type_name = (flexible * 31 / 100).clamp(8, TYPE_COLUMNS_MAX);
        let who = (flexible * 16 / 100).clamp(6, 20);
        let place = (flexible * 22 / 100).clamp(ADDRESS_COLUMNS, 24);
        let rest = flexible.saturating_sub(type_name + who + place);
        let rest = width.map(|_| rest);
        Self { time_pattern, time, severity, type_name, who, place, result, rest }
    }

    /// The same line with more columns for what would be cut, as far as others have too
    /// many: who and where take what is left over, a type takes from the rest, too, since
    /// only a whole one can be copied.
    fn fitted(self, type_name: usize, who: usize, place: usize, rest: usize) -> Self {
        let Some(columns) = self.rest else {
            let (type_name, who) = (self.type_name.max(type_name), self.who.max(who));
            return Self { type_name, who, place: self.place.max(place), ..self };
        };
        let mut fitted = self;
        let mut columns = columns;
        let mut wanted = type_name.saturating_sub(self.type_name);
        fitted.type_name += take(&mut fitted.who, who, &mut wanted)
            + take(&mut fitted.place, place, &mut wanted)
            + take(&mut columns, 0, &mut wanted);
        let mut wanted = who.saturating_sub(fitted.who);
        fitted.who +=
            take(&mut fitted.place, place, &mut wanted) + take(&mut columns, rest, &mut wanted);
        let mut wanted = place.saturating_sub(fitted.place);
        fitted.place += take(&mut columns, rest, &mut wanted);
        fitted.rest = Some(columns);
        fitted
    }
}

/// Takes from `columns` up to `wanted`, but leaves what is needed; returns how many.
fn take(columns: &mut usize, needed: usize, wanted: &mut usize) -> usize {
    let taken = columns.saturating_sub(needed).min(*wanted);
    *columns -= taken;
    *wanted -= taken;
    taken
}

impl PrettyPrinter {
    /// Lines of at most `width` columns, or of any length.
    pub fn new(width: Option<usize>, zone: TimeZone, color: Color) -> Self {
        Self { zone, color, layout: LineLayout::new(width) }
    }

    /// The line of a record, without its end.
    pub fn line(&self, record: &pb::Record) -> String {
        let nothing = pb::Event::default();
        let event = record.event.as_ref().unwrap_or(&nothing);
        let type_name = escape::escaped(&record.r#type);
        let (who, rest) = (who(event), summary(record, event));
        let (who, rest) = (escape::escaped(&who), escape::escaped(&rest));
        let place = escape::escaped(place(&record.r#type, event));
        let [a, b, c, d] = [&type_name, &who, &place, &rest].map(|text| terminal::columns(text));
        let layout = self.layout.fitted(a, b, c, d);
        let time = event.time.or(record.accept_time).unwrap_or_default();
        let time = times::format(&time, &self.zone, layout.time_pattern);
        let (severity, severity_style) = severity(record.severity(), layout.severity);
        let (result, result_style) = result(record.result(), layout.result);
        let type_name = terminal::fitted_in_the_middle(&type_name, layout.type_name);
        let parts = [
            (TextStyle::Faint, terminal::fitted(&time, layout.time)),
            (severity_style, terminal::fitted(severity, layout.severity)),
            (TextStyle::Bold, type_name),
            (TextStyle::Plain, terminal::fitted(&who, layout.who)),
            (TextStyle::Plain, terminal::fitted(&place, layout.place)),
            (result_style, terminal::fitted(result, layout.result)),
        ];
        let mut line = String::new();
        for (style, part) in parts {
            line.push_str(&self.color.paint(style, &part));
            line.push(' ');
        }
        match layout.rest {
            Some(width) => line.push_str(&terminal::cut(&rest, width)),
            None => line.push_str(&rest),
        }
        line.truncate(line.trim_end().len());
        line
    }
}

fn severity(severity: pb::Severity, width: usize) -> (&'static str, TextStyle) {
    let (word, style) = match severity {
        pb::Severity::Unspecified => ("-", TextStyle::Faint),
        pb::Severity::Info => ("info", TextStyle::Faint),
        pb::Severity::Warning => ("warning", TextStyle::Notable),
        pb::Severity::Error => ("error", TextStyle::Bad),
        pb::Severity::Critical => ("critical", TextStyle::Alarm),
    };
    // The first letters differ.
    let letter = match severity {
        pb::Severity::Unspecified => "-",
        pb::Severity::Info => "I",
        pb::Severity::Warning => "W",
        pb::Severity::Error => "E",
        pb::Severity::Critical => "C",
    };
    (if width > 1 { word } else { letter }, style)
}

fn result(result: pb::Result, width: usize) -> (&'static str, TextStyle) {
    let (word, short, style) = match result {
        pb::Result::Unspecified => ("-", "-", TextStyle::Faint),
        pb::Result::Success => ("success", "ok", TextStyle::Good),
        pb::Result::Failure => ("failure", "fail", TextStyle::Bad),
        pb::Result::Pending => ("pending", "wait", TextStyle::Notable),
    };
    (if width >= word.len() { word } else { short }, style)
}

/// Who did it: the user, and who acts as that user; else the bot or the service.
fn who(event: &pb::Event) -> String {
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

/// Where it happened: the host by its name; else where the actor came from, which goes
/// first where that matters more; else the host by its id; else the cluster.
fn place<'a>(type_name: &str, event: &'a pb::Event) -> &'a str {
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
fn without_port(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
                Some(inner) => inner,
                // An address of version 6 by itself is full of colons.
                None if host.contains(':') => address,
                None => host,
            }
        }
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use crate::proto::pb::event::Payload;

    use super::*;

    fn record() -> pb::Record {
        let event = pb::Event {
            time: Some(Timestamp { seconds: 1_700_000_000, nanos: 123_000_000 }),
            user: Some(pb::User { name: Some("alice".into()), ..Default::default() }),
            connection: Some(pb::Connection {
                remote_address: Some("10.1.2.3:4711".into()),
                ..Default::default()
            }),
            payload: Some(Payload::UserLogin(pb::UserLogin {
                method: Some("local".into()),
                ..Default::default()
            })),
            ..Default::default()
        };
        pb::Record {
            sequence: 1,
            r#type: "user.login".into(),
            severity: pb::Severity::Warning.into(),
            result: pb::Result::Failure.into(),
            event: Some(event),
            ..Default::default()
        }
    }

    fn line(width: Option<usize>, record: &pb::Record) -> String {
        PrettyPrinter::new(width, TimeZone::UTC, Color(false)).line(record)
    }

    #[test]
    fn a_line_is_fitted_to_its_width() {
        assert_eq!(
            line(Some(80), &record()),
            "11-14 22:13:20 W user.login        alice    10.1.2.3        fail local"
        );
        assert_eq!(
            line(Some(200), &record()),
            "2023-11-14 22:13:20.123 warning  user.login                       alice                \
             10.1.2.3                 failure local"
        );
        for width in 40..300 {
            let mut long = record();
            long.r#type = "custom.".to_owned() + &"x".repeat(100);
            if let Some(event) = &mut long.event {
                event.user = Some(pb::User { name: Some("李".repeat(100)), ..Default::default() });
                event.payload = Some(Payload::UserLogin(pb::UserLogin {
                    method: Some("y".repeat(500)),
                    ..Default::default()
                }));
            }
            let columns = terminal::columns(&line(Some(width), &long));
            assert!(columns <= width.max(60), "{columns} of {width}");
        }
        assert!(line(None, &record()).ends_with("failure local"));
    }

    #[test]
    fn what_is_left_over_goes_to_what_would_be_cut() {
        let mut record = record();
        record.r#type = "windows.desktop.session.start".into();
        assert_eq!(
            line(Some(80), &record),
            "11-14 22:13:20 W windows.desktop.session.start alice 10.1.2.3 fail"
        );
        record.r#type = "auth".into();
        let event = record.event.get_or_insert_default();
        let name = Some("ci-runner-eu-west-1".into());
        event.user = Some(pb::User { name, ..Default::default() });
        event.connection = Some(pb::Connection {
            remote_address: Some("[2001:db8:1111:2222::3:17]:443".into()),
            ..Default::default()
        });
        assert_eq!(
            line(Some(100), &record),
            "11-14 22:13:20 warning  auth                 ci-runner-eu-west-1 \
             2001:db8:1111:2222::3:17 failure"
        );
        // Where the lines have no bound, nothing is cut.
        record.r#type = format!("custom.{}", "x".repeat(90));
        assert!(line(None, &record).contains(&record.r#type));
    }

    #[test]
    fn a_hostile_event_stays_within_its_line() {
        let hostile = "\u{1b}[2J\u{9b}31m\u{202e}\u{2066}\u{200b}\r\nroot";
        let mut record = record();
        record.r#type = format!("custom.{hostile}");
        let event = record.event.get_or_insert_default();
        event.user = Some(pb::User { name: Some(hostile.into()), ..Default::default() });
        event.server = Some(pb::Server { hostname: Some(hostile.into()), ..Default::default() });
        event.outcome = Some(pb::Outcome { error: Some(hostile.into()), ..Default::default() });
        event.payload = Some(Payload::UserLogin(pb::UserLogin {
            method: Some(hostile.into()),
            ..Default::default()
        }));
        for width in [Some(80), Some(200), None] {
            let line = line(width, &record);
            assert_eq!(crate::printable::first_hidden(&line), None, "{line:?}");
        }
        let colored = PrettyPrinter::new(None, TimeZone::UTC, Color(true)).line(&record);
        let sequences = colored.matches('\u{1b}').count();
        assert_eq!(sequences, 2 * 4, "our own: time, severity, type and result");
    }

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
        event.connection = record().event.and_then(|event| event.connection);
        assert_eq!(place(&event), "db1");
        for type_name in ["user.login", "auth"] {
            assert_eq!(super::place(type_name, &event), "10.1.2.3", "{type_name}");
        }
        assert_eq!(without_port("[fd00::1]:22"), "fd00::1");
        assert_eq!(without_port("fd00::1"), "fd00::1");
        assert_eq!(without_port("host"), "host");
    }
}
