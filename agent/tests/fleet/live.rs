//! What a device keeps to itself and lets others find while it is awake.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::device::{Device, until};

/// Two devices; what the NAS captured stays there, and what the laptop captured is for the fleet.
fn pair() -> (Device, Device) {
    let (mut nas, mut laptop) = (Device::new("nas"), Device::new("laptop"));
    nas.write("boiler.md", "The boiler was serviced in October by Lindqvist.");
    laptop.write("bread.md", "Rye bread wants sourdough and caraway.");
    nas.up();
    laptop.up();
    nas.json(&["fleet", "create", "home", "--as", "nas"]);
    laptop.join(&nas);
    nas.comes_to_find("sourdough", &["bread"]);
    nas.comes_to_find("boiler", &["boiler"]);
    laptop.is_linked_to(&nas);
    (nas, laptop)
}

fn missing(found: &Value) -> String {
    let missing = found["missing"].as_array().expect("a list").iter();
    missing.map(|sentence| sentence.as_str().expect("text")).collect::<Vec<_>>().join("; ")
}

#[test]
fn what_stays_on_one_is_found_by_the_other_once_its_owner_says_so_and_while_it_is_awake() {
    let (mut nas, laptop) = pair();
    assert!(laptop.finds("Lindqvist").is_empty(), "nobody said that it may be found");
    nas.json(&["session", "share", "--all", "--live"]);
    laptop.comes_to_find("Lindqvist", &["boiler"]);
    let found = laptop.json(&["search", "when was the heating looked after", "-n", "1"]);
    let hit = &found["hits"][0];
    assert_eq!(
        (&hit["title"], &hit["lineage"]["device"]),
        (&"boiler".into(), &"nas".into()),
        "by meaning, too: {found}"
    );
    assert_eq!((&hit["node"], missing(&found).as_str()), (&nas.json(&["status"])["node"], ""));
    assert!(hit["snippet"].as_str().expect("text").contains("October"), "{hit}");
    let id = hit["id"].as_str().expect("an id");
    let shown = laptop.json(&["show", id]);
    assert!(shown["text"].as_str().expect("text").contains("Lindqvist"));
    assert!(shown["open"].is_null(), "its path is on the other device");
    assert!(laptop.refused(&["forget", "--item", id, "--yes"]).contains("nas keeps it to itself"));
    let both = laptop.json(&["search", "sourdough boiler", "--mode", "keyword"]);
    assert_eq!(both["hits"].as_array().map(Vec::len), Some(2), "what is here and what is there is one answer: {both}");
    let filtered = laptop.json(&["search", "boiler", "--source", "import"]);
    assert!(filtered["hits"].as_array().expect("a list").is_empty(), "a filter counts there, too: {filtered}");

    nas.kill();
    let asleep = laptop.json(&["search", "Lindqvist", "--mode", "keyword"]);
    assert!(asleep["hits"].as_array().expect("a list").is_empty(), "{asleep}");
    until("the laptop says who is asleep", || {
        let said = missing(&laptop.json(&["search", "Lindqvist"]));
        if said.contains("1 device asleep or out of reach: nas, ") { Ok(()) } else { Err(said) }
    });
    assert!(laptop.refused(&["show", id]).contains("no item has this id"));
    let status = laptop.json(&["status"]);
    assert_eq!(
        (&status["items"], &status["from_fleet"]),
        (&1.into(), &0.into()),
        "it kept nothing of what it was shown"
    );
}

#[test]
fn who_is_not_named_finds_nothing_and_what_is_taken_back_is_found_no_more() {
    let (nas, laptop) = pair();
    let mut phone = Device::new("phone");
    phone.up();
    phone.join(&nas);
    phone.comes_to_find("sourdough", &["bread"]);
    phone.is_linked_to(&nas);
    nas.json(&["session", "share", "--all", "--live", "--with", "phone"]);
    phone.comes_to_find("Lindqvist", &["boiler"]);
    assert!(laptop.finds("Lindqvist").is_empty(), "it was not named");
    let id = phone.json(&["search", "boiler"])["hits"][0]["id"].as_str().expect("an id").to_owned();
    assert!(laptop.refused(&["show", &id]).contains("no item has this id"), "nor by its id");
    assert!(
        nas.refused(&["session", "share", "--all", "--live", "--with", "toaster"]).contains("no device of the fleet")
    );
    nas.json(&["session", "unshare", "--all"]);
    assert!(phone.finds("Lindqvist").is_empty(), "taken back");

    // To the whole fleet, and back to being found only while it is awake.
    nas.json(&["session", "share", "--all"]);
    laptop.comes_to_find("Lindqvist", &["boiler"]);
    nas.json(&["session", "share", "--all", "--live"]);
    until("the laptop has nothing of it any more, and finds it all the same", || {
        let fleet = laptop.json(&["status"]);
        let found = laptop.finds("Lindqvist");
        if fleet["from_fleet"] == 0 && found == ["boiler"] { Ok(()) } else { Err(format!("{found:?} {fleet}")) }
    });
}

