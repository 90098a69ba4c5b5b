//! What others rely on: the published shapes, and data folders that earlier programs wrote.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hearth_agent::{
    ask::{Answers, Ask, Checked, Found, Mode, Query, Status},
    node::{Node, NodeError, Settings},
};
use hearth_store::StoreError;
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_path_buf()
}

fn read_json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_published_schemas_are_those_of_the_types() {
    for (name, schema) in hearth_core::schema::schemas() {
        let published = read_json(&repository().join(format!("docs/api/schemas/{name}.schema.json")));
        assert_eq!(
            published,
            serde_json::to_value(&schema).expect("plain data"),
            "write docs/api/schemas/{name} anew: `hearth schema {name}`"
        );
    }
    let config = read_json(&repository().join("docs/api/schemas/config.schema.json"));
    let now = serde_json::to_value(hearth_agent::config::schema()).expect("plain data");
    assert_eq!(config, now, "write docs/api/schemas/config anew: `hearth config schema`");
}

#[test]
fn the_samples_are_what_the_types_write() {
    use hearth_core::{schema, session::Session};
    fn same<T: serde::de::DeserializeOwned + serde::Serialize>(name: &str) {
        let sample = read_json(&repository().join(format!("tests/data/schemas/{name}.json")));
        let read: T = serde_json::from_value(sample.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_value(read).expect("plain data"), sample, "{name}");
    }
    same::<schema::Item>("item");
    same::<schema::Chunk>("chunk");
    same::<Session>("session");
    same::<schema::Job>("job");
    same::<schema::Event>("event");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

fn bytes_below(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path).expect("listed").flatten() {
        if entry.path().is_dir() {
            all.extend(bytes_below(&entry.path()));
        } else {
            all.push((entry.path(), fs::read(entry.path()).expect("read")));
        }
    }
    all.sort();
    all
}

#[test]
fn a_folder_of_the_first_format_opens_with_everything_in_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = dir.path().join("data");
    for without in ["nothing", "state", "index"] {
        let _ = fs::remove_dir_all(&data);
        copy(&repository().join("tests/data/store-1"), &data);
        let _ = fs::remove_dir_all(data.join(without));
        let node = Node::open(&data, Settings::default()).expect("opened");
        let answer = |ask| node.answer(ask).expect("answered");
        let status: Status = serde_json::from_value(answer(Ask::Status)).expect("a status");
        assert_eq!(
            (status.items, status.pending, status.redactions.get("password")),
            (2, 0, Some(&1)),
            "without {without}"
        );
        for (text, mode) in [("heron", Mode::Keyword), ("a bird by the water", Mode::Vector)] {
            let query = Query { text: text.into(), limit: 1, mode, ..Query::default() };
            let found: Found = serde_json::from_value(answer(Ask::Search(query))).expect("hits");
            assert_eq!(found.hits[0].title, "Birds", "without {without}, {mode:?}");
        }
        let checked: Checked = serde_json::from_value(answer(Ask::Doctor)).expect("checks");
        let wrong: Vec<_> = checked
            .checks
            .iter()
            .filter(|check| !check.ok && !["disk", "permissions"].contains(&check.name.as_str()))
            .collect();
        assert!(wrong.is_empty(), "without {without}: {wrong:?}");
        node.close();
    }
}

#[test]
fn a_folder_of_a_newer_format_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = dir.path().join("data");
    copy(&repository().join("tests/data/store-1"), &data);
    fs::write(data.join("schema"), "hearth-data 2\n").expect("written");
    let before = bytes_below(&data);
    let refused = Node::open(&data, Settings::default()).expect_err("newer");
    assert!(matches!(refused, NodeError::Store(StoreError::Newer { found: 2, .. })), "{refused}");
    assert!(refused.to_string().contains("update hearth"), "{refused}");
    assert_eq!(bytes_below(&data), before);
}
