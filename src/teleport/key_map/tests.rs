//! The keys of the types, one by one where they are easy to get wrong.

use std::collections::BTreeSet;

use super::*;

fn plan(name: &str) -> &'static KeyPlan {
    KeyPlan::of(catalog::by_name(name).expect(name))
}

fn path_of(name: &str, key: &str) -> String {
    plan(name).entry(key).expect(key).path_name()
}

#[test]
fn renamed_fields_exist() {
    let fields: BTreeSet<(String, String)> = descriptor_pool()
        .all_messages()
        .filter(|message| message.package_name() == "auditgate.v1")
        .flat_map(|message| message.fields().collect::<Vec<_>>())
        .map(|field| (field.parent_message().name().to_owned(), field.name().to_owned()))
        .collect();
    for (message, field, key) in RENAMED {
        assert!(fields.contains(&((*message).into(), (*field).into())), "{message}.{field}");
        assert_ne!(field, key, "{message}.{field} needs no row");
    }
}

#[test]
fn envelope_and_payload_share_the_line() {
    assert_eq!(path_of("user.login", "user"), "user.name");
    assert_eq!(path_of("user.login", "addr.remote"), "connection.remote_address");
    assert_eq!(path_of("user.login", "mfa_device"), "user_login.mfa_device");
    assert_eq!(path_of("mfa.add", "mfa_device_uuid"), "mfa_add.mfa_device.id");
    assert_eq!(path_of("exec", "exitCode"), "exec.command.exit_code");
    assert_eq!(path_of("session.network", "version"), "session_network.tcp_version");
    assert_eq!(path_of("user.login", "auditgate.source"), "source");
}

#[test]
fn the_key_of_a_payload_wins() {
    for (name, key, payload, own, envelope) in [
        (
            "session.recording.access",
            "sid",
            "session_recording_access.session_id",
            "auditgate.session.id",
            "session.id",
        ),
        ("subsystem", "name", "subsystem.name", "auditgate.resource.name", "resource.name"),
        (
            "desktop.recording",
            "message",
            "desktop_recording.message",
            "auditgate.outcome.message",
            "outcome.message",
        ),
        (
            "access_request.search",
            "namespace",
            "access_request_search.namespace",
            "auditgate.server.namespace",
            "server.namespace",
        ),
    ] {
        assert_eq!(path_of(name, key), payload);
        assert_eq!(path_of(name, own), envelope);
    }
}

#[test]
fn each_field_has_a_key_of_its_own() {
    for (type_id, event_type) in catalog::all() {
        let plan = KeyPlan::of(type_id);
        assert_eq!(plan.by_key.len(), plan.entries.len(), "{}", event_type.name);
        for entry in &plan.entries {
            assert_ne!(entry.key, TYPE, "{}", event_type.name);
            let is_payloads = entry.path.first().is_some_and(|f| f.number() >= 100);
            assert!(
                !is_payloads || entry.is_group || entry.is_teleports(),
                "{} has no key of its own in {}",
                entry.path_name(),
                event_type.name
            );
        }
    }
}