#[test]
fn a_device_that_hangs_is_not_waited_for_and_is_named() {
    let (nas, laptop) = pair();
    nas.json(&["session", "share", "--all", "--live"]);
    laptop.comes_to_find("Lindqvist", &["boiler"]);
    nas.pause();
    let found = laptop.json(&["search", "bread"]);
    assert_eq!(found["hits"][0]["title"], "bread", "what is here is found");
    assert!(missing(&found).contains("nas did not answer in time"), "{found}");
    nas.resume();
    until("it answers again", || match missing(&laptop.json(&["search", "bread"])).as_str() {
        "" => Ok(()),
        said => Err(said.to_owned()),
    });
    laptop.comes_to_find("Lindqvist", &["boiler"]);
}

/// Every second document of the project's own on one device, the others on another, and all of them on a third, of no fleet: what the two
/// find together is what the one finds alone.
#[test]
fn two_find_together_what_one_would_find_alone() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let (mut nas, mut laptop, mut alone) = (Device::new("nas"), Device::new("laptop"), Device::new("alone"));
    let folders = [docs.clone(), docs.join("adr"), docs.join("operating")];
    let mut names = BTreeSet::new();
    for folder in folders {
        for file in fs::read_dir(folder).expect("it is there").flatten() {
            let (path, name) = (file.path(), file.file_name().into_string().expect("text"));
            if path.extension().is_some_and(|extension| extension == "md")
                && name != "README.md"
                && names.insert(name.clone())
            {
                let text = fs::read_to_string(path).expect("text");
                let half = if names.len().is_multiple_of(2) { &nas } else { &laptop };
                half.write(&name, &text);
                alone.write(&name, &text);
            }
        }
    }
    for device in [&mut nas, &mut laptop, &mut alone] {
        device.up();
        // Captured, redacted and embedded before anything is asked.
        device.json(&["index", device.dir.path().join("notes").to_str().expect("text")]);
    }
    nas.json(&["fleet", "create", "home", "--as", "nas"]);
    let status = laptop.json(&["status"]);
    laptop.join(&nas);
    laptop.json(&["session", "unshare", "--all"]);
    nas.json(&["session", "share", "--all", "--live"]);
    laptop.is_linked_to(&nas);
    laptop.comes_to_find(
        "incarnation equivocation",
        &alone.finds("incarnation equivocation").iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert_eq!(laptop.json(&["status"])["items"], status["items"], "it has nothing of the other's");

    let top = |device: &Device, question: &str, mode: &str| -> BTreeSet<String> {
        let found = device.json(&["search", question, "-n", "10", "--mode", mode]);
        let name = |hit: &Value| {
            let path = hit["path"].as_str().expect("a file");
            path.rsplit('/').next().expect("a name").to_owned()
        };
        found["hits"].as_array().expect("a list").iter().map(name).collect()
    };
    let (mut same, mut all) = (0, 0);
    for question in [
        "how is the desktop woken",
        "what happens when a device is lost",
        "where are keys kept on disk",
        "why is the log the truth",
        "how fast is a search",
        "what does the relay see",
        "broker password",
        "private mode",
        "retention of sessions",
        "how are secrets hidden",
        "embedding model hash",
        "fork of the chain",
        "coordinator page",
        "full disk",
        "forget a document everywhere",
        "what is measured",
        "backup and restore",
        "sqlite or sled",
        "network addresses allowed",
        "who decides what is captured",
    ] {
        for mode in ["hybrid", "vector", "keyword"] {
            let (wanted, got) = (top(&alone, question, mode), top(&laptop, question, mode));
            same += wanted.intersection(&got).count();
            all += wanted.len();
        }
    }
    println!("{same} of {all} hits are those of one index");
    assert!(all > 400 && same * 100 >= all * 95, "{same} of {all}");
}
