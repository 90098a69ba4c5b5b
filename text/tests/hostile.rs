//! Texts made to be slow or to lead a reader astray: whatever they are, they are read to their end.
//!
//! How fast is measured by `examples/redact_hostile.rs`; nothing here looks at a clock.

use hearth_text::{Policy, Raw, Rules};

#[test]
fn a_line_of_cookies_may_be_cut_anywhere() {
    let rules = Rules::with_policy(Policy::ALL);
    for n in 4070..4110 {
        let text = format!("cookie:{}=b1c2d3; sid=k3J9fhTq0Lx8vRz3", "a".repeat(n));
        assert!(rules.redact(Raw::new(text.as_str())).as_str().starts_with("cookie:a"), "{n}");
    }
}

#[test]
fn a_secret_is_hidden_behind_many_beginnings_of_others() {
    let rules = Rules::standard();
    for word in ["key ", "AKIA-", "$1$", "$2b$", "xoxb-", "eyJ.", "curl ", "su ", "sudo -S | ", "md5 ", "-----BEGIN "] {
        let text = format!("{}\npassword=k3J9fhTq0Lx8\n", word.repeat(9000));
        assert!(!rules.redact(Raw::new(text.as_str())).as_str().contains("k3J9fhTq0Lx8"), "{word}");
    }
}
