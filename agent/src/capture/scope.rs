//! Which paths may be captured: the named folders, less what the never-list, ignore files and leading dots leave out.
//!
//! One function, [`Folder::verdict`], decides for the walk, for the watch and for `why`, so that they cannot disagree. It
//! reads ignore files and asks what lies in a folder; it opens nothing that is captured.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

use super::{SkipReason, files, never};

/// Ignore files larger than this are not read further, so that a hostile one costs no memory.
const IGNORE_FILE_MAX: u64 = 256 << 10;

/// The folders that were named, resolved and sorted, and what holds for all of them.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// Absolute, without links, sorted as scans go, none twice. One may lie in another.
    pub(crate) roots: Vec<PathBuf>,
    /// Hidden names are captured as others are.
    pub(crate) hidden: bool,
    /// Folders that belong to hearth itself.
    pub(crate) own: Vec<PathBuf>,
}

/// A folder on the way down, with the ignore rules that hold in it.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    rules: [Gitignore; 3],
    /// Rules of git end here: this is the top of a repository.
    repository: bool,
    parent: Option<Arc<Folder>>,
}

/// The kinds of ignore files; an earlier one outranks a later one wherever they lie, as in other tools that read them.
const KINDS: [&str; 3] = [".hearthignore", ".ignore", ".gitignore"];
const GIT: usize = 2;

impl Scope {
    pub(crate) fn new(roots: &[PathBuf], hidden: bool, own: &[PathBuf]) -> Self {
        let resolve = |path: &PathBuf| {
            fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.clone())
        };
        let mut roots: Vec<PathBuf> = roots.iter().map(resolve).collect();
        roots.sort(); // paths compare name by name, which is the order of scans
        roots.dedup();
        Self { roots, hidden, own: own.iter().map(resolve).collect() }
    }

    /// The named folder that holds this path: the innermost one.
    pub(crate) fn root_of(&self, path: &Path) -> Option<&Path> {
        self.roots.iter().rev().find(|root| path.starts_with(root)).map(PathBuf::as_path)
    }

    pub(crate) fn is_root(&self, path: &Path) -> bool {
        self.roots.binary_search_by(|root| root.as_path().cmp(path)).is_ok()
    }

    /// Tells whether a named folder lies somewhere below this one.
    pub(crate) fn leads_to_root(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| root != path && root.starts_with(path))
    }

    /// Why nothing at all is captured below a named folder, if that is so.
    pub(crate) fn refuses_root(&self, root: &Path) -> Option<SkipReason> {
        let is_dir = root.is_dir();
        let hearth = self.own.iter().any(|own| root.starts_with(own)).then_some(never::HEARTH_DATA);
        hearth
            .or_else(|| never::secret_above(root, is_dir).map(|rule| rule.name))
            .map(|rule| SkipReason::NeverList { rule: rule.into() })
    }
}

impl Folder {
    /// Enters a named folder: ignore files above it hold too, up to the top of its repository.
    pub(crate) fn root(path: &Path) -> Arc<Self> {
        let top = path.ancestors().find(|above| above.join(".git").exists());
        let mut parent: Option<Arc<Self>> = None;
        let above: Vec<&Path> = path.ancestors().skip(1).collect();
        for step in above.into_iter().rev() {
            let within = top.is_some_and(|top| step.starts_with(top));
            let kinds: &[&str] = if within { &KINDS } else { &KINDS[..1] };
            let folder = Self::read(step, kinds, parent.clone());
            if within || !folder.rules.iter().all(Gitignore::is_empty) {
                parent = Some(Arc::new(folder));
            }
        }
        Arc::new(Self::read(path, &KINDS, parent))
    }

    /// Enters a folder in this one.
    pub(crate) fn enter(self: &Arc<Self>, path: &Path) -> Arc<Self> {
        Arc::new(Self::read(path, &KINDS, Some(Arc::clone(self))))
    }

    fn read(path: &Path, kinds: &[&str], parent: Option<Arc<Self>>) -> Self {
        let repository = path.join(".git").exists();
        let rules = KINDS.map(|kind| {
            if !kinds.contains(&kind) {
                return Gitignore::empty();
            }
            let mut found = Vec::new();
            if kind == KINDS[GIT] && repository {
                found.push(path.join(".git/info/exclude"));
            }
            found.push(path.join(kind));
            ignore_rules(path, &found)
        });
        Self { path: path.to_owned(), rules, repository, parent }
    }

    /// Why this entry of the folder is left alone, if it is. Only its name and kind are looked at, and for a folder its
    /// cache tag.
    pub(crate) fn verdict(&self, scope: &Scope, path: &Path, is_dir: bool) -> Option<SkipReason> {
        let never = |rule: &'static str| Some(SkipReason::NeverList { rule: rule.into() });
        if scope.own.iter().any(|own| own == path) {
            return never(never::HEARTH_DATA);
        }
        if let Some(rule) = never::rule_for(path, is_dir) {
            return never(rule.name);
        }
        if is_dir && is_tagged_cache(path) {
            return never(never::CACHE_TAG);
        }
        if is_dir && path.join("pyvenv.cfg").is_file() {
            return never("dependencies");
        }
        match self.ignored(path, is_dir) {
            Some(Ok(by)) => return Some(SkipReason::Ignored { by }),
            Some(Err(())) => return None,
            None => {}
        }
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        (hidden && !scope.hidden).then_some(SkipReason::Hidden)
    }

    /// What the ignore files say: `Ok` with the pattern that ignores it, `Err` when one re-includes it.
    fn ignored(&self, path: &Path, is_dir: bool) -> Option<Result<String, ()>> {
        for kind in 0..KINDS.len() {
            let mut folder = Some(self);
            while let Some(here) = folder {
                match here.rules[kind].matched(path, is_dir) {
                    Match::Ignore(glob) => {
                        let file = glob.from().map_or_else(String::new, |file| format!(" in {}", file.display()));
                        return Some(Ok(format!("`{}`{file}", glob.original())));
                    }
                    Match::Whitelist(_) => return Some(Err(())),
                    Match::None => {}
                }
                folder = if kind == GIT && here.repository { None } else { here.parent.as_deref() };
            }
        }
        None
    }
}

/// Reads ignore files without following links, waiting on a pipe or reading without end.
fn ignore_rules(folder: &Path, found: &[PathBuf]) -> Gitignore {
    let mut builder = GitignoreBuilder::new(folder);
    let mut any = false;
    for file in found {
        let Ok((opened, _)) = files::open_regular(file) else { continue };
        let mut text = Vec::new();
        if opened.take(IGNORE_FILE_MAX).read_to_end(&mut text).is_err() {
            continue;
        }
        let text = String::from_utf8_lossy(&text);
        for line in text.strip_prefix('\u{feff}').unwrap_or(&text).lines() {
            // A line that is no pattern is passed over, as git does.
            any |= builder.add_line(Some(file.clone()), line).is_ok();
        }
    }
    if any { builder.build().unwrap_or_else(|_| Gitignore::empty()) } else { Gitignore::empty() }
}

fn is_tagged_cache(folder: &Path) -> bool {
    let Ok((file, _)) = files::open_regular(&folder.join("CACHEDIR.TAG")) else { return false };
    let mut head = Vec::new();
    file.take(never::CACHE_TAG_SIGNATURE.len() as u64).read_to_end(&mut head).is_ok()
        && head == never::CACHE_TAG_SIGNATURE
}
