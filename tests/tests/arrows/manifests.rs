//! The manifests of the workspace, as far as the rules ask.

use super::sources::root;
use toml::{Table, Value};

/// Where a dependency is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// By the crate itself.
    Normal,
    /// By its tests only.
    Dev,
    /// By its build script.
    Build,
}

/// One dependency as a manifest names it.
pub(crate) struct Dependency {
    /// The package's name.
    pub(crate) name: String,
    /// Where it is used.
    pub(crate) kind: Kind,
    /// Whether its version comes from the workspace's list.
    pub(crate) from_workspace: bool,
}

/// One crate's manifest.
pub(crate) struct Manifest {
    /// The package's name.
    pub(crate) name: String,
    /// All dependencies, of every kind and target.
    pub(crate) dependencies: Vec<Dependency>,
    /// Whether it takes the workspace's lints.
    pub(crate) inherits_lints: bool,
    package: Table,
}

impl Manifest {
    /// The manifests of all members.
    pub(crate) fn all() -> Vec<Self> {
        let workspace = read("Cargo.toml");
        let members = workspace["workspace"]["members"].as_array().expect("the workspace lists its members");
        members.iter().map(|member| Self::read(member.as_str().expect("a member is a path"))).collect()
    }

    /// Whether a key of `[package]` is the workspace's.
    pub(crate) fn inherits(&self, key: &str) -> bool {
        is_inherited(self.package.get(key))
    }

    fn read(member: &str) -> Self {
        let manifest = read(&format!("{member}/Cargo.toml"));
        let package = manifest["package"].as_table().expect("a member has a package").clone();
        let mut dependencies = Vec::new();
        collect(&manifest, &mut dependencies);
        for target in manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values) {
            collect(target.as_table().expect("a target is a table"), &mut dependencies);
        }
        Self {
            name: package["name"].as_str().expect("a package has a name").to_owned(),
            dependencies,
            inherits_lints: is_inherited(manifest.get("lints")),
            package,
        }
    }
}

fn collect(table: &Table, dependencies: &mut Vec<Dependency>) {
    for (section, kind) in
        [("dependencies", Kind::Normal), ("dev-dependencies", Kind::Dev), ("build-dependencies", Kind::Build)]
    {
        for (name, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
            let from_workspace = is_inherited(Some(value)) && value.get("version").is_none();
            dependencies.push(Dependency { name: name.clone(), kind, from_workspace });
        }
    }
}

fn is_inherited(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

fn read(path: &str) -> Table {
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}
