//! Where this machine is at home, as its locale says.

use std::{fs::File, io::Read};

/// Variables that say it, the stronger first (locale(7)).
const VARIABLES: [&str; 3] = ["LC_ALL", "LC_IDENTIFICATION", "LANG"];
/// Files that say it to those who are started without the variables (locale.conf(5), and where Debian writes it).
const FILES: [&str; 2] = ["/etc/locale.conf", "/etc/default/locale"];
/// Such a file is never longer.
const FILE_MAX: u64 = 4096;

/// Returns the locale, such as `de_DE.UTF-8`; none if nothing says it.
pub fn of_machine() -> Option<String> {
    let variable = |name| std::env::var_os(name).and_then(|value| value.into_string().ok());
    let by_variable = VARIABLES.into_iter().filter_map(variable).find(|locale| !locale.is_empty());
    by_variable.or_else(|| {
        FILES.into_iter().find_map(|file| {
            let mut text = String::new();
            File::open(file).ok()?.take(FILE_MAX).read_to_string(&mut text).ok()?;
            in_file(&text)
        })
    })
}

/// The locale that a file of assignments says.
fn in_file(text: &str) -> Option<String> {
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim_matches(['"', '\'']))
    };
    VARIABLES.into_iter().filter_map(value).find(|locale| !locale.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_the_locale_by_its_strongest_line() {
        for (text, expected) in [
            ("LANG=de_DE.UTF-8\n", Some("de_DE.UTF-8")),
            ("# set at installation\nLANG=\"en_US.UTF-8\"\nLC_ALL='fr_FR.UTF-8'\n", Some("fr_FR.UTF-8")),
            ("LANGUAGE=de\nLANG=\n", None),
            ("", None),
        ] {
            assert_eq!(in_file(text).as_deref(), expected, "{text:?}");
        }
    }
}
