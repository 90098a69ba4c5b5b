//! The Rust sources of the workspace, with their code told apart from comments and literals.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// One Rust file.
pub(crate) struct Source {
    /// Its path, relative to the top of the repository.
    pub(crate) path: String,
    /// The file as it is.
    pub(crate) text: String,
    /// The file with comments, literals and unit tests blanked; line numbers stay.
    pub(crate) code: String,
    /// How many lines it has.
    pub(crate) lines: usize,
}

impl Source {
    /// Every Rust file of ours.
    pub(crate) fn all() -> &'static [Self] {
        static ALL: LazyLock<Vec<Source>> = LazyLock::new(|| {
            let mut found = Vec::new();
            collect(root(), &mut found);
            found.sort_by(|a: &Source, b: &Source| a.path.cmp(&b.path));
            found
        });
        &ALL
    }

    /// Whether it lies in a folder, or is that file, or a file of that stem (`agent/src/egress` covers `egress.rs`).
    pub(crate) fn is_under(&self, place: &str) -> bool {
        self.path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
    }

    /// Whether it becomes part of a library or program, not of a test, an example or a bench.
    pub(crate) fn is_shipped(&self) -> bool {
        self.path.contains("/src/")
    }

    /// Whether a crate starts here.
    pub(crate) fn is_crate_root(&self) -> bool {
        let in_bin = self.path.rsplit_once('/').is_some_and(|(folder, _)| folder.ends_with("/src/bin"));
        in_bin || self.path.ends_with("/src/lib.rs") || self.path.ends_with("/src/main.rs")
    }

    /// Fails with the place when the code, outside unit tests, has `pattern`.
    #[track_caller]
    pub(crate) fn assert_lacks(&self, pattern: &str, reason: &str) {
        if let Some(at) = find(&self.code, pattern) {
            self.complain(at, pattern, reason);
        }
    }

    /// Fails with the place when the code has `word` as a whole word, unit tests included.
    #[track_caller]
    pub(crate) fn assert_lacks_word(&self, word: &str, reason: &str) {
        let code = blank_comments_and_literals(&self.text);
        if let Some(at) = find(&code, word) {
            self.complain(at, word, reason);
        }
    }

    #[track_caller]
    fn complain(&self, at: usize, pattern: &str, reason: &str) -> ! {
        let line = self.code[..at].matches('\n').count() + 1;
        panic!("{}:{line}: `{pattern}`: {reason}", self.path)
    }
}

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        tests.parent().expect("the tests lie in a folder of the repository").to_owned()
    });
    &ROOT
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).expect("folders of the repository can be listed") {
        let entry = entry.expect("folders of the repository can be listed");
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let kind = entry.file_type().expect("an entry has a type");
        if kind.is_dir() {
            // Build outputs, installed packages, and files whose content is data.
            let foreign = name.starts_with('.')
                || name == "node_modules"
                || path.join("CACHEDIR.TAG").is_file()
                || path == root().join("tests/data");
            if !foreign {
                collect(&path, found);
            }
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let relative = path.strip_prefix(root()).expect("it was found below the root");
            let code = blank_unit_tests(&blank_comments_and_literals(&text));
            let lines = text.lines().count();
            found.push(Source { path: relative.to_string_lossy().into_owned(), text, code, lines });
        }
    }
}

