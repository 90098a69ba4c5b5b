//! What a file is and what it says: kind, encoding, title and text, from its bytes and its name.
//!
//! Content decides before the name does. The text that comes out is UTF-8 with line feeds and without control characters;
//! what is no text says what it looks like instead. Pure: bytes in, text out, in time linear in the bytes.

use std::{borrow::Cow, fmt, path::Path, str::FromStr};

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};
use serde::{Deserialize, Serialize};

use super::{Shell, SkipReason, display_name, html, markdown};

/// What a captured thing is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Format {
    /// Text without any form that is known.
    Text,
    /// Markdown, with or without front matter.
    Markdown,
    /// A web page.
    Html,
    /// A program or a settings file, in a language that [`formats`] lists.
    Code(&'static Language),
    /// Commands given to a shell.
    History(Shell),
}

/// A language that files are written in.
#[derive(PartialEq, Eq, Hash, Debug)]
pub struct Language {
    /// Its name for programs.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// How its files' names end, without the dot.
    pub extensions: &'static [&'static str],
    /// What its files may be called.
    pub files: &'static [&'static str],
    /// What their first line may call, after `#!`.
    pub interpreters: &'static [&'static str],
}

impl Format {
    /// Tells whether `#` lines of the text are headings. In other formats they are comments or just text.
    pub fn has_headings(self) -> bool {
        matches!(self, Self::Markdown | Self::Html)
    }

    /// Its name for people.
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::Text => "plain text".into(),
            Self::Markdown => "Markdown".into(),
            Self::Html => "HTML".into(),
            Self::Code(language) => language.name.into(),
            Self::History(shell) => format!("{shell} history").into(),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Markdown => f.write_str("markdown"),
            Self::Html => f.write_str("html"),
            Self::Code(language) => write!(f, "code/{}", language.id),
            Self::History(shell) => write!(f, "history/{shell}"),
        }
    }
}

/// The text names no format.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no format; `hearth formats` lists them")]
pub struct NotAFormat(String);

impl FromStr for Format {
    type Err = NotAFormat;
    fn from_str(text: &str) -> Result<Self, NotAFormat> {
        let found = match text.split_once('/') {
            None => [Self::Text, Self::Markdown, Self::Html].into_iter().find(|format| format.to_string() == text),
            Some(("code", id)) => LANGUAGES.iter().find(|language| language.id == id).map(Self::Code),
            Some(("history", shell)) => {
                Shell::ALL.into_iter().find(|known| known.to_string() == shell).map(Self::History)
            }
            Some(_) => None,
        };
        found.ok_or_else(|| NotAFormat(text.chars().take(60).collect()))
    }
}

impl TryFrom<String> for Format {
    type Error = NotAFormat;
    fn try_from(text: String) -> Result<Self, NotAFormat> {
        text.parse()
    }
}

impl From<Format> for String {
    fn from(format: Format) -> Self {
        format.to_string()
    }
}

/// One line of the table of formats.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FormatRow {
    /// The format's name for programs; `None` when it is known but not read.
    pub format: Option<Format>,
    /// Its name for people.
    pub name: String,
    /// How its files' names end or what they are called.
    pub extensions: Vec<&'static str>,
    /// How well it is read.
    pub support: Support,
    /// What to know about it.
    pub notes: &'static str,
}

/// How well a format is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Support {
    /// Text, title and structure.
    Structure,
    /// Its text as it stands.
    Text,
    /// Known by its content and left alone.
    NotRead,
}

