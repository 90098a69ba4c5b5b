//! What another policy would change: cell by cell, in blocks that can be read, and in numbers of what was seen.
//!
//! It looks at two tables and at counts. There is no text in it, and none comes out.

use std::{collections::BTreeMap, fmt};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{Table, axes::Group};
use crate::{class::Class, operators::Action};

/// One cell that says something else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Change {
    /// Where from.
    pub source: String,
    /// What.
    pub class: Class,
    /// Where to.
    pub destination: String,
    /// What happens now.
    pub from: Action,
    /// What would happen.
    pub to: Action,
}

impl Change {
    /// Tells whether less would be hidden.
    pub fn loosens(&self) -> bool {
        self.to < self.from
    }
}

/// All cells in which two tables differ.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Diff {
    changes: Vec<Change>,
    sources: Vec<String>,
    destinations: Vec<String>,
}

/// Cells that change in the same way, named together: `mail, chat / email / here: mask -> pseudonym`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Block {
    /// From which sources; `*` for all.
    pub sources: String,
    /// Which classes and groups of classes.
    pub classes: String,
    /// To which destinations; `*` for all.
    pub destinations: String,
    /// What happens now.
    pub from: Action,
    /// What would happen.
    pub to: Action,
}

impl Block {
    /// Tells whether less would be hidden.
    pub fn loosens(&self) -> bool {
        self.to < self.from
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.loosens() { "looser" } else { "tighter" };
        let Self { sources, classes, destinations, from, to } = self;
        write!(f, "{sources} / {classes} / {destinations}: {from} -> {to} ({way})")
    }
}

impl Diff {
    /// Compares two tables. What only one of them knows is looked up in both: the other drops it, or treats it as its kind.
    pub fn between(now: &Table, then: &Table) -> Self {
        let both = |a: Vec<&str>, b: Vec<&str>| {
            let mut names: Vec<String> = a.into_iter().map(str::to_owned).collect();
            names.extend(
                b.into_iter()
                    .filter(|name| !names.iter().any(|known| known == name))
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            );
            names
        };
        let sources = both(now.sources().collect(), then.sources().collect());
        let destinations = both(now.destinations().collect(), then.destinations().collect());
        let mut changes = Vec::new();
        for source in &sources {
            for destination in &destinations {
                let (a, b) = (now.route(source, destination), then.route(source, destination));
                for class in Class::ALL {
                    let (from, to) = (now.action(a, *class), then.action(b, *class));
                    if from != to {
                        let (source, destination) = (source.clone(), destination.clone());
                        changes.push(Change { source, class: *class, destination, from, to });
                    }
                }
            }
        }
        Self { changes, sources, destinations }
    }

    /// The cells that change.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Tells whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// How many cells get stricter.
    pub fn tighter(&self) -> usize {
        self.changes.len() - self.looser()
    }

    /// How many cells get looser. Unless there are none, the change asks for a second confirmation.
    pub fn looser(&self) -> usize {
        self.changes.iter().filter(|change| change.loosens()).count()
    }

    /// Returns 16 hexadecimal digits that name these very changes: who confirms them confirms no others.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new_with_prefix(b"hearth/policy-diff/1");
        for Change { source, class, destination, from, to } in &self.changes {
            for part in [source.as_str(), class.as_str(), destination, from.as_str(), to.as_str()] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        HEXLOWER.encode(&hash.finalize()[..8])
    }

    /// The changes in as few lines as name them all, looser ones first.
    pub fn blocks(&self) -> Vec<Block> {
        // Classes of one route that change alike, then sources that agree on them, then destinations that agree on those.
        type Alike<'d, K> = BTreeMap<K, Vec<&'d str>>;
        let mut routes: BTreeMap<(&str, &str, Action, Action), Vec<Class>> = BTreeMap::new();
        for Change { source, class, destination, from, to } in &self.changes {
            routes.entry((source, destination, *from, *to)).or_default().push(*class);
        }
        let mut by_destination: Alike<'_, (&str, Action, Action, Vec<Class>)> = BTreeMap::new();
        for ((source, destination, from, to), classes) in routes {
            by_destination.entry((destination, from, to, classes)).or_default().push(source);
        }
        let mut blocks: Alike<'_, (Action, Action, Vec<Class>, Vec<&str>)> = BTreeMap::new();
        for ((destination, from, to, classes), sources) in by_destination {
            blocks.entry((from, to, classes, sources)).or_default().push(destination);
        }
        let mut blocks: Vec<Block> = blocks
            .into_iter()
            .map(|((from, to, classes, sources), destinations)| Block {
                sources: names(&self.sources, &sources),
                classes: groups(&classes),
                destinations: names(&self.destinations, &destinations),
                from,
                to,
            })
            .collect();
        blocks.sort_by_key(|block| (!block.loosens(), block.sources.clone(), block.classes.clone()));
        blocks
    }

    /// What these changes would mean for what was seen.
    pub fn forecast(&self, seen: &Seen) -> Forecast {
        let mut forecast = Forecast::default();
        let cells: BTreeMap<(&str, Class, &str), &Change> = self
            .changes
            .iter()
            .map(|change| ((change.source.as_str(), change.class, change.destination.as_str()), change))
            .collect();
        for ((source, class, destination), n) in &seen.0 {
            let kind = source.split_once(':').map_or(source.as_str(), |(kind, _)| kind);
            let own = self.sources.iter().any(|known| known == source);
            let row = if own { source.as_str() } else { kind };
            match cells.get(&(row, *class, destination.as_str())) {
                Some(change) => {
                    let sum = if change.loosens() { &mut forecast.looser } else { &mut forecast.tighter };
                    *sum = sum.saturating_add(*n);
                    forecast.rows.push((Change { source: source.clone(), ..(*change).clone() }, *n));
                }
                None => forecast.unchanged = forecast.unchanged.saturating_add(*n),
            }
        }
        forecast
    }
}