/// The first occurrence that is not part of a longer word on either side.
fn find(code: &str, pattern: &str) -> Option<usize> {
    let (starts, ends) = (is_word(pattern.chars().next()), is_word(pattern.chars().next_back()));
    code.match_indices(pattern).map(|(at, _)| at).find(|at| {
        let before = is_word(code[..*at].chars().next_back());
        let after = is_word(code[at + pattern.len()..].chars().next());
        let inside = (starts && before) || (ends && after);
        !inside
    })
}

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Replaces what stands in comments and in string and character literals by spaces.
fn blank_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let before_is_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + block_comment(rest)
        } else if rest[0] == b'"' {
            at + quoted(rest, b'"')
        } else if !before_is_word && raw_hashes(rest).is_some() {
            at + raw_string(rest)
        } else if let Some(length) = character(rest) {
            at + length
        } else {
            at += 1;
            continue;
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("whole literals and comments were blanked")
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// How many hashes open a raw string that starts here (`r"`, `br#"`, `cr##"`).
fn raw_hashes(rest: &[u8]) -> Option<(usize, usize)> {
    let prefix = usize::from(matches!(rest[0], b'b' | b'c'));
    if rest.get(prefix) != Some(&b'r') {
        return None;
    }
    let hashes = rest[prefix + 1..].iter().take_while(|&&b| b == b'#').count();
    (rest.get(prefix + 1 + hashes) == Some(&b'"')).then_some((prefix + 2 + hashes, hashes))
}

fn raw_string(rest: &[u8]) -> usize {
    let (start, hashes) = raw_hashes(rest).expect("asked before");
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let found = rest[start..].windows(close.len()).position(|window| window == close);
    found.map_or(rest.len(), |at| start + at + close.len())
}

/// The length of a character literal, or `None` when the quote opens a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest[0] != b'\'' {
        return None;
    }
    if rest.get(1) == Some(&b'\\') {
        return Some(quoted(rest, b'\''));
    }
    let text = std::str::from_utf8(&rest[1..rest.len().min(8)]);
    let text = text.or_else(|error| std::str::from_utf8(&rest[1..=error.valid_up_to()])).ok()?;
    let length = text.chars().next()?.len_utf8();
    (rest.get(1 + length) == Some(&b'\'')).then_some(length + 2)
}

/// Replaces the body of each `#[cfg(test)] mod …` by spaces.
fn blank_unit_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.to_owned();
    let mut from = 0;
    while let Some(mark) = out[from..].find(MARK).map(|at| from + at) {
        let after = mark + MARK.len();
        from = after;
        let Some(open) = out[after..].find(['{', ';']).map(|at| after + at) else { break };
        if out.as_bytes()[open] == b';' || !out[after..open].split_whitespace().any(|word| word == "mod") {
            continue;
        }
        let mut depth = 0_usize;
        let close = out[open..].char_indices().find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(open + at + 1)
        });
        let close = close.unwrap_or(out.len());
        let blank: String = out[open..close].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        // Blanks are one byte each; the place of what follows is only used inside `out`.
        out.replace_range(open..close, &blank);
    }
    out
}

#[test]
fn comments_and_literals_are_blanked_and_code_is_not() {
    for (case, text, expected) in [
        ("a line comment", "a // unsafe\nb", "a          \nb"),
        ("a nested block comment", "a /* x /* y */ z */ b", "a                   b"),
        ("a string with an escaped quote", r#"a "x\"unsafe" b"#, "a             b"),
        ("a raw string", "a r#\"x\"unsafe\"# b", "a               b"),
        ("a byte string", "a b\"xy\" b", "a b     b"),
        ("a character that is a quote", "a '\"' unsafe", "a     unsafe"),
        ("an escaped character", "a '\\'' unsafe", "a      unsafe"),
        ("a lifetime", "fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("a word that ends in r", "for\"x\" b", "for    b"),
    ] {
        assert_eq!(blank_comments_and_literals(text), expected, "{case}");
    }
}

#[test]
fn unit_tests_are_blanked_and_what_follows_is_not() {
    let code = "use a;\n#[cfg(test)]\nmod tests {\n fn f() { std::fs }\n}\nuse std::net;\n#[cfg(test)]\nmod far;\n";
    let blanked = blank_unit_tests(code);
    assert!(!blanked.contains("std::fs") && blanked.contains("use std::net;") && blanked.contains("mod far;"));
    assert_eq!(blanked.lines().count(), code.lines().count());
}

#[test]
fn a_pattern_is_found_as_a_word_of_its_own() {
    for (case, code, pattern, expected) in [
        ("at the start", "unsafe {", "unsafe", Some(0)),
        ("inside a longer word", "not_unsafe", "unsafe", None),
        ("behind a longer word", "#![deny(unsafe_code)] unsafe {", "unsafe", Some(22)),
        ("behind a path", "std::time::Instant", "Instant", Some(11)),
        ("a method call", "endpoint.connect(a)", ".connect(", Some(8)),
    ] {
        assert_eq!(find(code, pattern), expected, "{case}");
    }
}
