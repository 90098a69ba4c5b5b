//! The pinned ONNX Runtime library, fetched once into the target folder for the tests that compare back ends.
//!
//! The wheel is pinned by version and hash in `onnxruntime.txt`; nothing is installed on the machine.

use crate::packages;
use crate::tree::Tree;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the library to use instead of the pinned one; also what the tests read.
pub(crate) const LIBRARY_VARIABLE: &str = "HEARTH_ORT_LIBRARY";
/// Makes the equality tests fail, not pass silently, when the library cannot be loaded.
pub(crate) const REQUIRE_VARIABLE: &str = "HEARTH_REQUIRE_ORT";

const VERSION: &str = "1.31.1";

/// Returns the absolute path of the library, from the environment, from an earlier run, or fetched now.
pub(crate) fn library(tree: &Tree) -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os(LIBRARY_VARIABLE).map(PathBuf::from) {
        return if named.is_absolute() && named.is_file() {
            Ok(named)
        } else {
            Err(format!("{LIBRARY_VARIABLE} is {}, which is not the absolute path of a file", named.display()))
        };
    }
    let folder = tree.target().join("onnxruntime").join(VERSION);
    if let Some(library) = unpacked(&folder) {
        return Ok(library);
    }
    packages::ensure(&[&packages::PIP], "the comparison with ONNX Runtime")?;
    fetch(tree, &folder)?;
    unpacked(&folder).ok_or_else(|| format!("the wheel of ONNX Runtime {VERSION} holds no libonnxruntime.so.{VERSION}"))
}

fn fetch(tree: &Tree, folder: &Path) -> Result<(), String> {
    let platform = match std::env::consts::ARCH {
        "x86_64" => "manylinux_2_28_x86_64",
        "aarch64" => "manylinux_2_28_aarch64",
        other => {
            return Err(format!("no ONNX Runtime wheel is pinned for {other}; name a library in {LIBRARY_VARIABLE}"));
        }
    };
    println!("fetching onnxruntime=={VERSION} for {platform} into {}", folder.display());
    let wheels = folder.join("wheel");
    python(
        Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"])
            .args(["--no-deps", "--only-binary=:all:", "--require-hashes"])
            .args(["--platform", platform, "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"])
            .arg("--requirement")
            .arg(tree.root().join("xtask/onnxruntime.txt"))
            .arg("--dest")
            .arg(&wheels),
    )?;
    let wheel = entries(&wheels)
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or("pip reported success and left no wheel")?;
    let unpacking = folder.join("unpacking");
    python(Command::new("python3").args(["-m", "zipfile", "--extract"]).args([&wheel, &unpacking]))?;
    // Renamed last, so that a run which was broken off leaves no half library behind.
    let name = format!("libonnxruntime.so.{VERSION}");
    std::fs::rename(unpacking.join("onnxruntime/capi").join(&name), folder.join(&name))
        .map_err(|error| format!("cannot keep {name} out of {}: {error}", wheel.display()))?;
    for leftover in [unpacking, wheels] {
        std::fs::remove_dir_all(&leftover)
            .map_err(|error| format!("cannot tidy {} away: {error}", leftover.display()))?;
    }
    Ok(())
}

fn python(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("cannot run python3: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("fetching ONNX Runtime {VERSION} failed ({status}); its message is above"))
    }
}

fn unpacked(folder: &Path) -> Option<PathBuf> {
    entries(folder).find(|path| {
        path.is_file() && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so."))
    })
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}