/// Every format that is told apart, those that are read first.
pub fn formats() -> Vec<FormatRow> {
    let row = |format, extensions: &[&'static str], support, notes| FormatRow {
        name: Format::name(format).into_owned(),
        format: Some(format),
        extensions: extensions.to_vec(),
        support,
        notes,
    };
    let mut rows = vec![
        row(
            Format::Markdown,
            MARKDOWN,
            Support::Structure,
            "front matter, headings; the title is the front matter's, else the first heading's, else the file's name",
        ),
        row(
            Format::Html,
            HTML,
            Support::Structure,
            "headings, lists, tables and code; scripts, styles and navigation are dropped",
        ),
    ];
    rows.extend(Shell::ALL.map(|shell| {
        row(
            Format::History(shell),
            shell.files(),
            Support::Structure,
            "one item a day (UTC); commands that begin with a space are never captured",
        )
    }));
    rows.push(row(
        Format::Text,
        TEXT,
        Support::Text,
        "whatever reads as text and is nothing else; terminal escapes are dropped",
    ));
    rows.extend(LANGUAGES.iter().map(|language| {
        let names: Vec<_> = language.extensions.iter().chain(language.files).copied().collect();
        row(Format::Code(language), &names, Support::Text, "as it stands")
    }));
    rows.extend(MAGIC.iter().map(|(_, _, what)| FormatRow {
        format: None,
        name: (*what).to_owned(),
        extensions: Vec::new(),
        support: Support::NotRead,
        notes: "known by its first bytes",
    }));
    let mut seen = Vec::new();
    rows.retain(|row| {
        !seen.contains(&row.name) && {
            seen.push(row.name.clone());
            true
        }
    });
    rows
}

/// What a file turned out to say.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) format: Format,
    pub(crate) title: Option<String>,
    pub(crate) text: String,
}

/// Tells a file's format, title and text.
pub(crate) fn extract(path: &Path, bytes: Vec<u8>) -> Result<Told, SkipReason> {
    if let Some(what) = binary(&bytes) {
        return Err(SkipReason::Binary { what: what.into() });
    }
    let text = clean(decode(bytes)?);
    let format = detect(path, &text);
    let display = |name: Option<&std::ffi::OsStr>| name.map(|name| display_name(name.as_encoded_bytes()));
    let (stem, file) = (display(path.file_stem()), display(path.file_name()));
    let (title, text) = match format {
        Format::Markdown => {
            let (title, text) = markdown::light(&text);
            (title.or(stem), text)
        }
        Format::Html => {
            let (title, text) = html::to_markdown(&text);
            (title.or(stem), text)
        }
        Format::Text | Format::History(_) => (stem, text),
        Format::Code(_) => (file, text),
    };
    if text.trim().is_empty() { Err(SkipReason::Empty) } else { Ok(Told { format, title, text }) }
}

/// What a file is that holds no readable text, as far as its beginning tells.
pub(crate) fn binary(bytes: &[u8]) -> Option<&'static str> {
    let known = MAGIC.iter().find(|(at, magic, _)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    if let Some((_, _, what)) = known {
        return Some(what);
    }
    let head = &bytes[..bytes.len().min(HEAD)];
    let nul = head.contains(&0) && utf_16(head).is_none();
    nul.then_some("a binary file")
}

/// How much of a file is looked at to tell whether it is text.
const HEAD: usize = 8 << 10;

/// Tells which order the bytes of UTF-16 have, by its mark or, without one, by where the zeros of ASCII fall.
fn utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] => return None, // UTF-32
        [0xff, 0xfe, ..] => return Some(UTF_16LE),
        [0xfe, 0xff, ..] => return Some(UTF_16BE),
        _ => {}
    }
    let (pairs, _) = bytes[..bytes.len().min(1 << 10)].as_chunks::<2>();
    let zeros = |at: usize| pairs.iter().filter(|pair| pair[at] == 0).count();
    let many = pairs.len() * 7 / 10;
    match (zeros(0), zeros(1)) {
        (0, odd) if odd > many && pairs.len() > 3 => Some(UTF_16LE),
        (even, 0) if even > many && pairs.len() > 3 => Some(UTF_16BE),
        _ => None,
    }
}

