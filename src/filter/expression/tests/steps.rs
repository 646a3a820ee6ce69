//! What evaluation costs.

use super::*;

/// A record as an earlier version may have kept it: its event is not checked.
fn kept(event: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    crate::wire::put_bytes_field(&mut record, 15, event);
    record
}

/// An event with so many parts in these fields, from the outermost in.
fn parts(count: usize, numbers: &[u32], innermost: &[u8]) -> Vec<u8> {
    let (number, rest) = numbers.split_first().expect("a field");
    let part = if rest.is_empty() { innermost.to_vec() } else { parts(1, rest, innermost) };
    let mut out = Vec::new();
    (0..count).for_each(|_| crate::wire::put_bytes_field(&mut out, *number, &part));
    out
}

/// Measured by steps, and by time only so far as quadratic work is told: 250,000 parts
/// copied once for each of them are 500 GB.
#[test]
fn many_parts_of_a_message_are_merged_in_linear_time() {
    const TIME_MAX: Duration = Duration::from_secs(20);
    const USER: u32 = 6;
    const CUSTOM: u32 = 100;
    const UNKNOWN: [u8; 3] = [0xf8, 0x06, 1];
    let name = |out: &mut Vec<u8>| {
        let user = pb::User { name: Some("alice".into()), ..Default::default() };
        crate::wire::put_bytes_field(out, USER, &user.encode_to_vec());
    };
    let mut empty = parts(500_000, &[USER], &[]);
    name(&mut empty);
    let mut filled = parts(200_000, &[USER], &UNKNOWN);
    name(&mut filled);
    let data = parts(150_000, &[CUSTOM, 2], &UNKNOWN);
    let values =
        parts(1, &[CUSTOM, 2, 1], &[&[0x0a, 1, b'k'][..], &[0x12, 0].repeat(400_000)].concat());
    for (what, event, source, expected) in [
        ("empty", &empty, "event.user.name == 'alice'", YES),
        ("filled", &filled, "event.user.name == 'alice'", YES),
        ("twice", &filled, "event.user.name == 'alice' && event.user.login == ''", FAILS),
        ("nested", &data, "has(event.custom.data.x)", NO),
        ("values", &values, "event.custom.data.k == null", YES),
        ("all", &filled, "[1, 2, 3].all(n, event.user.name == string(n)) || true", FAILS),
    ] {
        let record = kept(event);
        let started = Instant::now();
        let (outcome, steps) = compile(source).expect(source).matches(&Record::read(&record));
        assert!(started.elapsed() < TIME_MAX, "{what}: {:?}", started.elapsed());
        assert!(steps <= STEPS_MAX, "{what}: {steps}");
        let expected = if what == "all" { outcome } else { expected };
        assert_eq!(outcome, expected, "{what}: {steps} steps");
    }
}

/// What each of these passes would take many times as long without being counted.
#[test]
fn bytes_that_are_looked_at_are_counted() {
    const LONG: usize = 1_000_000;
    let steps = |source: &str, event: &pb::Event| {
        let record = kept(&event.encode_to_vec());
        compile(source).expect(source).matches(&Record::read(&record))
    };
    let text = |text: String| pb::Event {
        code: Some(text),
        labels: [("k".repeat(LONG / 2), "v".into())].into(),
        ..Default::default()
    };
    let ascii = text("1".repeat(LONG));
    let other = text("é".repeat(LONG / 2));
    for (source, event, least) in [
        ("event.code == 'x'", &ascii, LONG / 400),
        ("event.code == 'x'", &other, LONG / 50),
        ("event.code.contains('x')", &ascii, LONG / 50),
        ("event.code.lowerAscii() == 'x'", &ascii, LONG / 100),
        ("event.code.matches('x$')", &ascii, LONG / 12),
        ("event.code + 'x' == ''", &ascii, LONG / 100),
        ("event.code < event.code", &ascii, LONG / 400),
        ("size(event.labels) == 0", &ascii, LONG / 40),
        // Copies of what the expression made.
        ("[event.code + 'x'].all(a, a != '' && a != '1' && a != '2')", &ascii, LONG / 20),
    ] {
        let (_, steps) = steps(source, event);
        assert!(steps >= least as u64, "{source}: {steps}, expected {least}");
    }
    for source in [
        "int(event.code) == 1",
        "double(event.code) == 1.0",
        "duration(event.code) == duration('1s')",
    ] {
        assert_eq!(steps(source, &ascii).0, FAILS, "{source}");
    }
    // Entries of a map whose keys are hard to tell.
    let labels = (0..20_000).map(|n| (format!("{}{n}", "k".repeat(20)), String::new())).collect();
    let many = pb::Event { labels, ..Default::default() };
    let (outcome, steps) = steps("event.labels.all(k, event.labels[k] == '')", &many);
    assert_eq!((outcome, steps), (FAILS, STEPS_MAX));
}
