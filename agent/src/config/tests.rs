//! The rules of configuration: who wins, what is refused, and how that is said.

use std::{collections::BTreeMap, fs, path::Path};

use super::{Config, Flag, IpPolicy, Places, load, reference, settings};

/// A machine's and a user's folder, in a folder of the test.
struct Folders(tempfile::TempDir);

impl Folders {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("writable");
            fs::write(path, text).expect("writable");
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn places(&self) -> Places {
        Places { system: Some(self.path().join("etc")), user: Some(self.path().join("user")), ..Places::default() }
    }

    /// What is said of the mistakes, without the name of the folder.
    fn mistakes(&self, environment: &[(&str, &str)]) -> String {
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mistakes = load(&Places { environment, ..self.places() }).expect_err("it has mistakes");
        mistakes.render(false, 100).replace(&self.path().display().to_string(), "").replace(" \n", "\n")
    }
}

#[test]
fn a_stronger_layer_wins() {
    let layers: [(&str, &str); 5] = [
        ("etc/hearth.toml", "1s"),
        ("etc/conf.d/10-first.toml", "2s"),
        ("etc/conf.d/20-second.toml", "3s"),
        ("user/hearth.toml", "4s"),
        ("user/conf.d/any.toml", "5s"),
    ];
    let value = |text: &str| format!("[capture]\nsettle = \"{text}\"\n");
    for strongest in 0..=7 {
        let written: Vec<(&str, String)> =
            layers.iter().take(strongest).map(|(name, text)| (*name, value(text))).collect();
        let written: Vec<(&str, &str)> = written.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let folders = Folders::new(&written);
        let mut places = folders.places();
        if strongest >= 6 {
            places.environment = BTreeMap::from([("HEARTH_CAPTURE_SETTLE".into(), "6s".into())]);
        }
        if strongest >= 7 {
            places.flags = vec![Flag { flag: "--settle", setting: "capture.settle", value: "7s".into() }];
        }
        let loaded = load(&places).expect("every layer is in order");
        let expected = if strongest == 0 { "2s".to_owned() } else { format!("{strongest}s") };
        assert_eq!(loaded.config.capture.settle.to_string(), expected, "with {strongest} layers");
        let (_, _, origin) =
            loaded.rows().into_iter().find(|(setting, ..)| setting.name() == "capture.settle").expect("it is there");
        let expected = match strongest {
            0 => "default".to_owned(),
            6 => "$HEARTH_CAPTURE_SETTLE".to_owned(),
            7 => "--settle".to_owned(),
            n => format!("{}:2", folders.path().join(layers[n - 1].0).display()),
        };
        assert_eq!(origin.to_string(), expected, "with {strongest} layers");
    }
}

#[test]
fn a_layer_that_says_nothing_of_a_setting_leaves_it() {
    let folders = Folders::new(&[
        ("etc/hearth.toml", "[capture]\nmax-file-size = \"1MB\"\n[redaction]\nip = \"every\"\n"),
        ("user/hearth.toml", "[capture]\nsettle = \"9s\"\n"),
        ("user/conf.d/notes.txt", "this is no configuration"),
    ]);
    let config = load(&folders.places()).expect("in order").config;
    assert_eq!((config.capture.max_file_size.get(), config.capture.settle.millis()), (1_000_000, 9_000));
    assert_eq!(config.redaction.ip, IpPolicy::Every);
    assert_eq!(config.log, Config::default().log);
}

