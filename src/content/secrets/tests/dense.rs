//! Texts that announce secrets everywhere: how much work they make.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::super::{
    HINTS, MARKER, MORE_HINTS, MaskBudget, SecretScan, forms, keywords, names, programs,
};
use super::mask;

/// Between words, and what is read in a way of its own.
const SIGNS: [&str; 84] = [
    " ",
    "\n",
    "\t",
    "'",
    "\"",
    "\\",
    "`",
    "$",
    "$(",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "&",
    ";",
    "|",
    ",",
    ".",
    ":",
    "::",
    "=",
    "=>",
    "->",
    "-",
    "--",
    "-- ",
    "/",
    "//",
    "/*",
    "*/",
    "# ",
    "?",
    "@",
    "%",
    "<",
    ">",
    "<<<",
    "<<",
    "!!",
    "~",
    "+",
    "1",
    "a",
    "_",
    "é",
    "\u{a0}",
    "\u{2003}",
    "—",
    "“",
    "”",
    "«",
    "'\\''",
    "'\"'\"'",
    "$$",
    "$a$",
    "\\$\\$",
    "q'[",
    "q'<",
    "]'",
    "N'",
    "_utf8'",
    "\\u0027",
    "&quot;",
    "[redacted]",
    "''",
    "\\\\",
    "\\n",
    "\\\"",
    "://",
    "pass=",
    "password",
    "-u ",
    "-p",
    "a:b",
    "identified by ",
    "case ",
    "a1b2c3d4",
    "..",
    "0",
    "select ",
    "|sudo -S ",
    "x",
];

/// Every word that is known, as what it is.
fn words() -> Vec<String> {
    let programs = programs::all().iter().flat_map(|(names, program)| {
        let lists = [program.attached, program.separate, program.pair, program.words, names];
        lists.into_iter().flatten().copied()
    });
    let keywords = keywords::ALL.iter().flat_map(|(_, words)| words.iter().copied());
    let hints = HINTS.iter().chain(&MORE_HINTS).chain(&SIGNS).copied();
    let mut words: Vec<String> =
        hints.chain(programs).chain(keywords).map(ToOwned::to_owned).collect();
    let tokens = forms::TOKENS.iter().map(|(prefix, _)| *prefix);
    let names = names::SECRET_ENDS.iter().chain(&names::SECRET_WORDS).copied();
    words.extend(tokens.chain(names).map(|word| String::from_utf8_lossy(word).into_owned()));
    words.retain(|word| !word.is_empty());
    words.sort();
    words.dedup();
    words
}

