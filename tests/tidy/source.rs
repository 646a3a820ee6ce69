//! Rust files as flat lists of tokens: without comments, with what stands in
//! macros, and with what stands behind `cfg(test)` marked.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// One token, comment or stretch of white space. As exact as the rules need:
/// block comments do not nest, and a number with a point is three tokens.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    let alternatives = [
        r"\s+",
        r"//[^\n]*",
        r"/\*.*?\*/",
        r##"b?r#".*?"#"##,
        r#"b?r"[^"]*""#,
        r#"[bc]?"(?:\\.|[^"\\])*""#,
        r"b?'(?:\\u\{\w+\}|\\x\w\w|\\.|[^'\\])'",
        r"'\w+",
        r"\w+",
        r".",
    ];
    Regex::new(&format!("(?s){}", alternatives.join("|"))).unwrap()
});

/// A file and its tokens.
pub struct Source {
    /// Its path below the root of the repository, with `/` between the parts.
    pub path: String,
    /// How many lines it has.
    pub lines: usize,
    /// Its tokens, in order.
    pub tokens: Vec<Token>,
}

/// A word, a literal, or one character of punctuation.
pub struct Token {
    /// As it stands in the file.
    pub text: String,
    /// Where, counted from 1.
    pub line: usize,
    /// Whether it belongs to an item that is only built for tests.
    pub test: bool,
}

impl Source {
    /// Splits `text` into tokens.
    pub fn parse(path: &str, text: &str) -> Self {
        let mut tokens = Vec::new();
        let mut line = 1;
        for found in TOKEN.find_iter(text) {
            let found = found.as_str();
            let skipped =
                found.trim().is_empty() || found.starts_with("//") || found.starts_with("/*");
            if !skipped {
                tokens.push(Token { text: found.to_owned(), line, test: false });
            }
            line += found.matches('\n').count();
        }
        mark_tests(&mut tokens);
        Self { path: path.to_owned(), lines: text.lines().count(), tokens }
    }

    /// Positions at which the tokens read as `pattern`, its words separated by
    /// spaces.
    pub fn find(&self, pattern: &str) -> Vec<usize> {
        let words: Vec<&str> = pattern.split(' ').collect();
        let here = |at: &[Token]| at.iter().map(|token| token.text.as_str()).eq(words.clone());
        let windows = self.tokens.windows(words.len()).enumerate();
        windows.filter(|(_, at)| here(at)).map(|(position, _)| position).collect()
    }

    /// The files that only tests have, by `#[cfg(test)] mod name;`, without
    /// their ending.
    fn test_modules(&self) -> Vec<String> {
        let stem = self.path.trim_end_matches(".rs");
        let folder = if stem == "src/lib" || stem == "src/main" { "src" } else { stem };
        let declared = self
            .find("mod")
            .into_iter()
            .filter(|position| self.tokens[*position].test && self.text(*position, 2) == ";");
        declared.map(|position| format!("{folder}/{}", self.text(position, 1))).collect()
    }

    /// `path:line` of the token at `position`.
    pub fn place(&self, position: usize) -> String {
        format!("{}:{}", self.path, self.tokens[position].line)
    }

    /// The token `offset` places after `position`; empty past the end.
    pub fn text(&self, position: usize, offset: usize) -> &str {
        self.tokens.get(position + offset).map_or("", |token| &token.text)
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of all Rust files below these folders.
pub fn text_of(folders: &[&str]) -> String {
    let mut paths = Vec::new();
    folders.iter().for_each(|folder| walk(&root().join(folder), &mut paths));
    let rust = paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    rust.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// All files below `src`.
pub fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join("src"), &mut paths);
    let mut found: Vec<Source> = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| Source::parse(&relative(path), &std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(!found.is_empty(), "no Rust files below src");
    mark_test_files(&mut found);
    found
}

/// Marks what stands in files that only tests have, and in files below those.
pub fn mark_test_files(sources: &mut [Source]) {
    let modules: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in sources {
        let within = |module: &String| {
            let rest = source.path.strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        if modules.iter().any(within) {
            source.tokens.iter_mut().for_each(|token| token.test = true);
        }
    }
}

/// Every file that git tracks or would track; in a copy without git, every file.
pub fn tracked() -> Vec<String> {
    if !root().join(".git").exists() {
        let mut paths = Vec::new();
        walk(root(), &mut paths);
        return paths.iter().map(|path| relative(path)).collect();
    }
    listed_by_git(&["--cached", "--others", "--exclude-standard"])
}

/// Every file that git tracks: what somebody tries out in a clone is not among
/// them. In a copy without git, none.
pub fn committed() -> Vec<String> {
    if root().join(".git").exists() { listed_by_git(&["--cached"]) } else { Vec::new() }
}

fn listed_by_git(options: &[&str]) -> Vec<String> {
    let listed = std::process::Command::new("git")
        .args(["ls-files", "-z"])
        .args(options)
        .current_dir(root())
        .output()
        .expect("git lists the files of its own clone");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).expect("file names are UTF-8");
    listed.split_terminator('\0').map(str::to_owned).collect()
}

/// Files below `folder`, in the order of their names, build output left out.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let built =
            ["target", "node_modules", "__pycache__"].iter().any(|name| path.ends_with(name));
        if path.is_dir() && !built {
            walk(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).expect("the walk stays below the root");
    path.to_str().expect("file names are UTF-8").replace('\\', "/")
}

/// Marks each item behind `#[cfg(test)]`, up to its closing brace or semicolon.
fn mark_tests(tokens: &mut [Token]) {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut position = 0;
    while position + ATTRIBUTE.len() <= tokens.len() {
        let here = &tokens[position..position + ATTRIBUTE.len()];
        if !here.iter().map(|token| token.text.as_str()).eq(ATTRIBUTE) {
            position += 1;
            continue;
        }
        position += ATTRIBUTE.len();
        let mut depth = 0_usize;
        for token in &mut tokens[position..] {
            token.test = true;
            position += 1;
            match token.text.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(token.text.as_str(), "}" | ";") {
                break;
            }
        }
    }
}
