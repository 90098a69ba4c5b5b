//! A policy as a machine asks it: one byte for each source, destination and class.
//!
//! Total by construction: each cell begins as the default, rules only make it stricter among themselves, and whatever has no cell, an
//! unknown source or destination, is dropped.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{
    axes::{self, AWAY, DESTINATIONS, SOURCES},
    document::{self, BadPolicy, Rule},
};
use crate::{
    class::Class,
    operators::{Action, CLASSES, Row},
};

/// A compiled policy.
#[derive(Clone, PartialEq, Eq)]
pub struct Table {
    sources: Vec<String>,
    destinations: Vec<String>,
    /// By source, then destination, then class.
    cells: Box<[Action]>,
}

/// One source and one destination, looked up once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route(Option<usize>);

impl Route {
    /// Tells whether the policy knows both ends; where it does not, everything is dropped.
    pub const fn is_known(self) -> bool {
        self.0.is_some()
    }
}

impl Table {
    /// What holds without a policy: everything that is found is masked.
    pub fn standard() -> Self {
        Self::parse(include_str!("standard.toml")).expect("a test reads the built-in policy")
    }

    /// Reads a policy and compiles it.
    ///
    /// # Errors
    /// Names each mistake with its line and what to do.
    pub fn parse(text: &str) -> Result<Self, BadPolicy> {
        let policy = document::read(text)?;
        let named = |kinds: &[&str], of: fn(&Rule) -> Option<&Vec<String>>| {
            let particular: BTreeSet<&String> =
                policy.rules.iter().filter_map(of).flatten().filter(|name| name.contains(':')).collect();
            kinds.iter().map(|kind| (*kind).to_owned()).chain(particular.into_iter().cloned()).collect::<Vec<_>>()
        };
        let sources = named(&SOURCES, |rule| rule.sources.as_ref());
        let destinations = named(&DESTINATIONS, |rule| rule.destinations.as_ref());
        let mut cells = Vec::with_capacity(sources.len() * destinations.len() * CLASSES);
        for source in &sources {
            for destination in &destinations {
                let holding: Vec<&Rule> =
                    policy.rules.iter().filter(|rule| rule.speaks_of(source, destination)).collect();
                for class in Class::ALL {
                    let said = holding.iter().filter(|rule| rule.holds(*class)).map(|rule| rule.action);
                    let action = said.reduce(Action::stricter).unwrap_or(policy.default);
                    cells.push(action.raised(*class));
                }
            }
        }
        Ok(Self { sources, destinations, cells: cells.into() })
    }

    /// Looks a source and a destination up. One of a kind that the policy does not name has the row of its kind.
    pub fn route(&self, source: &str, destination: &str) -> Route {
        let place = |names: &[String], name: &str| names.iter().position(|known| known == name);
        let kind = || place(&self.sources, axes::kind(source)).filter(|_| axes::is_source(source));
        let source = place(&self.sources, source).or_else(kind);
        let destination = place(&self.destinations, destination);
        Route(source.zip(destination).map(|(s, d)| (s * self.destinations.len() + d) * CLASSES))
    }

    /// What happens to a class on a route: one look-up.
    pub fn action(&self, route: Route, class: Class) -> Action {
        let cell = route.0.and_then(|start| self.cells.get(start + class as usize));
        cell.copied().unwrap_or(Action::Drop)
    }

    /// What happens to each class on a route.
    pub fn row(&self, route: Route) -> Row {
        let mut row = Row::DROP;
        for class in Class::ALL {
            row.0[*class as usize] = self.action(route, *class);
        }
        row
    }

    /// The sources that have rows of their own.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(String::as_str)
    }

    /// The destinations that have cells.
    pub fn destinations(&self) -> impl Iterator<Item = &str> {
        self.destinations.iter().map(String::as_str)
    }

    /// How many cells there are.
    pub const fn cells(&self) -> usize {
        self.cells.len()
    }

    /// Returns 16 hexadecimal digits that name what the policy says, however it is written.
    pub fn version(&self) -> String {
        let mut hash = Sha256::new_with_prefix(b"hearth/policy/1");
        for name in self.sources.iter().chain([&String::new()]).chain(&self.destinations) {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
        }
        let cells: Vec<u8> = self.cells.iter().map(|action| *action as u8).collect();
        HEXLOWER.encode(&hash.chain_update(cells).finalize()[..8])
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({}, {} cells)", self.version(), self.cells())
    }
}

impl Rule {
    fn speaks_of(&self, source: &str, destination: &str) -> bool {
        let from = |name: &String| name == source || name == axes::kind(source);
        let to = |name: &String| name == destination || (name == AWAY && axes::is_away(destination));
        self.sources.as_ref().is_none_or(|names| names.iter().any(from))
            && self.destinations.as_ref().is_none_or(|names| names.iter().any(to))
    }