/// How many spans were seen, by source, class and destination.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Seen(BTreeMap<(String, Class, String), u64>);

impl Seen {
    /// Counts `n` more.
    pub fn add(&mut self, source: &str, class: Class, destination: &str, n: u64) {
        let count = self.0.entry((source.to_owned(), class, destination.to_owned())).or_insert(0);
        *count = count.saturating_add(n);
    }

    /// Returns how many there were in all.
    pub fn total(&self) -> u64 {
        self.0.values().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// What a change of policy would mean for what was seen. Numbers only.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Forecast {
    /// What would be treated otherwise, and how many.
    pub rows: Vec<(Change, u64)>,
    /// How many would be treated more strictly.
    pub tighter: u64,
    /// How many would be treated less strictly.
    pub looser: u64,
    /// How many would be treated as they are.
    pub unchanged: u64,
}

fn names(all: &[String], some: &[&str]) -> String {
    if all.len() == some.len() {
        return "*".to_owned();
    }
    let ordered: Vec<&str> = all.iter().map(String::as_str).filter(|name| some.contains(name)).collect();
    ordered.join(", ")
}

/// Names whole groups where all their classes are there, and single classes otherwise.
fn groups(classes: &[Class]) -> String {
    if classes.len() == Class::ALL.len() {
        return "*".to_owned();
    }
    let mut left = classes.to_vec();
    let mut said = Vec::new();
    for group in Group::EVERY {
        if group.classes().all(|class| left.contains(&class)) {
            left.retain(|class| !group.holds(*class));
            said.push(group.as_str());
        }
    }
    said.extend(left.iter().map(|class| class.as_str()));
    said.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rules: &str) -> Table {
        Table::parse(&format!("version = 1\ndefault = 'mask'\n{rules}")).expect("a good policy")
    }
    fn said(now: &Table, then: &Table) -> Vec<String> {
        Diff::between(now, then).blocks().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn changes_are_said_together_where_they_are_alike() {
        let old = table("");
        for (case, rules, lines) in [
            ("nothing", "", &[][..]),
            (
                "one cell",
                "[[rule]]\nsources=['journald']\nclasses=['email']\ndestinations=['fleet']\naction='pseudonym'",
                &["journald / email / fleet: mask -> pseudonym (looser)"],
            ),
            ("everything", "[[rule]]\naction='drop'", &["* / * / *: mask -> drop (tighter)"]),
            (
                "a group, and what it cannot be given",
                "[[rule]]\nsources=['mail','chat']\nclasses=['contact']\ndestinations=['here']\naction='partial'",
                &[
                    "mail, chat / email, phone / here: mask -> partial (looser)",
                    "mail, chat / tr_phone_number, ph_mobile_number / here: mask -> pseudonym (looser)",
                ],
            ),
            (
                "a residency that was unknown",
                "[[rule]]\ndestinations=['residency:study']\naction='mask'",
                &["* / * / residency:study: drop -> mask (looser)"],
            ),
        ] {
            assert_eq!(said(&old, &table(rules)), lines, "{case}");
        }
    }

    #[test]
    fn loosening_is_told_from_tightening_and_has_its_own_fingerprint() {
        let (old, new) = (table(""), table("[[rule]]\nclasses=['email']\naction='keep'"));
        let (there, back) = (Diff::between(&old, &new), Diff::between(&new, &old));
        assert_eq!((there.looser(), there.tighter()), (65, 0), "13 sources, 5 destinations");
        assert_eq!((back.looser(), back.tighter()), (0, 65));
        assert_ne!(there.fingerprint(), back.fingerprint());
        assert_eq!(there.fingerprint(), Diff::between(&old, &new).fingerprint());
        assert!(Diff::between(&old, &old).is_empty());
    }

    #[test]
    fn a_forecast_counts_what_was_seen_and_nothing_else() {
        let diff = Diff::between(
            &table(""),
            &table(
                "[[rule]]\nsources=['mail']\nclasses=['email']\naction='vault'\n[[rule]]\nclasses=['iban']\naction='drop'",
            ),
        );
        let mut seen = Seen::default();
        seen.add("mail:work", Class::Email, "here", 5);
        seen.add("files", Class::Email, "here", 7);
        seen.add("files", Class::Iban, "fleet", 2);
        seen.add("nowhere", Class::Iban, "fleet", 1);
        let forecast = diff.forecast(&seen);
        assert_eq!((forecast.looser, forecast.tighter, forecast.unchanged), (5, 2, 8));
        let rows: Vec<_> = forecast.rows.iter().map(|(c, n)| (c.source.as_str(), c.class, c.to, *n)).collect();
        assert_eq!(rows, [("files", Class::Iban, Action::Drop, 2), ("mail:work", Class::Email, Action::Vault, 5)]);
        assert_eq!(seen.total(), 15);
        seen.add("files", Class::Iban, "fleet", u64::MAX);
        assert_eq!(
            (diff.forecast(&seen).tighter, seen.total()),
            (u64::MAX, u64::MAX),
            "counts stop, they do not turn over"
        );
    }
}
