//! Which lines the tests reach, against a floor for each part of the tree.
//!
//! Measured by cargo-tarpaulin's ptrace engine, which needs no LLVM tools. Only crates with a floor are measured; `simd` has none,
//! because which of its lines run depends on the processor.

use crate::gates::left_out;
use crate::tally::Tally;
use crate::tree::{Tree, has_cargo_command};
use std::path::Path;

/// The least share of lines, in percent, that tests must reach in files whose path starts so.
///
/// The floors of whole crates come first, then those of the parts where a missed line costs most.
const FLOORS: [(&str, f64); 6] = [
    ("core/src/", 90.0),
    ("link/src/", 90.0),
    ("text/src/", 95.0),
    ("core/src/session", 95.0),
    ("core/src/segment", 95.0),
    ("agent/store/src/", 95.0),
];

const CRATES: [&str; 4] = ["hearth-core", "hearth-link", "hearth-text", "hearth-store"];

/// Runs the tests under tarpaulin and compares each part with its floor.
pub(crate) fn measure(tree: &Tree) -> Result<Tally, String> {
    if !has_cargo_command("tarpaulin") {
        let how = "cargo-tarpaulin is not installed; get it with `cargo install cargo-tarpaulin --locked`";
        return Ok(left_out("coverage", how));
    }
    let folder = tree.target().join("coverage");
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let mut command = tree.cargo();
    command
        .args(["tarpaulin", "--engine", "ptrace", "--skip-clean", "--out", "json", "--timeout", "600"])
        .arg("--output-dir")
        .arg(&folder)
        .arg("--target-dir")
        .arg(folder.join("build"));
    for name in CRATES {
        command.args(["--packages", name]);
    }
    println!("measuring coverage of {}", CRATES.join(", "));
    let status = command.status().map_err(|error| format!("cannot run cargo tarpaulin: {error}"))?;
    if !status.success() {
        return Err(format!("cargo tarpaulin ended with {status}; its message is above"));
    }
    let path = folder.join("tarpaulin-report.json");
    let report = std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let report = serde_json::from_slice(&report).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut tally = Tally::default();
    for (part, floor, share) in shares(&report, tree.root()) {
        tally += match share {
            None => {
                println!("coverage of {part}: no lines found there");
                Tally::fail()
            }
            Some(share) => {
                println!("coverage of {part}: {share:.1} % of lines, floor {floor} %");
                if share >= floor { Tally::pass() } else { Tally::fail() }
            }
        };
    }
    Ok(tally)
}

/// For each part: its name, its floor, and the share of lines reached, or `None` when the report has no line of it.
fn shares<'a>(
    report: &'a serde_json::Value,
    root: &'a Path,
) -> impl Iterator<Item = (&'static str, f64, Option<f64>)> + 'a {
    FLOORS.iter().map(move |(part, floor)| {
        let (mut covered, mut coverable) = (0.0, 0.0);
        for file in report["files"].as_array().into_iter().flatten() {
            let path = file["path"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
            let path = path.collect::<std::path::PathBuf>();
            if path.strip_prefix(root).is_ok_and(|path| path.to_string_lossy().starts_with(part)) {
                covered += file["covered"].as_f64().unwrap_or_default();
                coverable += file["coverable"].as_f64().unwrap_or_default();
            }
        }
        (*part, *floor, (coverable > 0.0).then(|| 100.0 * covered / coverable))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_up_by_part_and_a_part_without_lines_is_told_apart() {
        let report = serde_json::json!({"files": [
            {"path": ["/", "r", "core", "src", "id.rs"], "covered": 9, "coverable": 10},
            {"path": ["/", "r", "core", "src", "session.rs"], "covered": 10, "coverable": 10},
            {"path": ["/", "elsewhere", "core", "src", "id.rs"], "covered": 0, "coverable": 100},
        ]});
        let shares: Vec<_> = shares(&report, Path::new("/r")).collect();
        assert!(shares.contains(&("core/src/", 90.0, Some(95.0))));
        assert!(shares.contains(&("core/src/session", 95.0, Some(100.0))));
        assert!(shares.contains(&("text/src/", 95.0, None)));
    }
}