    fn holds(&self, class: Class) -> bool {
        self.classes.as_ref().is_none_or(|classes| classes.contains(&class))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOME: &str = r#"
        version = 1
        default = "mask"

        [[rule]]
        sources = ["mail", "chat"]
        classes = ["contact"]
        destinations = ["here"]
        action = "pseudonym"

        [[rule]]
        sources = ["mail:work"]
        classes = ["personal"]
        action = "vault"

        [[rule]]
        classes = ["credit_card"]
        destinations = ["residency:study"]
        action = "partial"

        [[rule]]
        sources = ["clipboard"]
        classes = ["credentials"]
        action = "drop"
    "#;

    fn asked(table: &Table, source: &str, class: Class, destination: &str) -> Action {
        table.action(table.route(source, destination), class)
    }

    #[test]
    fn each_cell_has_what_its_rules_say_or_the_default() {
        let table = Table::parse(HOME).expect("a good policy");
        for (case, source, class, destination, action) in [
            ("a rule speaks of it", "mail", Class::Email, "here", Action::Pseudonym),
            ("of its kind", "mail:private", Class::Email, "here", Action::Pseudonym),
            ("the stricter of two", "mail:work", Class::Email, "here", Action::Vault),
            ("no rule for the destination", "mail", Class::Email, "export", Action::Mask),
            ("no rule for the source", "files", Class::Email, "here", Action::Mask),
            ("a residency", "files", Class::CreditCard, "residency:study", Action::Partial),
            ("a credential", "clipboard", Class::Jwt, "here", Action::Drop),
            ("a credential elsewhere", "files", Class::Jwt, "here", Action::Mask),
            ("an unknown source", "telepathy", Class::Email, "here", Action::Drop),
            ("an unknown destination", "mail", Class::Email, "cloud", Action::Drop),
            ("an unknown residency", "mail", Class::Email, "residency:cloud", Action::Drop),
            ("a name that is none", "mail:*", Class::Email, "here", Action::Drop),
        ] {
            assert_eq!(asked(&table, source, class, destination), action, "{case}");
        }
        let row = table.row(table.route("mail:work", "here"));
        assert_eq!((row.action(Class::Email), row.action(Class::Password)), (Action::Vault, Action::Mask));
        assert_eq!(table.cells(), 14 * 6 * CLASSES);
        assert_eq!(size_of_val(&*table.cells), table.cells(), "a byte a cell");
    }

    #[test]
    fn the_built_in_policy_masks_what_is_found_and_drops_what_is_unknown() {
        let table = Table::standard();
        assert_eq!(table.row(table.route("files", "here")), Row::MASK);
        assert_eq!(table.row(table.route("files", "elsewhere")), Row::DROP);
        assert!(table.route("mail:work", "here").is_known() && !table.route("files", "elsewhere").is_known());
        assert_eq!(table, Table::parse("version=1\ndefault='mask'").expect("the same in other words"));
    }

    #[test]
    fn a_mistake_is_said_with_its_line_and_what_to_do() {
        for (written, said) in [
            (
                "version = 2\ndefault = 'mask'",
                "line 1: version 2 of policies is not known; write `version = 1`, or update hearth",
            ),
            (
                "version = 1\ndefault = 'hash'",
                "line 2: `default`: `hash` is no action; write `keep`, `partial`, `fpe`, `pseudonym`, `vault`, `mask` or `drop`",
            ),
            ("version = 1", "line 1: missing field `default`; docs/redaction.md shows a policy"),
            (
                "version = 1\ndefault = 'mask'\ndefalt = 1",
                "line 3: unknown field `defalt`, expected one of `version`, `default`, `rule`; docs/redaction.md shows a policy",
            ),
            (
                "version = 1\ndefault = 'mask'\n[[rule]]\nclass = []\naction = 'mask'",
                "line 4: unknown field `class`, expected one of `sources`, `classes`, `destinations`, `action`, `why`; docs/redaction.md shows a policy",
            ),
            (
                "version = 1\ndefault = 'mask'\n[[rule]]\naction = 'mask'\nsources = ['mial']",
                "line 5: `sources`: `mial` is no source; write `files`, `notes`, `shell-history`, `journald`, `browser`, `mail`, `chat`, `clipboard`, `git`, `feed`, `import`, `plugin` or `pipe`, one of a kind as `mail:work`, or `*`",
            ),
            (
                "version = 1\ndefault = 'mask'\n[[rule]]\naction = 'mask'\ndestinations = ['cloud']",
                "line 5: `destinations`: `cloud` is no destination; write `here`, `fleet`, `live`, `export` or `output`, `residency:` and a name, `away` for all other devices, or `*`",
            ),
            (
                "version = 1\ndefault = 'mask'\n[[rule]]\naction = 'mask'\nclasses = [\n'email',\n'emial']",
                "line 7: `classes`: `emial` is no class and no group of classes; `hearth policy names` lists the classes, the groups are `credentials`, `personal`, `contact`, `names`, `payment`, `network`, `moment` or `identity`",
            ),
            (
                "version = 1\ndefault = 'mask'\n[[rule]]\naction = 'vault'\nclasses = ['password']",
                "line 5: `classes`: `password` cannot be given this action: `password` is a credential, and credentials leave no way back: write `mask` or `drop`, not `vault`",
            ),
            (
                "version = 1\ndefault = 'mask'\n[[rule]]\naction = 'keep'\nclasses = ['credentials']",
                "line 5: `classes`: `credentials` leave no way back: write `mask` or `drop` as their `action`",
            ),
            (
                "version = 1\ndefault = 'mask'\n[[rule]]\naction = 'fpe'\nclasses = ['phone']",
                "line 5: `classes`: `phone` cannot be given this action: `fpe` is not known for `phone`; write `pseudonym`, the next stricter action",
            ),
            (
                "version = 1\ndefault = 'a'\n[[rule]]\naction = 'b'",
                "line 2: `default`: `a` is no action; write `keep`, `partial`, `fpe`, `pseudonym`, `vault`, `mask` or `drop`\nline 4: `action`: `b` is no action; write `keep`, `partial`, `fpe`, `pseudonym`, `vault`, `mask` or `drop`",
            ),
        ] {
            assert_eq!(Table::parse(written).expect_err(written).to_string(), said);
        }
    }

    #[test]
    fn a_version_names_what_is_said_and_not_how() {
        let one = Table::parse(HOME).expect("a good policy");
        assert_eq!(one.version(), Table::parse(&format!("# a remark\n{HOME}")).expect("the same").version());
        assert_ne!(one.version(), Table::standard().version());
        assert_eq!(one.version().len(), 16);
    }

    /// Documents that say anything at all.
    fn any_policy() -> impl Strategy<Value = (Vec<String>, Action)> {
        let action = || prop::sample::select(Action::ALL.to_vec());
        let list =
            |names: Vec<&'static str>| prop::option::of(prop::collection::vec(prop::sample::select(names), 1..4));
        let rule = (
            list(vec!["files", "mail", "mail:work", "*", "plugin:x"]),
            list(vec!["email", "personal", "credentials", "payment", "dob", "*"]),
            list(vec!["here", "away", "residency:study", "*", "output"]),
            action(),
        );
        let written = rule.prop_map(|(sources, classes, destinations, action)| {
            let secret = classes.iter().flatten().any(|class| *class == "credentials") && action < Action::Mask;
            let form = classes.iter().flatten().any(|c| Class::named(c).is_some_and(|class| !action.suits(class)));
            let action = if secret || form { Action::Mask } else { action };
            let field =
                |name: &str, list: Option<Vec<&str>>| list.map_or_else(String::new, |l| format!("{name} = {l:?}\n"));
            format!(
                "[[rule]]\n{}{}{}action = \"{action}\"\n",
                field("sources", sources),
                field("classes", classes),
                field("destinations", destinations)
            )
        });
        (prop::collection::vec(written, 0..6), action())
    }

    fn compiled(rules: &[String], default: Action) -> Table {
        Table::parse(&format!("version = 1\ndefault = \"{default}\"\n{}", rules.concat())).expect("a good policy")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_cell_has_an_action_that_its_class_can_be_given((rules, default) in any_policy(), source in "[a-z:]{0,8}", destination in "[a-z:]{0,8}") {
            let table = compiled(&rules, default);
            prop_assert_eq!(table.cells(), table.sources().count() * table.destinations().count() * CLASSES);
            for class in Class::ALL {
                for from in table.sources().chain([source.as_str()]) {
                    for to in table.destinations().chain([destination.as_str()]) {
                        let action = asked(&table, from, *class, to);
                        prop_assert!(action.suits(*class), "{from} {class} {to} {action}");
                        prop_assert!(!class.is_secret() || action >= Action::Mask);
                    }
                }
            }
        }

        #[test]
        fn the_order_of_rules_says_nothing((rules, default) in any_policy()) {
            let mut turned = rules.clone();
            turned.reverse();
            prop_assert_eq!(compiled(&rules, default), compiled(&turned, default));
        }

        #[test]
        fn a_rule_more_never_loosens_what_rules_said((rules, _) in any_policy(), more in any_policy()) {
            // Against the strictest default, so that only what rules say is compared.
            let before = compiled(&rules, Action::Keep);
            let after = compiled(&[rules, more.0].concat(), Action::Keep);
            for class in Class::ALL {
                for from in before.sources() {
                    for to in before.destinations() {
                        prop_assert!(asked(&after, from, *class, to) >= asked(&before, from, *class, to));
                    }
                }
            }
        }

        #[test]
        fn whatever_is_written_is_read_or_refused_with_a_line(text in "(\\PC|\n|version = 1\n|default = \"mask\"\n|\\[\\[rule\\]\\]\n|action = \"drop\"\n|sources = \\[\"|\"\\]\n){0,12}") {
            if let Err(bad) = Table::parse(&text) {
                prop_assert!(bad.mistakes.iter().all(|mistake| mistake.line >= 1 && !mistake.said.is_empty()));
            }
        }
    }
}