/// Turns bytes into text. A valid UTF-8 file is not copied.
fn decode(mut bytes: Vec<u8>) -> Result<String, SkipReason> {
    if let Some(encoding) = utf_16(&bytes) {
        let (text, _, failed) = encoding.decode(&bytes);
        let broken = text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
        return if failed && broken * 100 > text.len() {
            Err(SkipReason::UnknownEncoding)
        } else {
            Ok(text.into_owned())
        };
    }
    let zeros = bytes.iter().filter(|byte| **byte == 0).count();
    if zeros * 100 > bytes.len() {
        return Err(SkipReason::Binary { what: "a file with many zero bytes".into() });
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error.into_bytes(),
    };
    // Text that is UTF-8 but for a few bytes was cut or pasted together; another encoding would hardly form valid sequences.
    let (mut sequences, mut broken) = (0, 0);
    for part in bytes.utf8_chunks() {
        sequences += part.valid().chars().filter(|c| !c.is_ascii()).count();
        broken += part.invalid().len();
    }
    if sequences > broken * 2 {
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    if let Some(encoding) = declared(&bytes) {
        let (text, _, failed) = encoding.decode(&bytes);
        if !failed {
            return Ok(text.into_owned());
        }
    }
    if is_western(&bytes) { Ok(WINDOWS_1252.decode(&bytes).0.into_owned()) } else { Err(SkipReason::UnknownEncoding) }
}

/// The encoding that a web page or an XML file says it has.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(2 << 10)]).to_ascii_lowercase();
    let at = match head.find("charset=") {
        Some(at) if head[..at].contains("<meta") => at + "charset=".len(),
        _ if head.starts_with("<?xml") => head.find("encoding=")? + "encoding=".len(),
        _ => return None,
    };
    let label: String = head[at..]
        .trim_start_matches(['"', '\'', ' '])
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "-_:.".contains(*c))
        .collect();
    Encoding::for_label(label.as_bytes())
}

/// Tells whether bytes read as Western text in windows-1252: letters with accents here and there among ASCII, no controls.
fn is_western(bytes: &[u8]) -> bool {
    let (mut high, mut letters, mut odd) = (0usize, 0usize, 0usize);
    for byte in bytes {
        match byte {
            b'\t' | b'\n' | b'\r' | 0x0c | 0x1b | 0x08 => {}
            0..0x20 | 0x7f | 0x81 | 0x8d | 0x8f | 0x90 | 0x9d => odd += 1,
            0x80.. => high += 1,
            b'a'..=b'z' | b'A'..=b'Z' => letters += 1,
            _ => {}
        }
    }
    odd * 1000 <= bytes.len() && high * 2 <= letters
}

/// Drops what drives a terminal and leaves what it shows; line ends become line feeds.
pub(crate) fn clean(text: String) -> String {
    let plain = |byte: u8| byte == b'\n' || byte == b'\t' || byte >= 0x20 && byte != 0x7f;
    if text.bytes().all(plain) && !text.contains(|c| ('\u{80}'..='\u{9f}').contains(&c)) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\r' => {
                rest.next_if_eq(&'\n');
                out.push('\n');
            }
            '\u{b}' | '\u{c}' | '\u{85}' => out.push('\n'),
            // A typewriter's way to print bold: the letter, back, the letter again.
            '\u{8}' => {
                if out.ends_with(|c| c != '\n') {
                    out.pop();
                }
            }
            '\u{1b}' => skip_escape(&mut rest),
            '\u{9b}' => skip_parameters(&mut rest),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Passes over one escape sequence (ECMA-48 §5). One that does not end costs no more than its line.
fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next_if(|c| !c.is_control()) {
        Some('[') => skip_parameters(rest),
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = rest.next_if(|c| *c != '\n') {
                if c == '\u{7}' || c == '\u{1b}' && rest.next_if_eq(&'\\').is_some() {
                    break;
                }
            }
        }
        Some(' '..='/') => {
            while rest.next_if(|c| (' '..='/').contains(c)).is_some() {}
            rest.next_if(|c| ('0'..='~').contains(c));
        }
        _ => {}
    }
}

fn skip_parameters(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while rest.next_if(|c| (' '..='?').contains(c)).is_some() {}
    rest.next_if(|c| ('@'..='~').contains(c));
}

