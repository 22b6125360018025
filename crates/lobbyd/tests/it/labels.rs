//! Labels from the environment, the folder and the API.

use std::fs;

use lobby_testkit::{eventually, expect};

use crate::fleet::{SOON, daemon, packet, shows_label};

fn labels(daemon: &lobby_testkit::daemon::Daemon, host: &str) -> Vec<String> {
    let packet = packet(daemon, host);
    packet["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_labels_of_the_readme_give_exactly_these() {
    let agent = daemon("ns").env("LABELS", "service:ns,ns:primary,public_ip4:1,2,3,4,public_ip6:2a03::1,location:prague").start();
    let want = "2 3 4 location:prague ns:primary public_ip4:1 public_ip6:2a03::1 service:ns";
    assert_eq!(labels(&agent, "ns").join(" "), want);
}

#[test]
fn a_folder_made_later_and_every_kind_of_change_in_it_are_seen() {
    let agent = daemon("a").env("LABELS", "env:1").start();
    let folder = agent.folder().join("labels");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("web"), "service:web\n\n  rack:1  \n").unwrap();
    shows_label(&agent, "a", "rack:1");

    fs::write(folder.join(".draft"), "service:db\n").unwrap();
    fs::rename(folder.join(".draft"), folder.join("web")).unwrap();
    shows_label(&agent, "a", "service:db");

    let target = agent.folder().join("elsewhere");
    fs::write(&target, "linked:1\n").unwrap();
    std::os::unix::fs::symlink(&target, folder.join("link")).unwrap();
    shows_label(&agent, "a", "linked:1");
    fs::write(&target, "linked:two\n").unwrap();
    shows_label(&agent, "a", "linked:two");

    fs::write(folder.join("old~"), "no:1\n").unwrap();
    fs::remove_file(folder.join("web")).unwrap();
    eventually(SOON, || {
        let labels = labels(&agent, "a");
        expect(labels == ["env:1", "linked:two"], labels)
    });
}

#[test]
fn runtime_labels_are_saved_and_come_back_after_a_restart() {
    let mut agent = daemon("a").env("LABELS", "env:1").start();
    let answer = agent.request("POST", "/v1/labels", &[("Content-Type", "x/y")], "b:1\n\n  c:2  \n");
    assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));
    assert_eq!(labels(&agent, "a"), ["b:1", "c:2", "env:1"], "visible when acknowledged");
    let saved = fs::read_to_string(agent.folder().join("labels/_runtime")).unwrap();
    assert_eq!(saved, "b:1\nc:2\n");

    assert_eq!(agent.request("DELETE", "/v1/labels", &[], "b:1\nenv:1\n").status, 200);
    assert_eq!(labels(&agent, "a"), ["c:2", "env:1"], "only runtime labels can be deleted");
    agent.kill();
    let agent = agent.start_again();
    assert_eq!(labels(&agent, "a"), ["c:2", "env:1"]);
}

#[test]
fn where_the_folder_cannot_be_written_the_data_folder_keeps_them() {
    // A file in the place of the folder: not even root can make a folder there.
    let agent = daemon("a").env("LABELS_PATH", "/dev/null/labels").start();
    assert_eq!(agent.request("POST", "/v1/labels", &[], "kept:1").status, 200);
    let mut agent = agent.start_again();
    assert_eq!(labels(&agent, "a"), ["kept:1"]);
    assert_eq!(agent.request("DELETE", "/v1/labels", &[], "kept:1").status, 200);
    agent.kill();
    assert_eq!(labels(&agent.start_again(), "a"), Vec::<String>::new());
}

#[test]
fn bad_labels_are_refused_whole_and_named() {
    let agent = daemon("a").start();
    let long = "x".repeat(1025);
    for (body, word) in [("good:1\nb\u{1}d\n", "control character"), (long.as_str(), "1024")] {
        let answer = agent.request("POST", "/v1/labels", &[], body);
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains(word), "{}", answer.text());
    }
    assert_eq!(labels(&agent, "a"), Vec::<String>::new());
}

#[test]
fn more_labels_than_a_node_may_have_are_refused_by_the_api_and_cut_in_files() {
    let agent = daemon("a").start();
    let many: String = (0..4097).map(|n| format!("l:{n:05}\n")).collect();
    let answer = agent.request("POST", "/v1/labels", &[], &many);
    assert!(answer.status >= 400 && answer.text().contains("4096"), "{} {}", answer.status, answer.text());
    fs::create_dir_all(agent.folder().join("labels")).unwrap();
    fs::write(agent.folder().join("labels/many"), &many).unwrap();
    eventually(SOON, || {
        let labels = labels(&agent, "a");
        expect(labels.len() == 4096 && labels[0] == "l:00000" && labels[4095] == "l:04095", labels.len())
    });
}

#[test]
fn reload_is_for_operators_and_a_hangup_does_the_same() {
    let mut agent = daemon("a").start();
    assert_eq!(agent.request("PUT", "/v1/agent/reload", &[], "").status, 200);
    agent.process.signal(rustix::process::Signal::HUP);
    agent.process.wait_for_log(SOON, "labels were read again");
    let closed = daemon("b").env("OPERATOR_LOOPBACK", "false").start();
    assert_eq!(closed.request("PUT", "/v1/agent/reload", &[], "").status, 403);
}