#[test]
fn variables_are_read_as_what_the_setting_is() {
    for (case, name, value, expected) in [
        ("a truth value", "HEARTH_REDACTION_PERSONAL", "false", Ok("false")),
        ("a number", "HEARTH_EMBED_THREADS", " 4 ", Ok("4")),
        ("a word", "HEARTH_LOG_LEVEL", "debug", Ok("\"debug\"")),
        ("a text of digits only", "HEARTH_COORDINATOR_KEY", &"1".repeat(64), Err("`coordinator.key`")),
        ("a bare number for a span", "HEARTH_CAPTURE_SETTLE", "60", Err("60 has no unit; write 60s")),
        ("a word that is none", "HEARTH_EMBED_BACKEND", "gpu", Err("unknown variant `gpu`")),
        ("countries", "HEARTH_REDACTION_PACKS", "fr, DE", Ok("\"de,fr\"")),
        ("the country of the locale", "HEARTH_REDACTION_PACKS", "locale", Ok("\"locale\"")),
        ("no country", "HEARTH_REDACTION_PACKS", "atlantis", Err("or locale alone")),
        ("too many threads", "HEARTH_EMBED_THREADS", "9999", Err("from 1 to 1024")),
        ("a slip", "HEARTH_CAPTURE_SETLE", "1s", Err("there is no setting for $HEARTH_CAPTURE_SETLE")),
        ("another program's", "HEARTH_THING", "1", Ok("")),
        ("the data folder is no setting", "HEARTH_DATA", "/x", Ok("")),
    ] {
        let places = Places { environment: BTreeMap::from([(name.to_owned(), value.to_owned())]), ..Places::default() };
        match (load(&places), expected) {
            (Ok(loaded), Ok(expected)) => {
                let row = loaded.rows().into_iter().find(|(setting, ..)| setting.variable() == name);
                assert_eq!(row.and_then(|(_, value, _)| value).unwrap_or_default(), expected, "{case}");
            }
            (Err(said), Err(part)) if case == "a text of digits only" => {
                // It was read as a key; what is missing is the address it belongs to, or nothing at all.
                assert!(!said.to_string().contains("hexadecimal") || said.to_string().contains(part), "{case}: {said}");
            }
            (Err(said), Err(part)) => assert!(said.to_string().contains(part), "{case}: {said}"),
            (Ok(_), Err(_)) if case == "a text of digits only" => {}
            (got, _) => panic!("{case}: {got:?}"),
        }
    }
}

#[test]
fn a_mistake_is_shown_where_it_stands() {
    let folders = Folders::new(&[
        (
            "etc/hearth.toml",
            "# what we capture\n[capture]\nsetle = \"2s\"\nmax-file-size = 50\nread-timeout = \"60 sec\"\nlisten = \"127.0.0.1:1\"\n\
             zebra = true\n\n[embed]\nthreads = 0\nbackend = \"gpu\"\nonnxruntime = \"lib/x.so\"\n\n[captur]\nsettle = \"1s\"\n",
        ),
        ("user/hearth.toml", "settle = \"2s\"\npage = 7842\n"),
        (
            "user/conf.d/a.toml",
            "[page]\nlisten = \"0.0.0.0:80\"\n\n[redaction]\npersonal = \"yes\"\n\n[coordinator]\nkey = \"abc\"\naddress = \"nas\"\n",
        ),
        ("user/conf.d/b.toml", "[log\nlevel = \"info\"\n"),
    ]);
    insta::assert_snapshot!(
        "mistakes",
        folders.mistakes(&[("HEARTH_CAPTURE_SETLE", "1s"), ("HEARTH_LOG_LEVEL", "loud")])
    );
}

#[test]
fn settings_that_need_each_other_are_asked_for_together() {
    let text = "[embed]\nbackend = \"ort\"\nmodel = \"/m.onnx\"\n[coordinator]\naddress = \"nas.local:7843\"\n";
    insta::assert_snapshot!("together", Folders::new(&[("user/hearth.toml", text)]).mistakes(&[]));
}

#[test]
fn a_configuration_that_cannot_be_read_is_not_passed_over() {
    let folders = Folders::new(&[("user/hearth.toml/x", "a folder in its place"), ("etc/conf.d/a.toml", "")]);
    fs::write(folders.path().join("etc/conf.d/b.toml"), [0xff, 0xfe]).expect("writable");
    fs::write(folders.path().join("etc/conf.d/c.toml"), vec![b'#'; (1 << 20) + 1]).expect("writable");
    let said = folders.mistakes(&[]);
    for part in
        ["user/hearth.toml: it is not a regular file", "b.toml: it is not UTF-8", "c.toml: it is larger than 1 MiB"]
    {
        assert!(said.replace('\n', " ").contains(part), "{part}: {said}");
    }
}

#[test]
fn what_is_shown_can_be_written_down_and_read_back() {
    let mut text = String::new();
    let mut section = "";
    for setting in settings() {
        if setting.section != section {
            section = setting.section;
            text += &format!("[{section}]\n");
        }
        if let Some(default) = setting.default {
            text += &format!("{} = {default}\n", setting.key);
        }
    }
    let loaded = load(&Folders::new(&[("user/hearth.toml", &text)]).places()).expect("the defaults are in order");
    assert_eq!(loaded.config, Config::default());
    assert_eq!(toml::from_str::<Config>(&text).expect("the types read it too"), Config::default());
    assert!(
        toml::from_str::<Config>("[capture]\nsetle = \"2s\"\n").is_err(),
        "the types refuse what the loader refuses"
    );
}

#[test]
fn the_reference_in_the_docs_is_what_the_types_say() {
    let docs = include_str!("../../../docs/configuration.md");
    assert!(docs.contains(&reference()), "docs/configuration.md must hold this:\n{}", reference());
}
