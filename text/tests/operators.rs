//! Laws of the operators over whole texts, found and treated: twice is once, and no credential comes back.
//!
//! All values are invented. The engine is the one that ships; nothing here tells it where to look.
#![forbid(unsafe_code)]

use hearth_text::{
    Class, Policy, Raw, Rules,
    operators::{Action, MemoryShelf, Operators, Outcome, Row, Tally, TokenKey, Vault, VaultKey},
};
use proptest::prelude::*;

fn operators() -> Operators {
    let vault = Vault::new(0, VaultKey::from_entropy([2; 32]), Box::<MemoryShelf>::default());
    Operators::with_key(TokenKey::from_bytes([1; 32]), 0).at_home_in("49").with_vault(vault)
}

fn under(policy: Policy, row: &Row, text: &str) -> (Option<String>, Tally) {
    let (outcome, tally) = Rules::with_policy(policy).redact_under(Raw::new(text), row, &mut operators());
    match outcome {
        Outcome::Said(said) => (Some(said.as_str().to_owned()), tally),
        Outcome::Dropped(_) => (None, tally),
    }
}

/// Digits that Luhn's sum likes.
fn with_luhn(body: &str) -> String {
    let check = (0..10).find(|check| {
        let digits: Vec<u32> = format!("{body}{check}").bytes().rev().map(|b| u32::from(b - b'0')).collect();
        let sum: u32 =
            digits.iter().enumerate().map(|(i, d)| if i % 2 == 0 { *d } else { d * 2 / 10 + d * 2 % 10 }).sum();
        sum.is_multiple_of(10)
    });
    format!("{body}{}", check.expect("one of ten fits"))
}

/// A German account with check digits that come out.
fn account(body: &str) -> String {
    let rest = format!("{body}131400").bytes().fold(0_u64, |rest, b| (rest * 10 + u64::from(b - b'0')) % 97);
    format!("DE{:02}{body}", 98 - rest)
}

fn spaced(digits: &str) -> String {
    digits.as_bytes().chunks(4).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ")
}

/// Invented values, each with the words it may stand between.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{3,8}(\\.[a-z]{2,6})?@[a-z]{3,9}\\.(org|com|de)",
        "[a-z]{3,8}@Example\\.ORG",
        "4[0-9]{14}".prop_map(|body| spaced(&with_luhn(&body))),
        "5[1-5][0-9]{13}".prop_map(|body| with_luhn(&body)),
        "37[0-9]{12}".prop_map(|body| with_luhn(&body)),
        "[1-9][0-9]{17}".prop_map(|body| account(&body)),
        "[1-9][0-9]{17}".prop_map(|body| spaced(&account(&body))),
        "\\+49 (30|40|89) [2-9][0-9]{6}",
        "\\+1 [2-9][0-9]{2} [2-9][0-9]{2} [0-9]{4}",
        "0171 [2-9][0-9]{6}",
        "[2-5][0-9]{2}-[1-9][0-9]-[1-9][0-9]{3}",
        "(8|9|13)\\.[1-9][0-9]?\\.[1-9][0-9]?\\.[1-9][0-9]?",
        "password=[a-z]{6}[0-9]{4}",
        "ghp_[A-Za-z0-9]{36}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "",
        "mail ",
        "call ",
        "phone: ",
        "card ",
        "card number: ",
        "iban ",
        "account=",
        "\"to\": \"",
        "ssn ",
        "from <",
        "tel. ",
        "at ",
        "host=",
        "see ",
        "bought milk; ",
        "id: ",
        "ref ",
        "(",
    ]);
    let ends = prop::sample::select(vec!["", " now", "\n", ", ", "\"", ">", ")", ".", " x ", "; "]);
    prop::collection::vec((words, value(), ends), 1..4)
        .prop_map(|parts| parts.into_iter().map(|(a, b, c)| format!("{a}{b}{c}")).collect::<Vec<_>>().join(" "))
}

