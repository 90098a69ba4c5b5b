//! A policy as people write it, and what is said when it will not do.
//!
//! ```toml
//! version = 1
//! default = "mask"                        # what no rule speaks of
//!
//! [[rule]]
//! sources = ["mail", "chat"]              # all, when absent
//! classes = ["email", "phone"]            # classes and groups; all, when absent
//! destinations = ["here"]                 # all, when absent
//! action = "pseudonym"
//! why = "so that search finds one person under one name"
//! ```
//! Of several rules that speak of one cell the strictest holds, in whatever order they stand.

use std::fmt;

use serde::Deserialize;
use toml::Spanned;

use super::axes::{self, ALL, AWAY, Group};
use crate::{
    class::Class,
    operators::{Action, Unsuited},
};

/// The only form of a policy so far.
const VERSION: u32 = 1;
/// A longer policy is refused.
const BYTES_MAX: usize = 1 << 20;
/// A policy with more rules is refused.
const RULES_MAX: usize = 1000;
/// More particular sources, or more residencies, are refused: each is a row of the table.
pub(super) const NAMED_MAX: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    version: Spanned<u32>,
    default: Spanned<String>,
    #[serde(default, rename = "rule")]
    rules: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    sources: Option<Vec<Spanned<String>>>,
    classes: Option<Vec<Spanned<String>>>,
    destinations: Option<Vec<Spanned<String>>>,
    action: Spanned<String>,
    /// For the reader of the policy; nothing depends on it.
    #[serde(rename = "why")]
    _why: Option<String>,
}

/// A policy that was read and checked.
pub(super) struct Checked {
    pub(super) default: Action,
    pub(super) rules: Vec<Rule>,
}

/// One rule; what is `None` is all of them.
pub(super) struct Rule {
    pub(super) sources: Option<Vec<String>>,
    pub(super) classes: Option<Vec<Class>>,
    pub(super) destinations: Option<Vec<String>>,
    pub(super) action: Action,
}

/// One thing that is wrong with a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// What it is, and what to do.
    pub said: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.said)
    }
}

/// Why a policy is not taken: each mistake with its line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct BadPolicy {
    /// The mistakes, from the top; never none.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for BadPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said: Vec<String> = self.mistakes.iter().map(ToString::to_string).collect();
        f.write_str(&said.join("\n"))
    }
}

