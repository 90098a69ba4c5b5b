//! What carries names and addresses, and what looks like it.
//!
//! Names are made up. Only the classes of names are looked at.

use hearth_text::{Policy, Raw, Rules};
use proptest::prelude::*;

fn said(text: &str) -> String {
    Rules::with_policy(Policy { names: true, ..Policy::SECRETS }).redact(Raw::new(text)).into_parts().0
}

#[test]
fn what_stands_behind_a_carrier_is_hidden() {
    for (case, text, expected) in [
        ("a sender", "From: Eve Sommer <eve@lake.test>", "From: [person] <eve@lake.test>"),
        ("two readers", "To: Eve Sommer <a@b>, \"Adam Winter\" <c@d>", "To: [person] <a@b>, \"[person]\" <c@d>"),
        ("readers without addresses", "Cc: Eve Sommer, Adam Winter", "Cc: [person], [person]"),
        ("a trailer", "    Co-authored-by: Eve Sommer <e@a.test>", "    Co-authored-by: [person] <e@a.test>"),
        ("an author", "# Author: Eve M. Sommer", "# Author: [person]"),
        ("a package", "{\"author\": \"Eve Sommer\"}", "{\"author\": \"[person]\"}"),
        ("a greeting", "Dear Eve,", "Dear [person],"),
        ("a greeting to two words", "Hi Íngrid Álvarez, how", "Hi [person], how"),
        ("German", "Sehr geehrter Herr Dr. Wölfli,", "Sehr geehrter [person],"),
        ("a title", "saw Dr. Ida von Arx there", "saw [person] there"),
        ("what one is called", "my name is Eve Sommer and", "my name is [person] and"),
        ("who did it", "opened by Eve Sommer today", "opened by [person] today"),
        ("a farewell", "Best regards,\nEve Sommer\n", "Best regards,\n[person]\n"),
        (
            "homes",
            "/home/esommer/x C:\\Users\\eve\\y /Users/eve",
            "/home/[person]/x C:\\Users\\[person]\\y /Users/[person]",
        ),
        ("where one lives", "lives at 31 Fern Dale, East Lake, ML65 3QP now", "lives at [address] now"),
        ("a street behind its number", "at 12 Old Fern Street, Lakeville, VT 05401.", "at [address]."),
        ("a street before its number", "in der Lindenstraße 12, 10115 Berlin wohnt", "in der [address] wohnt"),
        ("a street in Sweden", "på Fernvägen 7 bor", "på [address] bor"),
        ("a street in France", "au 52, rue de la Paix, 75002 Paris", "au [address]"),
        ("a street in Spain", "en Calle Mayor 5 vive", "en [address] vive"),
        ("a flat", "to 641 Fernick 68 Apt. 4\n Lakeville\n Estonia 61234\n", "to [address]\n"),
    ] {
        assert_eq!(said(text), expected, "{case}");
    }
}

#[test]
fn what_only_looks_like_it_stays() {
    for (case, text) in [
        ("a greeting to nobody", "Dear Customer,\nHello World!\nHi all,"),
        ("a greeting that goes on", "Hello Kubernetes is here"),
        ("programs", "from: Path, to: Path\nauthor: string"),
        ("stand-ins", "/home/user/x /home/runner/y /Users/Shared /home/<name> /home/$USER"),
        ("paths of the web", "example.org/home/index /users/list"),
        ("a name of a file", "the file name is Config and"),
        ("no number", "on the Main Street, on the road"),
        ("via", "Via Python 3, via HTTP 2"),
        ("places", "located at the end of 3 lines"),
        ("a suite of tests", "Test Suite 12 passed"),
    ] {
        assert_eq!(said(text), text, "{case}");
    }
    let standard = "From: Eve Sommer\nDear Eve,\n/home/esommer";
    assert_eq!(Rules::standard().redact(Raw::new(standard)).as_str(), standard);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn carriers_take_any_text_and_stream_as_it_is_whole(
        text in "(\\PC|[\n ,.<>\"'()-]|É|ß|From:|To: |-by: |@author |author\": \"|Dear |Dr\\. |name is |Written by |Regards,\n|/home/|/Users/|lives at |Address: | Street| St\\.|straße |gasse |Rue |Via |Apt\\. |Suite |[0-9]{1,5}|Eve |Ölau ){0,40}",
        split in 0usize..200,
    ) {
        let rules = Rules::with_policy(Policy::ALL);
        let (one, two) = text.split_at(text.floor_char_boundary(split.min(text.len())));
        let mut stream = rules.stream();
        let mut streamed = stream.push(Raw::new(one)).into_parts().0;
        streamed.push_str(stream.push(Raw::new(two)).as_str());
        streamed.push_str(stream.finish().as_str());
        prop_assert_eq!(streamed, rules.redact(Raw::new(text)).into_parts().0);
    }

    #[test]
    fn names_are_hidden_whatever_stands_around_their_line(before in "\\PC{0,30}", after in "\\PC{0,30}") {
        let text = format!("{before}\nSigned-off-by: Eve Sommer <e@a.test>\n{after}");
        prop_assert!(!said(&text).contains("Sommer"));
    }
}
