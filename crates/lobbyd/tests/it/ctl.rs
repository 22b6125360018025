//! lobbyctl against a real agent, and each way to reach one.

use lobby_testkit::{TempDir, tls::Ca};

use crate::fleet::{all_list, ctl, ctl_command, daemon, gossiping, json, lists};

#[test]
fn every_verb_against_a_real_fleet() {
    let mut fleet = gossiping(2);
    all_list(&fleet, &["n0", "n1"]);
    let agent = &fleet[0];
    assert_eq!(json(agent, &["resolve", "name:n1"]), serde_json::json!(["n1"]));
    assert_eq!(json(agent, &["discovery"])["hostname"], "n0");
    assert_eq!(json(agent, &["discoveries"]).as_array().unwrap().len(), 2);
    assert_eq!(json(agent, &["discoveries", "labels", "name:n1", "none"])[0]["hostname"], "n1");
    assert_eq!(json(agent, &["discoveries", "search", "name:"]).as_array().unwrap().len(), 2);
    assert_eq!(ctl(agent, &["labels", "add", "a:1", "b:2"]).0, Some(0));
    assert_eq!(ctl(agent, &["labels", "del", "a:1"]).0, Some(0));
    assert_eq!(json(agent, &["discovery"])["labels"], serde_json::json!(["b:2", "name:n0"]));
    assert_eq!(json(agent, &["nodes"]).as_array().unwrap().len(), 2);
    let (code, text) = ctl(agent, &["status"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("gossip"), "{text}");
    assert_eq!(ctl(agent, &["reload"]).0, Some(0));
    let old_style = ["-host", "127.0.0.1", "-json", "discoveries"];
    assert_eq!(ctl(agent, &old_style).0, Some(0));

    assert_eq!(ctl(&fleet[1], &["leave"]).0, Some(0));
    lists(&fleet[0], &["n0"]);
    fleet[0].kill();
    let (code, text) = ctl(&fleet[0], &["discoveries"]);
    assert_eq!(code, Some(69), "{text}");
}

#[test]
fn a_token_is_needed_and_taken_from_the_environment_or_a_flag() {
    let agent = daemon("a").env("TOKEN", "s3cret").start();
    let (code, text) = ctl(&agent, &["discoveries"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("denied"), "{text}");
    assert_eq!(ctl(&agent, &["--token", "s3cret", "discoveries"]).0, Some(0));
}

#[test]
fn a_socket_is_named_by_a_flag_or_as_the_agent_has_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lobby.sock");
    let socket = format!("{}:0600", path.display());
    let agent = daemon("a").env("SOCKET", &socket).start();
    let path = path.display().to_string();
    // Nobody answers at the address beside it.
    let ask = |variables: &[(&str, &str)], arguments: &[&str]| {
        let output = ctl_command(&agent, arguments).env("PORT", "1").envs(variables.iter().copied()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    for (variables, arguments) in [
        (&[][..], &["--unix-socket", &*path, "discovery"][..]),
        (&[], &["discovery", "--unix-socket", &path]),
        (&[("SOCKET", &*socket)], &["discovery"]),
        // Only the owner of the agent, and root, may do that with no token.
        (&[("SOCKET", &socket)], &["reload"]),
    ] {
        let (code, text) = ask(variables, arguments);
        assert_eq!(code, Some(0), "{variables:?} {arguments:?}: {text}");
    }
    let (code, text) = ask(&[("SOCKET", &socket)], &["--port", "1", "discovery"]);
    assert_eq!(code, Some(69), "what is typed counts more: {text}");
    let (code, text) = ask(&[], &["--unix-socket", "/no/such.sock", "discovery"]);
    assert_eq!(code, Some(69), "{text}");
    assert!(text.contains("no lobbyd answers at unix:/no/such.sock: No such file"), "{text}");
}

#[test]
fn an_agent_that_wants_certificates_is_shown_one() {
    let (ca, other) = (Ca::new(), Ca::new());
    let path = |path: &std::path::Path| path.display().to_string();
    let agent =
        daemon("a").env("TLS_CERT", path(&ca.cert)).env("TLS_KEY", path(&ca.key)).env("TLS_CLIENT_CA", path(&ca.root)).start();
    let (root, cert, key) = (path(&ca.root), path(&ca.cert), path(&ca.key));
    let ask = |trusted: &str, variables: &[(&str, &str)], more: &[&str]| {
        let mut command = ctl_command(&agent, &["--proto", "https", "--host", "localhost"]);
        command.args(more).arg("discovery").env("CONSUL_CACERT", trusted).envs(variables.iter().copied());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    let ours = ["--client-cert", &*cert, "--client-key", &*key];
    let (code, text) = ask(&root, &[], &ours);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = ask("/no/such", &[("CLIENT_CERT", &cert), ("CONSUL_CLIENT_KEY", &key)], &["--ca-cert", &root]);
    assert_eq!(code, Some(0), "{text}");

    let (strange, its_key) = (path(&other.cert), path(&other.key));
    let wrong: [(&str, &[&str], i32, &str); 6] = [
        (&root, &[], 69, "--client-cert and --client-key who you are"),
        (&root, &["--client-cert", &strange, "--client-key", &its_key], 69, "no lobbyd answers at https://localhost:"),
        (&path(&other.root), &ours, 69, "--ca-cert says whom to trust"),
        (&key, &ours, 64, "CONSUL_CACERT"),
        (&root, &["--client-cert", &cert, "--client-key", "/no/such"], 64, "--client-key /no/such: No such file"),
        (&root, &["--client-cert", &cert, "--client-key", &its_key], 64, "TLS: "),
    ];
    for (trusted, more, want, says) in wrong {
        let (code, text) = ask(trusted, &[], more);
        assert_eq!(code, Some(want), "{more:?}: {text}");
        assert!(text.contains(says), "{more:?}: {text}");
    }
}