/// Reads a document and finds everything that is wrong with it.
pub(super) fn read(text: &str) -> Result<Checked, BadPolicy> {
    let mut reader = Reader { text, mistakes: Vec::new() };
    let checked = reader.read();
    match checked {
        Some(checked) if reader.mistakes.is_empty() => Ok(checked),
        _ => {
            reader.mistakes.sort_by_key(|mistake| mistake.line);
            Err(BadPolicy { mistakes: reader.mistakes })
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn wrong(&mut self, at: usize, said: impl Into<String>) {
        let line = self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1;
        self.mistakes.push(Mistake { line, said: said.into() });
    }

    fn read(&mut self) -> Option<Checked> {
        if self.text.len() > BYTES_MAX {
            self.wrong(0, "a policy has at most 1 MiB; write fewer rules");
            return None;
        }
        let document: Document = match toml::from_str(self.text) {
            Ok(document) => document,
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let said = error.message().lines().next().unwrap_or("it is no TOML").to_owned();
                self.wrong(at, format!("{said}; docs/redaction.md shows a policy"));
                return None;
            }
        };
        let version = *document.version.get_ref();
        if version != VERSION {
            let said =
                format!("version {version} of policies is not known; write `version = {VERSION}`, or update hearth");
            self.wrong(document.version.span().start, said);
        }
        if document.rules.len() > RULES_MAX {
            self.wrong(0, format!("a policy has at most {RULES_MAX} rules; name several sources or classes in one"));
            return None;
        }
        let default = self.action("default", &document.default);
        let rules: Vec<Option<Rule>> = document.rules.into_iter().map(|rule| self.rule(rule)).collect();
        let named = |of: fn(&Rule) -> Option<&Vec<String>>| {
            let names = rules.iter().flatten().filter_map(of).flatten();
            names.filter(|name| name.contains(':')).collect::<std::collections::BTreeSet<_>>().len()
        };
        if named(|rule| rule.sources.as_ref()) > NAMED_MAX || named(|rule| rule.destinations.as_ref()) > NAMED_MAX {
            self.wrong(0, format!("a policy names at most {NAMED_MAX} single sources and {NAMED_MAX} residencies; name kinds of sources"));
        }
        Some(Checked { default: default?, rules: rules.into_iter().collect::<Option<_>>()? })
    }

    fn rule(&mut self, rule: Written) -> Option<Rule> {
        let action = self.action("action", &rule.action);
        let sources = self.names("sources", rule.sources, |name| {
            (name == ALL || axes::is_source(name)).then(|| name.to_owned()).ok_or_else(|| {
                format!("is no source; write {}, one of a kind as `mail:work`, or `*`", listed(axes::SOURCES))
            })
        });
        let destinations = self.names("destinations", rule.destinations, |name| {
            (name == ALL || name == AWAY || axes::is_destination(name)).then(|| name.to_owned()).ok_or_else(|| {
                let known = listed(axes::DESTINATIONS);
                format!(
                    "is no destination; write {known}, `residency:` and a name, `away` for all other devices, or `*`"
                )
            })
        });
        let classes = self.classes(rule.classes, action);
        Some(Rule { sources: sources?, classes: classes?, destinations: destinations?, action: action? })
    }

    fn action(&mut self, field: &str, word: &Spanned<String>) -> Option<Action> {
        let action = Action::named(word.get_ref());
        if action.is_none() {
            let known = listed(Action::ALL.map(Action::as_str));
            self.wrong(word.span().start, format!("`{field}`: `{}` is no action; write {known}", word.get_ref()));
        }
        action
    }

    /// The names of a list; `None` inside when it names everything.
    fn names<T>(
        &mut self,
        field: &str,
        list: Option<Vec<Spanned<String>>>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Option<Vec<T>>> {
        let Some(list) = list else { return Some(None) };
        let mut good = Some(Vec::new());
        for name in &list {
            match read(name.get_ref()) {
                Ok(value) => {
                    if let Some(good) = &mut good {
                        good.push(value);
                    }
                }
                Err(said) => {
                    self.wrong(name.span().start, format!("`{field}`: `{}` {said}", name.get_ref()));
                    good = None;
                }
            }
        }
        let all = list.iter().any(|name| name.get_ref() == ALL);
        good.map(|good| if all { None } else { Some(good) })
    }

    fn classes(&mut self, list: Option<Vec<Spanned<String>>>, action: Option<Action>) -> Option<Option<Vec<Class>>> {
        let named = self.names("classes", list, |name| {
            // What is named for itself must be able to have the action; a group is raised where it cannot, but for credentials.
            let suits = |class: Class| match action {
                Some(action) if !action.suits(class) => Err(match class.is_secret() {
                    true => Unsuited::Credential { class, action },
                    false => Unsuited::Form { class, action, raised: action.raised(class) },
                }),
                _ => Ok(()),
            };
            if name == ALL {
                return Ok(Vec::new());
            }
            if let Some(group) = Group::named(name) {
                if group == Group::Credentials {
                    suits(Class::Password).map_err(|_| {
                        "leave no way back: write `mask` or `drop` as their `action`".to_owned()
                    })?;
                }
                return Ok(group.classes().collect());
            }
            let class = Class::named(name).ok_or_else(|| {
                let groups = listed(Group::EVERY.map(Group::as_str));
                format!("is no class and no group of classes; `hearth policy names` lists the classes, the groups are {groups}")
            })?;
            suits(class).map_err(|error| format!("cannot be given this action: {error}"))?;
            Ok(vec![class])
        })?;
        Some(named.map(|named| named.into_iter().flatten().collect()))
    }
}

/// `a, b or c`, each in backticks.
fn listed<const N: usize>(words: [&str; N]) -> String {
    let words = words.map(|word| format!("`{word}`"));
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.join(""),
    }
}