/// Processor time of one look through the text. Panics where more is read ahead than the budget has.
fn time_of(text: &str) -> Duration {
    let now = || -> Duration { clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a time") };
    let budget = MaskBudget::new(text.len(), None);
    let started = now();
    let _ = SecretScan::new(text, &budget).run();
    let took = now() - started;
    let begin = &text[..text.floor_char_boundary(60)];
    assert!(!budget.is_read_up(), "what was read is read again and again: {begin:?}...");
    took
}

/// At most so many times as much as for words of two letters, of which nothing is known.
#[track_caller]
fn takes_little_time(unit: &str) {
    const BYTES: usize = 4 * 1024;
    const FACTOR_MAX: u32 = 8;
    let text = |unit: &str| format!("token {}", unit.repeat(BYTES / unit.len()));
    let (text, plain) = (text(unit), text("ab "));
    // The machine may be busy, and a thread be stopped where it counts.
    let is_fast = || time_of(&text) <= time_of(&plain) * FACTOR_MAX;
    let took = || format!("{unit:?}: {:?}, plain words {:?}", time_of(&text), time_of(&plain));
    assert!((0..8).any(|_| is_fast()), "{}", took());
}

#[test]
fn each_known_word_again_and_again_takes_little_time() {
    for word in words() {
        takes_little_time(&word);
        takes_little_time(&format!("{word} "));
    }
}

#[test]
fn known_words_and_signs_in_any_order_take_little_time() {
    const UNITS: usize = 2_000;
    let words = words();
    let mut random = fastrand::Rng::with_seed(20_261_201);
    for _ in 0..UNITS {
        let parts = random.usize(2..5);
        let unit: String = (0..parts)
            .map(|_| match random.bool() {
                true => words[random.usize(..words.len())].as_str(),
                false => SIGNS[random.usize(..SIGNS.len())],
            })
            .collect();
        takes_little_time(&unit);
    }
}

/// A word behind a quoted value was read to its end, of which nothing is part of the value: 64 KiB took 0.2 s.
#[test]
fn what_is_no_part_of_a_value_is_not_read_to_its_end() {
    for unit in ["\\$\\$}+pass=", "&quot;]change_password", "\\u0027,passwordnew", "'x',pass="] {
        takes_little_time(unit);
    }
}

#[test]
fn what_is_read_ahead_is_bounded() {
    let budget = MaskBudget::new(1_000, None);
    // Each time to its end.
    let reads = (0..1_000).take_while(|_| !budget.is_spent()).map(|_| budget.read(1_000)).count();
    assert!((8..=8 + 66).contains(&reads), "{reads}");
}

/// Texts of programs and people that are large and hold no more secrets than others.
fn ordinary() -> Vec<(&'static str, String)> {
    const BYTES: usize = 32 * 1024;
    let mut random = fastrand::Rng::with_seed(7);
    let mut texts = Vec::new();
    let mut add = |name, line: &mut dyn FnMut(&mut fastrand::Rng) -> String| {
        let mut text = String::from("{\"token\":\"abc\"}\n");
        while text.len() < BYTES {
            text.push_str(&line(&mut random));
        }
        texts.push((name, text));
    };
    add("digits", &mut |random| format!("{},", random.u32(..10)));
    add("numbers", &mut |random| format!("[{}, {:.3}],", random.u32(..9_999), random.f64()));
    add("minified JSON", &mut |random| {
        format!("\"a\":{},\"b\":\"{}\",", random.u8(..), random.u8(..10))
    });
    add("escaped JSON", &mut |random| {
        format!("{{\\\"id\\\":{},\\\"n\\\":\\\"x\\\"}},", random.u8(..))
    });
    add("JSON with secrets", &mut |random| {
        format!("{{\"id\":{},\"password\":\"p{}\",\"n\":\"x\"}},", random.u8(..), random.u32(..))
    });
    add("SQL dump", &mut |random| {
        format!("INSERT INTO t (id, pw) VALUES ({}, 'x{}');\n", random.u8(..), random.u8(..))
    });
    add("log", &mut |random| {
        format!(
            "08:0{} INFO http: GET /v1/users?page={} 200 {}ms\n",
            random.u8(..6),
            random.u8(..),
            random.u8(..)
        )
    });
    add("base64", &mut |random| {
        let letters =
            std::iter::repeat_with(|| random.choice("ABCZabcz0129+/".bytes()).map(char::from));
        letters.take(76).flatten().chain(['\n']).collect()
    });
    add("hexdump", &mut |random| format!("{:02x} \\x{:02x} ", random.u8(..), random.u8(..)));
    add("paths", &mut |random| format!("/a/b/{} ", random.u8(..10)));
    add("URLs", &mut |random| format!("https://h{}.example.com/a?x=1&y=2\n", random.u8(..10)));
    add("flags", &mut |random| format!("-a {} --b={} -c ", random.u8(..10), random.u8(..10)));
    add("XML", &mut |random| format!("<a i=\"{}\"><b>{}</b></a>", random.u8(..10), random.u8(..)));
    add("YAML", &mut |random| {
        format!("- a: {}\n  password: p{}\n", random.u8(..10), random.u8(..))
    });
    add("short words", &mut |_| "is it a or an in on to by as ".to_owned());
    add("other scripts", &mut |_| "и он большой これはテキストです".to_owned());
    texts
}

#[test]
fn ordinary_texts_are_never_masked_to_their_end() {
    for (name, text) in ordinary() {
        let masked = mask(&text).unwrap_or_else(|| text.clone());
        assert!(!masked.ends_with(MARKER), "{name}");
        let free = &MaskBudget::new(text.len() * 100, None);
        assert_eq!(masked, super::super::mask(&text, free).unwrap_or(text), "{name}");
    }
}

/// Rulers, tables and drawings are made of them.
#[test]
fn signs_by_ones_and_twos_are_never_masked_to_their_end() {
    let signs = || (b' '..=b'~').chain([b'\n', b'\t', b'\r']).map(char::from);
    for first in signs() {
        for second in signs() {
            let text = format!("a token x\n{}", format!("{first}{second}").repeat(500));
            // Without what each event may have.
            let budget = &MaskBudget::new(text.len() - 6_000 / 16, None);
            let _ = super::super::mask(&text, budget);
            assert!(!budget.is_spent(), "{first:?} {second:?}");
        }
    }
}

/// What is denser than anything that is written: the rest is masked, so that no more work is made.
#[test]
fn the_work_of_any_text_is_bounded() {
    for (begin, unit) in [
        ("insert into t (pass) values (", "\\p"),
        ("mysql ", "//N'"),
        ("sqlplus ", "a/b@c "),
        ("sqlplus ", "a/p:"),
        ("token ", "mc set x y "),
    ] {
        let text = format!("{begin}{}", unit.repeat(64 * 1024 / unit.len()));
        let budget = &MaskBudget::new(text.len(), None);
        let masked = super::super::mask(&text, budget).unwrap_or_default();
        let free = &MaskBudget::new(text.len() * 100, None);
        let _ = super::super::mask(&text, free);
        assert!(budget.worked() <= 6_000 + 16 * text.len());
        let needed = free.worked() / text.len();
        assert!(needed > 16 && masked.ends_with(MARKER), "{unit:?}: {needed}");
    }
    let text = format!("a token x\n{}", "a/b 'c' ".repeat(2_000));
    assert_eq!(mask(&text), None);
    let budget = &MaskBudget::new(0, None);
    assert!(super::super::mask(&text, budget).is_some_and(|masked| masked.len() < text.len() / 2));
    assert!(budget.is_spent());
}

/// Places that announce nothing are passed with fewer looks. What is found is the same.
#[test]
fn what_is_passed_is_what_steps_would_pass() {
    const TEXTS: usize = 20_000;
    let words = words();
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..TEXTS {
        let parts = random.usize(1..14);
        let text: String = (0..parts)
            .map(|_| match random.u8(..3) {
                0 => words[random.usize(..words.len())].as_str(),
                1 => SIGNS[random.usize(..SIGNS.len())],
                _ => " ",
            })
            .collect();
        let budget = &MaskBudget::new(64 * 1024, None);
        let passed = SecretScan::new(&text, budget).run();
        let mut stepped = SecretScan::new(&text, budget);
        stepped.closely = true;
        assert_eq!(passed, stepped.run(), "{text:?}");
    }
}