fn detect(path: &Path, text: &str) -> Format {
    let start = text.trim_start();
    let begins = |with: &str| start.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    let file = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let extension = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let ends = |of: &[&str]| of.contains(&extension.as_str());
    if begins("<!doctype html") || begins("<html") {
        return Format::Html;
    }
    if ends(MARKDOWN) {
        return Format::Markdown;
    }
    if ends(HTML) {
        return Format::Html;
    }
    if let Some(line) = text.strip_prefix("#!") {
        let line = line.lines().next().unwrap_or_default();
        let mut words =
            line.split(['/', ' ', '\t']).filter(|word| !word.is_empty() && *word != "env" && !word.starts_with('-'));
        let called = words.find_map(|word| {
            let word = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
            LANGUAGES.iter().find(|language| language.interpreters.contains(&word))
        });
        if let Some(language) = called {
            return Format::Code(language);
        }
    }
    if ends(TEXT) && !file.eq("cmakelists.txt") {
        return Format::Text;
    }
    let named = LANGUAGES.iter().find(|language| {
        language.files.iter().any(|name| name.eq_ignore_ascii_case(&file)) || ends(language.extensions)
    });
    match named {
        Some(language) => Format::Code(language),
        None if begins("<?xml") => {
            LANGUAGES.iter().find(|language| language.id == "xml").map_or(Format::Text, Format::Code)
        }
        None => Format::Text,
    }
}

const MARKDOWN: &[&str] = &["md", "markdown", "mdown", "mkd", "mkdn", "mdx", "qmd", "rmd"];
const HTML: &[&str] = &["html", "htm", "xhtml", "xht", "shtml"];
const TEXT: &[&str] = &[
    "txt", "text", "log", "rst", "adoc", "asciidoc", "org", "csv", "tsv", "srt", "vtt", "po", "diff", "patch", "bib",
    "ris", "ics", "vcf", "eml",
];

