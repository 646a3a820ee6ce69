//! Events of many kinds, and filters of many kinds, each said twice: as the
//! gateway has it, and in the plainest way.

use crate::support::{Random, pb};
use pb::event::Payload;

const USERS: [&str; 12] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory",
    "trent",
];
const CITIES: [&str; 4] = ["Oslo", "Lima", "Kyoto", "Quito"];

fn filled<T: Default>() -> T {
    T::default()
}

/// An event of which whatever filters look at varies.
pub fn some_event(random: &mut Random, id: String) -> pb::Event {
    let payload = match random.below(7) {
        0 => Payload::UserLogin(filled()),
        1 => Payload::Exec(filled()),
        2 => Payload::SessionCommand(pb::SessionCommand {
            path: Some(format!("/usr/bin/{}", random.one_of(&["vim", "curl", "Bash"]))),
            ..filled()
        }),
        3 => Payload::SessionConnect(filled()),
        4 => Payload::UserCreate(filled()),
        5 => Payload::CertGenerationMismatch(filled()),
        _ => Payload::Custom(pb::Custom { name: Some("door.open".into()), data: None }),
    };
    let code = [None, Some("T1000I"), Some("T1000W")];
    let success = [None, Some(true), Some(false)];
    pb::Event {
        id: Some(id),
        code: random.one_of(&code).map(str::to_owned),
        cluster_name: Some(format!("cluster-{}", random.below(5))),
        user: Some(pb::User {
            name: Some((*random.one_of(&USERS)).to_owned()),
            impersonator: (random.below(5) == 0).then(|| (*random.one_of(&USERS)).to_owned()),
            ..filled()
        }),
        session: Some(pb::Session { id: Some(format!("s-{}", random.below(20))), ..filled() }),
        outcome: Some(pb::Outcome { success: *random.one_of(&success), ..filled() }),
        labels: [
            ("city".to_owned(), (*random.one_of(&CITIES)).to_owned()),
            ("tier".to_owned(), random.below(3).to_string()),
        ]
        .into(),
        payload: Some(payload),
        ..filled()
    }
}

type Matches = dyn Fn(&pb::Record, &pb::Event) -> bool + Send + Sync;

/// A filter, and the same said again in the plainest way.
pub struct Wish {
    pub filter: pb::Filter,
    pub matches: Box<Matches>,
}

fn wish(
    filter: pb::Filter,
    matches: impl Fn(&pb::Record, &pb::Event) -> bool + Send + Sync + 'static,
) -> Wish {
    Wish { filter, matches: Box::new(matches) }
}

fn acts(event: &pb::Event, name: &str) -> bool {
    event.user.as_ref().is_some_and(|user| user.name() == name || user.impersonator() == name)
}

/// The wish of the subscriber with this number: nine kinds of them, each with
/// values that vary.
pub fn wish_of(number: usize) -> Wish {
    let mut random = Random(number as u64);
    let user = *random.one_of(&USERS);
    let city = *random.one_of(&CITIES);
    // What is costly to evaluate, or gets everything, is asked for by few.
    match number % 50 {
        0 => wish(pb::Filter::default(), |_, _| true),
        1 => by_expression(user),
        _ => match number % 7 {
            0 => by_types_and_user(user),
            1 => by_session(format!("s-{}", random.below(20))),
            2 => by_labels(city),
            3 => by_severity_and_user(user),
            4 => by_text(city),
            5 => by_result_and_cluster(),
            _ => by_code_and_category(),
        },
    }
}

fn by_expression(user: &'static str) -> Wish {
    let expression = format!("event.user.name == '{user}' && result == 'failure'");
    wish(pb::Filter { expression, ..filled() }, move |record, event| {
        let named = event.user.as_ref().is_some_and(|found| found.name() == user);
        named && record.result() == pb::Result::Failure
    })
}

fn by_types_and_user(user: &'static str) -> Wish {
    let types = vec!["user.*".to_owned(), "exec".to_owned()];
    wish(pb::Filter { types, users: vec![user.to_owned()], ..filled() }, move |record, event| {
        (record.r#type.starts_with("user.") || record.r#type == "exec") && acts(event, user)
    })
}

fn by_session(id: String) -> Wish {
    let filter = pb::Filter {
        exclude_types: vec!["session.*".to_owned()],
        session_ids: vec![id.clone()],
        ..filled()
    };
    wish(filter, move |record, event| {
        let in_session = event.session.as_ref().is_some_and(|session| session.id() == id);
        in_session && !record.r#type.starts_with("session.")
    })
}

fn by_labels(city: &'static str) -> Wish {
    let labels = [("city", city), ("tier", "1")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    wish(pb::Filter { labels, ..filled() }, move |_, event| {
        event.labels["city"] == city && event.labels["tier"] == "1"
    })
}

fn by_severity_and_user(user: &'static str) -> Wish {
    let filter = pb::Filter {
        min_severity: pb::Severity::Warning.into(),
        users: vec![user.to_owned()],
        ..filled()
    };
    wish(filter, move |record, event| {
        record.severity >= pb::Severity::Warning as i32 && acts(event, user)
    })
}

fn by_text(city: &'static str) -> Wish {
    let types = vec!["custom.door.open".to_owned()];
    wish(pb::Filter { types, text: city.to_uppercase(), ..filled() }, move |record, event| {
        record.r#type == "custom.door.open" && event.labels["city"] == city
    })
}

fn by_result_and_cluster() -> Wish {
    let clusters = ["cluster-0", "cluster-3"];
    let filter = pb::Filter {
        results: vec![pb::Result::Success.into()],
        cluster_names: clusters.map(str::to_owned).into(),
        ..filled()
    };
    wish(filter, move |record, event| {
        record.result() == pb::Result::Success && clusters.contains(&event.cluster_name())
    })
}

fn by_code_and_category() -> Wish {
    let filter = pb::Filter {
        codes: vec!["T1000W".to_owned()],
        categories: vec![pb::Category::User.into(), pb::Category::Session.into()],
        ..filled()
    };
    wish(filter, |record, event| {
        let family = record.r#type.split('.').next().unwrap_or_default();
        event.code() == "T1000W" && ["user", "session"].contains(&family)
    })
}
