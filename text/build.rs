//! Makes the tables of tokens from `rules/*.toml`, and holds every row against its own examples with the code that runs later.
//!
//! A row that misses one of its `true` examples, finds something in one of its `false` ones, has a name twice or a key that is unknown ends
//! the build with a sentence that names it.
#![forbid(unsafe_code)]
#![allow(dead_code, unreachable_pub, reason = "the shared modules hold more than the build needs")]

#[path = "src/class.rs"]
mod class;
#[path = "src/grammar.rs"]
mod grammar;
#[path = "src/values.rs"]
mod values;

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use class::Class;
use grammar::{Alphabet, Infix, Token};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    token: Vec<TokenRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRow {
    id: String,
    start: String,
    alphabet: Alphabet,
    least: usize,
    #[serde(default = "endless")]
    most: usize,
    #[serde(default)]
    digit: bool,
    #[serde(default = "api_key")]
    class: Class,
    r#true: Vec<String>,
    r#false: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Infixes {
    infix: Vec<InfixRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InfixRow {
    id: String,
    mark: String,
    left: Alphabet,
    least_left: usize,
    most_left: usize,
    right: Alphabet,
    least_right: usize,
    #[serde(default = "endless")]
    most_right: usize,
    #[serde(default = "api_key")]
    class: Class,
    r#true: Vec<String>,
    r#false: Vec<String>,
}

const fn endless() -> usize {
    grammar::LONGEST
}

const fn api_key() -> Class {
    Class::ApiKey
}

/// A static text for the length of the build: the rows are made once and the program ends.
fn kept(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

#[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts by their environment")]
fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo names the folder of the package");
    let out = std::env::var("OUT_DIR").expect("cargo names a folder for what is made");
    println!("cargo::rerun-if-changed=rules");
    for module in ["class", "grammar", "values", "values/wording"] {
        println!("cargo::rerun-if-changed=src/{module}.rs");
    }
    match tables(Path::new(&folder)) {
        Ok(text) => fs::write(Path::new(&out).join("tokens.rs"), text).expect("cargo's folder can be written"),
        Err(wrong) => wrong.iter().for_each(|line| println!("cargo::error={line}")),
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Vec<String>> {
    let text = fs::read_to_string(path).map_err(|e| vec![format!("cannot read {}: {e}", path.display())])?;
    toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()).lines().map(str::to_owned).collect())
}

fn tables(folder: &Path) -> Result<String, Vec<String>> {
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    let mut out = String::from("/// The rows of `rules/tokens.toml`.\npub(crate) static TOKENS: &[Token] = &[\n");
    for row in read::<Tokens>(&folder.join("rules/tokens.toml"))?.token {
        let token = Token {
            start: kept(&row.start),
            alphabet: row.alphabet,
            least: row.least,
            most: row.most,
            digit: row.digit,
            class: row.class,
        };
        if row.start.len() < 2 || row.start.len() + row.least < 12 {
            wrong.push(format!("{}: a token has a beginning of two characters or more, and twelve in all", row.id));
        }
        let in_run = |byte: u8| Alphabet::Wide.has(byte) || matches!(byte, b'$' | b':');
        if !row.start.bytes().take(12).all(in_run) {
            wrong.push(format!(
                "{}: the first twelve characters are letters, digits and $ % + - . / : = _ ~, or nobody looks",
                row.id
            ));
        }
        examine(&row.id, &row.r#true, &row.r#false, &mut names, &mut wrong, |text| {
            (0..text.len()).find_map(|at| token.find(text, at))
        });
        writeln!(
            out,
            "    {},",
            format!("{token:?}").replace("alphabet: ", "alphabet: Alphabet::").replace("class: ", "class: Class::")
        )
        .expect("a string takes all");
    }
    out.push_str("];\n\n/// The rows of `rules/infixes.toml`.\npub(crate) static INFIXES: &[Infix] = &[\n");
    for row in read::<Infixes>(&folder.join("rules/infixes.toml"))?.infix {
        let infix = Infix {
            mark: kept(&row.mark),
            left: row.left,
            least_left: row.least_left,
            most_left: row.most_left,
            right: row.right,
            least_right: row.least_right,
            most_right: row.most_right,
            class: row.class,
        };
        examine(&row.id, &row.r#true, &row.r#false, &mut names, &mut wrong, |text| {
            (0..text.len()).find_map(|at| infix.find(text, at).map(|(_, end)| end))
        });
        let written = format!("{infix:?}");
        let written = written.replace(" left: ", " left: Alphabet::").replace(" right: ", " right: Alphabet::");
        writeln!(out, "    {},", written.replace("class: ", "class: Class::")).expect("a string takes all");
    }
    out.push_str("];\n");
    if wrong.is_empty() { Ok(out) } else { Err(wrong) }
}

/// Holds a row against its examples.
fn examine(
    id: &str,
    found: &[String],
    passed_over: &[String],
    names: &mut BTreeSet<String>,
    wrong: &mut Vec<String>,
    find: impl Fn(&[u8]) -> Option<usize>,
) {
    if !names.insert(id.to_owned()) {
        wrong.push(format!("{id}: the name is taken by another row"));
    }
    if found.is_empty() || passed_over.is_empty() {
        wrong.push(format!("{id}: give at least one example of either kind"));
    }
    for text in found {
        if find(text.as_bytes()) != Some(text.len()) {
            wrong.push(format!("{id}: does not find the whole of its example `{text}`"));
        }
    }
    for text in passed_over {
        if find(text.as_bytes()).is_some() {
            wrong.push(format!("{id}: finds something in `{text}`"));
        }
    }
}