/// What is known by its first bytes and not read: where they stand, what they are, what it is.
const MAGIC: &[(usize, &[u8], &str)] = &[
    (0, b"%PDF-", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive, an office document or a book"),
    (0, b"PK\x05\x06", "a ZIP archive, an office document or a book"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old office document"),
    (0, b"{\\rtf", "a rich text document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"!<arch>\n", "an ar archive or package"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (0, b"8BPS", "a Photoshop image"),
    (4, b"ftyp", "a video, sound or HEIF image"),
    (0, b"RIFF", "a sound, video or WebP image"),
    (0, b"OggS", "an Ogg sound or video"),
    (0, b"fLaC", "a FLAC sound"),
    (0, b"ID3", "an MP3 sound"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (0, b"\x7fELF", "a program"),
    (0, b"\0asm", "a WebAssembly program"),
    (0, b"\xca\xfe\xba\xbe", "a Java class or program"),
    (0, b"SQLite format 3\0", "an SQLite database"),
];

macro_rules! languages {
    ($($id:literal $name:literal [$($extension:literal)*] [$($file:literal)*] [$($interpreter:literal)*];)*) => {
        const LANGUAGES: &[Language] = &[$(Language {
            id: $id, name: $name, extensions: &[$($extension),*], files: &[$($file),*], interpreters: &[$($interpreter),*],
        }),*];
    };
}

languages! {
    "ada" "Ada" ["adb" "ads"] [] [];
    "assembly" "assembly" ["asm" "s"] [] [];
    "awk" "AWK" ["awk"] [] ["awk" "gawk" "mawk"];
    "batch" "batch file" ["bat" "cmd"] [] [];
    "bazel" "Bazel" ["bzl"] ["build.bazel" "workspace.bazel"] [];
    "c" "C" ["c" "h"] [] ["tcc"];
    "clojure" "Clojure" ["clj" "cljs" "cljc" "edn"] [] [];
    "cmake" "CMake" ["cmake"] ["cmakelists.txt"] [];
    "cpp" "C++" ["cc" "cpp" "cxx" "hh" "hpp" "hxx" "ipp"] [] [];
    "csharp" "C#" ["cs"] [] [];
    "css" "CSS" ["css" "scss" "sass" "less"] [] [];
    "d" "D" ["d"] [] [];
    "dart" "Dart" ["dart"] [] ["dart"];
    "dockerfile" "Dockerfile" ["dockerfile"] ["dockerfile" "containerfile"] [];
    "elixir" "Elixir" ["ex" "exs"] [] ["elixir"];
    "elm" "Elm" ["elm"] [] [];
    "erlang" "Erlang" ["erl" "hrl"] [] ["escript"];
    "fish" "fish" ["fish"] [] ["fish"];
    "fortran" "Fortran" ["f" "f90" "f95" "for"] [] [];
    "fsharp" "F#" ["fs" "fsi" "fsx"] [] [];
    "glsl" "shader" ["glsl" "vert" "frag" "wgsl" "hlsl"] [] [];
    "go" "Go" ["go"] ["go.mod"] [];
    "graphql" "GraphQL" ["graphql" "gql"] [] [];
    "groovy" "Groovy" ["groovy" "gradle"] ["jenkinsfile"] ["groovy"];
    "haskell" "Haskell" ["hs" "lhs" "cabal"] [] ["runhaskell" "runghc"];
    "hcl" "HCL" ["tf" "hcl" "nomad"] [] [];
    "ini" "settings" ["ini" "cfg" "conf" "cnf" "properties" "desktop" "service" "timer" "socket" "mount" "rules"] [] [];
    "java" "Java" ["java"] [] [];
    "javascript" "JavaScript" ["js" "mjs" "cjs" "jsx"] [] ["node" "deno" "bun"];
    "json" "JSON" ["json" "jsonl" "ndjson" "json5" "jsonc" "geojson" "webmanifest"] [] [];
    "julia" "Julia" ["jl"] [] ["julia"];
    "kotlin" "Kotlin" ["kt" "kts"] [] [];
    "latex" "LaTeX" ["tex" "sty" "cls" "ltx"] [] [];
    "lisp" "Lisp" ["lisp" "lsp" "el" "scm" "ss" "rkt"] [] ["guile" "sbcl" "racket"];
    "lua" "Lua" ["lua"] [] ["lua" "luajit"];
    "makefile" "Makefile" ["mk" "mak"] ["makefile" "gnumakefile" "justfile"] ["make" "just"];
    "matlab" "MATLAB or Objective-C" ["m" "mm"] [] ["octave"];
    "nim" "Nim" ["nim"] [] [];
    "nix" "Nix" ["nix"] [] [];
    "ocaml" "OCaml" ["ml" "mli"] [] ["ocaml"];
    "pascal" "Pascal" ["pas" "pp"] [] [];
    "perl" "Perl" ["pl" "pm" "pod" "t"] [] ["perl"];
    "php" "PHP" ["php" "phtml"] [] ["php"];
    "powershell" "PowerShell" ["ps1" "psm1" "psd1"] [] ["pwsh"];
    "prolog" "Prolog" ["pro" "prolog"] [] ["swipl"];
    "protobuf" "Protocol Buffers" ["proto"] [] [];
    "python" "Python" ["py" "pyi" "pyw" "ipynb"] ["sconstruct" "wscript"] ["python" "pypy" "uv"];
    "r" "R" ["r"] [] ["Rscript"];
    "ruby" "Ruby" ["rb" "rake" "gemspec"] ["rakefile" "gemfile" "vagrantfile"] ["ruby"];
    "rust" "Rust" ["rs"] [] ["rust-script"];
    "scala" "Scala" ["scala" "sbt" "sc"] [] ["scala"];
    "shell" "shell script" ["sh" "bash" "zsh" "ksh" "ebuild"] ["pkgbuild"] ["sh" "bash" "zsh" "ksh" "dash" "ash" "busybox"];
    "solidity" "Solidity" ["sol"] [] [];
    "sql" "SQL" ["sql"] [] [];
    "svelte" "Svelte or Vue" ["svelte" "vue" "astro"] [] [];
    "swift" "Swift" ["swift"] [] ["swift"];
    "tcl" "Tcl" ["tcl"] [] ["tclsh" "wish" "expect"];
    "toml" "TOML" ["toml"] ["cargo.lock" "pipfile"] [];
    "typescript" "TypeScript" ["ts" "tsx" "mts" "cts"] [] ["ts-node" "tsx"];
    "vhdl" "VHDL" ["vhd" "vhdl"] [] [];
    "verilog" "Verilog" ["v" "sv" "svh"] [] [];
    "vim" "Vim script" ["vim"] [] [];
    "visualbasic" "Visual Basic" ["vb" "vbs" "bas"] [] [];
    "xml" "XML" ["xml" "xsd" "xsl" "xslt" "svg" "rss" "atom" "plist" "opml" "gpx" "kml" "wsdl" "csproj" "pom"] [] [];
    "yaml" "YAML" ["yaml" "yml"] [] [];
    "zig" "Zig" ["zig" "zon"] [] [];
}

#[cfg(test)]
mod tests;
