//! Two and three devices that reach each other: what one captured the others find, forget and lose as their owner says.

use std::{
    fs,
    process::Output,
    thread,
    time::{Duration, Instant},
};

use crate::device::{Device, copy, dice, holds_none_of, until};

pub(crate) fn pair() -> (Device, Device) {
    let (mut nas, mut laptop) = (Device::new("nas"), Device::new("laptop"));
    nas.write("boiler.md", "The boiler was serviced in October by Lindqvist.");
    laptop.write("bread.md", "Rye bread wants sourdough and caraway.");
    nas.up();
    laptop.up();
    nas.found();
    laptop.join(&nas);
    laptop.comes_to_find("boiler", &["boiler"]);
    nas.comes_to_find("sourdough", &["bread"]);
    (nas, laptop)
}

#[test]
fn what_one_captured_the_other_finds_also_by_meaning_and_with_the_first_asleep() {
    let (mut nas, laptop) = pair();
    until("the laptop has the vectors that the NAS made", || {
        let status = laptop.json(&["status"]);
        if status["embedded"] == status["chunks"] && status["from_fleet"] == 1 {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
    nas.kill();
    let found = laptop.json(&["search", "when was the heating looked after", "-n", "1"]);
    let hit = &found["hits"][0];
    assert_eq!((&hit["title"], &hit["lineage"]["device"]), (&"boiler".into(), &"nas".into()), "{found}");
    assert_ne!(hit["node"], laptop.json(&["status"])["node"]);
    let shown = laptop.json(&["show", hit["id"].as_str().expect("an id")]);
    assert!(shown["text"].as_str().expect("text").contains("Lindqvist"));
    assert!(shown["open"].is_null(), "its path is on the other device");
}

#[test]
fn edits_removals_and_what_happened_while_one_was_killed_arrive() {
    let (nas, mut laptop) = pair();
    nas.write("boiler.md", "The boiler is to be replaced by a heat pump.");
    laptop.comes_to_find("pump", &["boiler"]);
    laptop.comes_to_find("Lindqvist", &[]);
    laptop.kill();
    nas.write("tax.md", "The tax letter lies in the blue folder.");
    nas.remove("boiler.md");
    nas.comes_to_find("pump", &[]);
    nas.comes_to_find("blue", &["tax"]);
    laptop.up();
    laptop.comes_to_find("blue", &["tax"]);
    laptop.comes_to_find("pump", &[]);
    assert_eq!(laptop.finds("sourdough"), ["bread"], "its own is untouched");
}

#[test]
fn what_is_forgotten_anywhere_is_gone_everywhere_and_stays_so() {
    let (mut nas, mut laptop) = pair();
    let id = laptop.json(&["search", "boiler", "-n", "1"])["hits"][0]["id"].as_str().expect("an id").to_owned();
    nas.kill();
    laptop.json(&["forget", "--item", &id, "--yes"]);
    assert!(laptop.finds("boiler").is_empty());
    assert_eq!(laptop.owes_erasures(&nas), 1, "it sleeps");
    // It was asleep, its file is still there, and it scans all of them at its start.
    nas.up();
    nas.comes_to_find("boiler", &[]);
    nas.write("new.md", "Written after it: a boiler of another kind.");
    nas.comes_to_find("boiler", &["new"]);
    laptop.comes_to_find("boiler", &["new"]);
    until("the NAS has confirmed it", || match laptop.owes_erasures(&nas) {
        0 => Ok(()),
        n => Err(n.to_string()),
    });
    for device in [&mut nas, &mut laptop] {
        device.kill();
        assert!(device.run(&["state", "rebuild"]).status.success());
        device.up();
        device.comes_to_find("boiler", &["new"]);
        device.comes_to_find("sourdough", &["bread"]);
    }
}

#[test]
fn what_stays_here_does_not_travel_and_what_is_taken_back_is_erased() {
    let (nas, laptop) = pair();
    let secret = nas.dir.path().join("diary");
    fs::create_dir(&secret).expect("made");
    fs::write(secret.join("diary.md"), "My diary says that the plumber sang.").expect("written");
    let folder = secret.to_str().expect("text").to_owned();
    nas.json(&["session", "open", "--purpose", "diary", "--folder", &folder, "--here-only"]);
    nas.comes_to_find("plumber", &["diary"]);
    nas.write("marker.md", "A marker that comes after it.");
    laptop.comes_to_find("marker", &["marker"]);
    assert!(laptop.finds("plumber").is_empty());

    nas.json(&["session", "unshare", "--all"]);
    laptop.comes_to_find("boiler", &[]);
    laptop.comes_to_find("marker", &[]);
    assert_eq!(nas.finds("boiler"), ["boiler"], "it stays where it was captured");
    nas.json(&["session", "share", "--all"]);
    laptop.comes_to_find("boiler", &["boiler"]);
    laptop.comes_to_find("plumber", &["diary"]);
}

#[test]
fn a_third_device_gets_everything_from_either_and_all_come_to_the_same() {
    let (mut nas, laptop) = pair();
    let mut desktop = Device::new("desktop");
    desktop.write("gpu.md", "The graphics card hums at night.");
    desktop.up();
    desktop.join(&nas);
    desktop.comes_to_find("boiler", &["boiler"]);
    desktop.comes_to_find("sourdough", &["bread"]);
    nas.comes_to_find("hums", &["gpu"]);
    laptop.comes_to_find("hums", &["gpu"]);
    nas.kill();
    // A device that may not change the fleet says so.
    assert!(laptop.refused(&["fleet", "revoke", "desktop", "--yes"]).contains("only an admin"), "not an admin");
    assert_eq!(laptop.json(&["fleet"])["fleet"]["devices"].as_array().expect("a list").len(), 3);
}

#[test]
fn a_device_that_is_taken_out_is_cut_off_at_once_and_gets_nothing_more() {
    let (nas, laptop) = pair();
    nas.is_linked_to(&laptop);
    let begun = Instant::now();
    nas.json(&["fleet", "revoke", "laptop", "--yes"]);
    until("the link is gone", || if nas.link_to(&laptop) == "linked" { Err("linked".into()) } else { Ok(()) });
    println!("a revoked device was cut off after {} ms", begun.elapsed().as_millis());
    nas.write("after.md", "Only for those who stay: the new code is on the fridge.");
    nas.comes_to_find("fridge", &["after"]);
    until("the laptop is told", || {
        let fleet = laptop.json(&["fleet"]).to_string();
        if fleet.contains("not in the fleet any more") { Ok(()) } else { Err(fleet) }
    });
    assert!(laptop.finds("fridge").is_empty());
    assert_eq!(nas.finds("sourdough"), ["bread"], "what it wrote before stays");
}

#[test]
fn a_join_code_is_good_once_and_for_those_who_know_it() {
    let (mut nas, mut laptop) = (Device::new("nas"), Device::new("laptop"));
    nas.up();
    laptop.up();
    assert!(laptop.refused(&["fleet", "invite"]).contains("in no fleet"));
    nas.json(&["fleet", "create", "home", "--as", "nas"]);
    assert!(nas.refused(&["fleet", "create", "again"]).contains("is in the fleet `home` already"));
    let code = nas.code();
    let join = |device: &Device, code: &str| device.run(&["join", "--at", &nas.at(), "--as", device.name, code]);
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();

    let wrong = join(&laptop, "eagle visit peace hope final regular visit visit");
    assert!(said(&wrong).contains("error:") && !wrong.status.success());
    let others = {
        let mut other = Device::new("other");
        other.up();
        other.json(&["fleet", "create", "elsewhere", "--as", "other"]);
        other.code()
    };
    let output = join(&laptop, &others);
    assert!(!output.status.success(), "a code of another fleet's device");
    assert!(!nas.notices().contains("joined"), "{}", nas.notices());

    assert!(join(&laptop, &code).status.success());
    assert!(nas.notices().contains("laptop joined the fleet"), "{}", nas.notices());
    let again = Device::new("again");
    let output = {
        let mut again = again;
        again.up();
        join(&again, &code)
    };
    assert!(!output.status.success());
    assert!(said(&output).contains("no join code is open there"), "{}", said(&output));
    laptop.kill();
    assert!(said(&join(&laptop, &code)).contains("no daemon is running"));
}

#[test]
fn a_folder_put_back_from_a_backup_gets_what_it_lost_and_nobody_is_frozen() {
    let (mut nas, mut laptop) = pair();
    nas.kill();
    let backup = nas.dir.path().join("backup");
    copy(&nas.data(), &backup);
    nas.up();
    nas.write("late.md", "Written after the backup: the hedge was cut.");
    nas.write("boiler.md", "Edited after the backup: the boiler got a new pump.");
    laptop.comes_to_find("hedge", &["late"]);
    laptop.comes_to_find("pump", &["boiler"]);
    nas.kill();
    fs::remove_dir_all(nas.data()).expect("lost");
    copy(&backup, &nas.data());
    // Its scan captures again what the backup does not know, before or after the others tell it.
    nas.up();
    nas.write("then.md", "Written after the restore: the ladder is borrowed.");
    laptop.comes_to_find("ladder", &["then"]);
    nas.comes_to_find("ladder", &["then"]);
    until("it is told", || if nas.notices().contains("came from a backup") { Ok(()) } else { Err(nas.notices()) });
    // Each start tidies up older versions.
    for round in 0..2 {
        let device = if round == 0 { &mut nas } else { &mut laptop };
        device.kill();
        device.up();
        laptop.is_linked_to(&nas);
    }
    for device in [&nas, &laptop] {
        assert!(!device.notices().contains("two different logs"), "{}: {}", device.name, device.notices());
        for (word, title) in [("hedge", "late"), ("pump", "boiler"), ("ladder", "then"), ("sourdough", "bread")] {
            device.comes_to_find(word, &[title]);
        }
    }
    nas.write("late.md", "The hedge has grown back.");
    laptop.comes_to_find("grown", &["late"]);
    nas.comes_to_find("hedge", &["late"]);
    nas.remove("late.md");
    laptop.comes_to_find("hedge", &[]);
    nas.comes_to_find("hedge", &[]);
}

#[test]
fn forgetting_one_version_forgets_the_newer_one_that_was_not_seen() {
    let (nas, mut laptop) = pair();
    let id = laptop.json(&["search", "boiler", "-n", "1"])["hits"][0]["id"].as_str().expect("an id").to_owned();
    laptop.kill();
    nas.write("boiler.md", "The boiler got a new pump.");
    nas.comes_to_find("pump", &["boiler"]);
    // Without a daemon: it meets nobody.
    laptop.json(&["forget", "--item", &id, "--yes"]);
    laptop.up();
    nas.comes_to_find("boiler", &[]);
    laptop.comes_to_find("boiler", &[]);
    nas.comes_to_find("sourdough", &["bread"]);
}

#[test]
fn what_was_taken_back_is_not_erased_by_who_had_not_heard_of_it() {
    let (nas, mut laptop) = pair();
    let id = laptop.json(&["search", "boiler", "-n", "1"])["hits"][0]["id"].as_str().expect("an id").to_owned();
    laptop.kill();
    nas.json(&["session", "unshare", "--all"]);
    laptop.json(&["forget", "--item", &id, "--yes"]);
    laptop.write("after.md", "Written on the laptop after it: the kettle whistles.");
    laptop.up();
    // It lies behind the order in the same log.
    nas.comes_to_find("kettle", &["after"]);
    assert_eq!(nas.finds("boiler"), ["boiler"], "it stays on its node");
}

#[test]
fn a_file_that_moves_into_a_shared_folder_is_shared_and_its_old_place_is_free() {
    let (nas, laptop) = pair();
    let diary = nas.dir.path().join("diary");
    fs::create_dir(&diary).expect("made");
    fs::write(diary.join("plan.md"), "The plan is to paint the shed.").expect("written");
    let folder = diary.to_str().expect("text").to_owned();
    nas.json(&["session", "open", "--purpose", "diary", "--folder", &folder, "--here-only"]);
    nas.comes_to_find("shed", &["plan"]);
    fs::rename(diary.join("plan.md"), nas.dir.path().join("notes/plan.md")).expect("moved");
    laptop.comes_to_find("shed", &["plan"]);
    fs::write(diary.join("plan.md"), "Another plan: a greenhouse.").expect("written");
    nas.comes_to_find("greenhouse", &["plan"]);
    nas.write("marker.md", "A marker that comes after it.");
    laptop.comes_to_find("marker", &["marker"]);
    assert!(laptop.finds("greenhouse").is_empty(), "it stays here");
    assert_eq!((nas.finds("shed"), laptop.finds("shed")), (vec!["plan".to_owned()], vec!["plan".to_owned()]));
    fs::remove_file(diary.join("plan.md")).expect("removed");
    nas.comes_to_find("greenhouse", &[]);
    assert_eq!(nas.finds("shed"), ["plan"], "the one that moved stays");
}

#[test]
fn no_word_of_what_is_shared_is_readable_on_either_disk_or_in_a_log() {
    let (mut nas, mut laptop) = (Device::new("nas"), Device::new("laptop"));
    let canary = "zanzibarquartz";
    nas.write("plain.md", &format!("An ordinary sentence with {canary} in it, by somebody@{canary}.example.com."));
    nas.up();
    laptop.up();
    nas.found();
    laptop.join(&nas);
    laptop.comes_to_find(canary, &["plain"]);
    nas.kill();
    laptop.kill();
    let looked_at = holds_none_of(&[nas.dir.path().join("data"), laptop.dir.path().join("data")], &[canary])
        + holds_none_of(&[nas.dir.path().join("log"), laptop.dir.path().join("log")], &[canary]);
    assert!(looked_at > 20, "{looked_at} files");
}

/// Kills one or the other again and again while notes are written; what was acknowledged is there, and in the end everything is.
fn survive_kills(rounds: u64) {
    let (mut nas, mut laptop) = pair();
    let mut roll = dice();
    let (mut checked, mut mid_way) = (0, 0);
    for round in 0..rounds {
        let (name, word) = (format!("note {round}"), format!("quux{round}"));
        nas.write(&format!("{name}.md"), &format!("Written in round {round}: {word}."));
        if roll(4) == 0 {
            nas.comes_to_find(&word, &[&name]);
            until("the laptop has said that it has everything", || {
                let fleet = nas.json(&["fleet"]);
                let devices = fleet["fleet"]["devices"].as_array().cloned().unwrap_or_default();
                let link = devices.iter().find(|device| device["name"] == "laptop").expect("a member")["link"].clone();
                if link["behind"] == 0 { Ok(()) } else { Err(link.to_string()) }
            });
            laptop.kill();
            nas.kill();
            laptop.up();
            assert_eq!(laptop.finds(&word), [name.as_str()], "acknowledged in round {round} and lost");
            nas.up();
            checked += 1;
        } else {
            // Somewhere between the file and the other's disk.
            thread::sleep(Duration::from_millis(roll(400)));
            let victim = if roll(2) == 0 { &mut nas } else { &mut laptop };
            victim.kill();
            victim.up();
            mid_way += 1;
        }
    }
    for round in 0..rounds {
        laptop.comes_to_find(&format!("quux{round}"), &[&format!("note {round}")]);
    }
    let (here, there) = (nas.json(&["status"]), laptop.json(&["status"]));
    assert_eq!(
        (here["items"].as_u64(), there["items"].as_u64()),
        (Some(rounds + 2), Some(rounds + 2)),
        "no more, no less"
    );
    println!("{checked} kills after an acknowledgement, {mid_way} at any moment: nothing lost, nothing doubled");
}

#[test]
fn sixty_kills_lose_and_double_nothing() {
    survive_kills(60);
}

#[test]
#[ignore = "soak: each kill takes about a second"]
fn five_hundred_kills_lose_and_double_nothing() {
    survive_kills(500);
}