/// Whether the engine finds nothing more when all is masked: what it finds only then, operators cannot help.
fn stands(policy: Policy, text: &str) -> bool {
    let rules = Rules::with_policy(policy);
    let once = rules.redact(Raw::new(text));
    rules.redact(Raw::new(once.as_str())).as_str() == once.as_str()
}

fn any_action() -> impl Strategy<Value = Action> {
    prop::sample::select(Action::ALL.to_vec())
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop::sample::select(vec![Policy::STANDARD, Policy::ALL])
}

#[test]
fn a_person_has_one_pseudonym_in_all_texts() {
    let row = Row::of(Action::Pseudonym);
    let said = |text| under(Policy::STANDARD, &row, text).0.expect("nothing is dropped");
    let token = said("alice.meyer@example.com").trim().to_owned();
    assert!(token.starts_with("<email:") && token.len() == 26, "{token}");
    assert_eq!(said("mail Alice.Meyer@example.com now"), format!("mail {token} now"));
    assert_ne!(said("bob.meyer@example.com"), token);
}

#[test]
fn a_record_is_dropped_by_type_and_counted() {
    let (said, tally) = under(Policy::STANDARD, &Row::DROP, "mail alice.meyer@example.com now");
    assert_eq!((said, tally.of(Class::Email, Action::Drop)), (None, 1));
    assert_eq!(under(Policy::STANDARD, &Row::DROP, "buy milk").0.as_deref(), Some("buy milk"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn redacting_twice_changes_nothing(text in text(), action in any_action(), policy in any_policy()) {
        prop_assume!(stands(policy, &text));
        let row = Row::of(action);
        if let Some(once) = under(policy, &row, &text).0 {
            let twice = under(policy, &row, &once).0;
            prop_assert_eq!(twice, Some(once), "{}", text);
        }
    }

    #[test]
    fn a_credential_leaves_nothing_behind(
        secret in "[f-jq-z]{5}[0-9]{5}[A-Z]{5}", before in "[a-z ]{0,20}", action in any_action(),
    ) {
        let text = format!("{before} password={secret} and token ghp_{secret}{secret}abcdef");
        let (said, tally) = under(Policy::ALL, &Row::of(action), &text);
        let hidden = tally.of(Class::Password, Action::Mask) + tally.of(Class::ApiKey, Action::Mask);
        prop_assume!(hidden == 2 || said.is_none()); // a sample of a password is none
        if let Some(said) = said {
            prop_assert!(!said.contains(&secret) && !said.contains("<password:") && !said.contains("<api_key:"), "{said}");
            for end in [&secret[..4], &secret[11..]] {
                prop_assert!(!said.contains(end), "{said}");
            }
        }
    }

    #[test]
    fn another_number_of_the_same_form_is_never_found(
        body in "4[0-9]{14}", account_body in "[1-9][0-9]{17}",
        before in prop::sample::select(vec!["", "card ", "card: ", "pay ", "iban=", "no. ", "account: "]),
    ) {
        for number in [with_luhn(&body), spaced(&with_luhn(&body)), account(&account_body), spaced(&account(&account_body))] {
            let (said, tally) = under(Policy::ALL, &Row::of(Action::Fpe), &format!("{before}{number} end"));
            let said = said.expect("nothing is dropped");
            let reshaped = tally.of(Class::CreditCard, Action::Fpe) + tally.of(Class::Iban, Action::Fpe);
            if reshaped == 1 {
                prop_assert_eq!(said.len(), before.len() + number.len() + 4);
                prop_assert!(Rules::with_policy(Policy::ALL).redact_with_spans(Raw::new(said.as_str())).1.is_empty(), "{}", said);
            }
        }
    }

    #[test]
    fn any_text_at_all_is_treated_once(text in "(\\PC|[\n\"'=:@<> ]|password| <email: |alice@example.com|<email:abcdefghijklmnopqr>){0,40}", action in any_action()) {
        prop_assume!(stands(Policy::STANDARD, &text));
        let row = Row::of(action);
        if let Some(once) = under(Policy::STANDARD, &row, &text).0 {
            prop_assert_eq!(under(Policy::STANDARD, &row, &once).0, Some(once));
        }
    }
}
