//! What is published as JSON Schema takes the samples and refuses what is wrong.
//!
//! That the schemas are those of the types is tested beside the types.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jsonschema::Validator;
use serde_json::{Value, json};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read_json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn published(name: &str) -> Validator {
    let schema = read_json(&repository().join(format!("docs/api/schemas/{name}.schema.json")));
    jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{name} is no schema: {error}"))
}

#[test]
fn every_sample_obeys_its_schema_and_none_does_without_most_of_its_members() {
    let mut samples = 0;
    for entry in fs::read_dir(repository().join("tests/data/schemas")).expect("listed").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let (validator, sample) = (published(&name), read_json(&path));
        let wrong: Vec<String> = validator.iter_errors(&sample).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        let Value::Object(members) = sample else { panic!("{name} is an object") };
        let is_needed = |key: &&String| {
            let mut less = members.clone();
            less.remove(*key);
            !validator.is_valid(&Value::Object(less))
        };
        // A few may be left out: what is null here, and what has a value that goes without saying.
        let (needed, all) = (members.keys().filter(is_needed).count(), members.len());
        assert!(needed * 3 >= all * 2, "{name} does with {needed} of its {all} members");
        samples += 1;
    }
    assert!(samples >= 5, "item, chunk, session, job and event have samples; {samples} were found");
}

#[test]
fn the_schema_of_the_configuration_takes_what_is_right_and_nothing_else() {
    let validator = published("config");
    let right = json!({
        "capture": { "settle": "2s" },
        "embed": { "threads": 4 },
        "page": { "listen": "127.0.0.1:1" },
    });
    assert!(
        validator.is_valid(&right),
        "{:?}",
        validator.iter_errors(&right).map(|e| e.to_string()).collect::<Vec<_>>()
    );
    for wrong in [
        json!({ "capture": { "settle": "2 s" } }),
        json!({ "capture": { "setle": "2s" } }),
        json!({ "embed": { "threads": 0 } }),
        json!({ "captur": {} }),
        json!({ "page": { "listen": "0.0.0.0:1" } }),
    ] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}
