//! Reads the properties of the terminal (width, colours, time zone), and fits text to them.

use clap::ValueEnum;
use jiff::tz::TimeZone;
use unicode_width::UnicodeWidthChar as _;

/// Whether to use colours.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(skip)]
pub struct Args {
    /// When to use colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
}

/// How a page for people is drawn.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(skip)]
pub struct PageArgs {
    #[command(flatten)]
    color: Args,
    /// Show times in UTC instead of the local time zone
    #[arg(long)]
    utc: bool,
}

impl PageArgs {
    /// The time zone in which times are shown.
    pub fn zone(self) -> TimeZone {
        zone(self.utc)
    }

    /// Whether to use colours, on a `terminal` or not.
    pub fn color(self, terminal: bool) -> Color {
        self.color.resolve(terminal)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ColorChoice {
    Auto,
    Always,
    Never,
}

/// The most columns that a character takes.
const WIDEST: usize = 2;

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub bool);

/// The style of a text. Each is readable on a dark and on a light background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextStyle {
    /// Normal text.
    Plain,
    /// Less important.
    Faint,
    /// More important.
    Bold,
    /// The item that was asked for, among others.
    Marked,
    /// Good.
    Good,
    /// A warning.
    Notable,
    /// An error.
    Bad,
    /// An alarm.
    Alarm,
}

impl Args {
    /// Whether to use colours on a standard output that is a terminal, or not.
    pub fn resolve(self, terminal: bool) -> Color {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Color(match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !set("NO_COLOR") && !dumb(),
        })
    }
}

impl Color {
    /// The text in this style.
    pub fn paint(self, style: TextStyle, text: &str) -> String {
        let code = match style {
            TextStyle::Plain => return text.to_owned(),
            TextStyle::Faint => "2",
            TextStyle::Bold => "1",
            TextStyle::Marked => "1;7",
            TextStyle::Good => "32",
            TextStyle::Notable => "33",
            TextStyle::Bad => "31",
            TextStyle::Alarm => "1;7;31",
        };
        if self.0 && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The width of standard output in columns: COLUMNS, or else that of the terminal. `None` without a
/// terminal.
pub fn width() -> Option<usize> {
    let stated = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    stated.filter(|columns| *columns > 0).or_else(|| {
        let (width, _) = terminal_size::terminal_size_of(std::io::stdout())?;
        Some(usize::from(width.0))
    })
}

/// The width of standard error, in the same way.
pub fn width_of_errors() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(std::io::stderr())?;
    Some(usize::from(width.0))
}

/// The height of standard output in lines: LINES, or else that of the terminal. `None` without a
/// terminal.
pub fn height() -> Option<usize> {
    let stated = std::env::var("LINES").ok().and_then(|lines| lines.parse().ok());
    stated.filter(|lines| *lines > 0).or_else(|| {
        let (_, height) = terminal_size::terminal_size_of(std::io::stdout())?;
        Some(usize::from(height.0))
    })
}

/// UTC, or the zone of this machine.
pub fn zone(utc: bool) -> TimeZone {
    if utc { TimeZone::UTC } else { TimeZone::system() }
}

/// The width of the text in columns.
pub fn columns(text: &str) -> usize {
    text.chars().filter_map(|letter| letter.width()).sum()
}

/// The text in exactly `width` columns: padded with spaces, or cut with `…` at the end.
pub fn fitted(text: &str, width: usize) -> String {
    let mut out = cut(text, width);
    out.extend(std::iter::repeat_n(' ', width.saturating_sub(columns(&out))));
    out
}

/// The text in at most `width` columns, cut with `…` at the end.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let Some(room) = width.checked_sub(1) else { return String::new() };
    let mut out = head(text, room);
    out.push('…');
    out
}

/// A text behind a label that takes `label_columns`, in lines of at most `width` columns.
pub fn labelled(
    label: &str,
    label_columns: usize,
    text: &str,
    width: Option<usize>,
) -> Vec<String> {
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(label_columns + 2));
    let blank = " ".repeat(label_columns);
    let labels = std::iter::once(label).chain(std::iter::repeat(blank.as_str()));
    labels.zip(wrapped(text, room)).map(|(label, line)| format!("{label}  {line}")).collect()
}

/// The text in lines of at most `width` columns, and one at least: broken at spaces, and
/// within words that are longer than a line.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    if columns(text) <= width {
        return vec![text.to_owned()];
    }
    let width = width.max(WIDEST);
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && columns(&line) + 1 + columns(word) <= width {
            line.push(' ');
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        let mut rest = word;
        while columns(rest) > width {
            let part = head(rest, width);
            rest = rest.strip_prefix(part.as_str()).unwrap_or_default();
            lines.push(part);
        }
        line.push_str(rest);
    }
    if lines.is_empty() || !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The text in exactly `width` columns, cut with `…` in its middle: for names
/// whose last part tells most.
pub fn fitted_in_the_middle(text: &str, width: usize) -> String {
    let room = width.saturating_sub(1);
    if columns(text) <= width || room < 2 {
        return fitted(text, width);
    }
    let backwards: String = text.chars().rev().collect();
    let tail: String = head(&backwards, room / 2).chars().rev().collect();
    fitted(&format!("{}…{tail}", head(text, room - room / 2)), width)
}

/// The longest beginning that fits into `room` columns.
fn head(text: &str, room: usize) -> String {
    let mut used = 0;
    let fits = |letter: &char| {
        used += letter.width().unwrap_or_default();
        used <= room
    };
    text.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_fitted_to_columns() {
        assert_eq!(fitted("alice", 8), "alice   ");
        assert_eq!(fitted("alice", 5), "alice");
        assert_eq!(fitted("alice", 4), "ali…");
        assert_eq!(fitted("alice", 1), "…");
        assert_eq!(fitted("alice", 0), "");
        assert_eq!(fitted("李雷李雷", 6), "李雷… ", "two columns each");
        assert_eq!(fitted("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
        assert_eq!(fitted_in_the_middle("windows.desktop.session.end", 17), "windows.…sion.end");
        assert_eq!(fitted_in_the_middle("exec", 6), "exec  ");
        assert_eq!(fitted_in_the_middle("李雷李雷李雷", 6), "李…雷 ");
    }

    #[test]
    fn long_text_goes_on_in_the_next_line() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("one two three", usize::MAX), ["one two three"]);
        assert_eq!(wrapped("a abcdefgh b", 3), ["a", "abc", "def", "gh", "b"]);
        assert_eq!(wrapped("李雷 李", 3), ["李", "雷", "李"], "two columns each");
        assert_eq!(wrapped("李", 0), ["李"]);
        assert_eq!(wrapped("  a  b", 8), ["  a  b"], "as it is where it fits");
        assert_eq!(wrapped("", 8), [""]);
    }

    #[test]
    fn colours_are_used_where_they_are_wanted() {
        assert_eq!(Color(true).paint(TextStyle::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(Color(false).paint(TextStyle::Bad, "x"), "x");
        assert_eq!(Color(true).paint(TextStyle::Plain, "x"), "x");
        assert!(Args { color: ColorChoice::Always }.resolve(false).0);
        assert!(!Args { color: ColorChoice::Never }.resolve(true).0);
        assert!(!Args { color: ColorChoice::Auto }.resolve(false).0);
    }
}
