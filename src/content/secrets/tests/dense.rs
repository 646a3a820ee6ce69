//! Texts that announce secrets everywhere: how much work they make.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::super::{HINTS, MORE_HINTS, MaskBudget, SecretScan, forms, keywords, names, programs};

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
