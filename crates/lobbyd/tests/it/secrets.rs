//! No secret is shown: not in the log at its most talkative, not by `--print-config`, `/metrics` or any list of the API, not
//! in `/proc`, and not in a core dump, because there is none.
//!
//! Each secret is a word that is looked for afterwards. Files that keep secrets on purpose (keys of gossip) are for their
//! owner alone, see `keys`.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    process::Command,
    time::Duration,
};

use lobby_testkit::{
    TempDir,
    daemon::{Builder, Daemon},
    eventually, expect, port,
    process::Signal,
    server::{Server, nats, redis},
};

use crate::fleet::{SOON, daemon};

/// Each has this in it, so that one search finds all; keys that must have a certain form are looked for as they are.
const MARK: &str = "M4RK";

const GOSSIP_KEY: &str = "TTRSS00wNFJLTTRSS000UktNNFJLTTRSS000UktNNEs=";
const EXCHANGE_KEY: &str = "RVhDSEFOR0VNNFJLTTRSS000UktNNFJLTTRSS000Uks=";
const NKEY: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

/// Settings whose values are secrets; the manual has no other.
const SECRETS: [&str; 7] = ["TOKEN", "EXCHANGE_KEY", "GOSSIP_KEY", "NATS_PASSWORD", "NATS_TOKEN", "NATS_NKEY", "REDIS_PASSWORD"];

/// Settings that sound so, and are names of files.
const FILES: [&str; 3] = ["TLS_KEY", "NATS_KEY", "REDIS_KEY"];

/// What must not be in a text.
fn shown(text: &str) -> Vec<&str> {
    let is_shown = |line: &&str| [MARK, GOSSIP_KEY, EXCHANGE_KEY, NKEY].iter().any(|secret| line.contains(secret));
    text.lines().filter(is_shown).collect()
}

#[track_caller]
fn shows_none(what: &str, text: &str) {
    let lines = shown(text);
    assert!(lines.is_empty(), "{what} shows secrets:\n{}", lines.join("\n"));
}

/// The keys of a cloud, for the proxy; nobody listens there.
const PROXY: &str = r#"
[proxy.files]
directory = "DIRECTORY"
[proxy.service.cloud]
port = PORT
[proxy.service.cloud.discovery]
method = "ec2tag"
tag_name = "web"
tag_value = "true"
port = 80
region = "eu-west-1"
endpoint = "http://127.0.0.1:1"
access_key = "AWS-M4RK-access"
secret_key = "AWS-M4RK-secret"
"#;

fn brokers() -> (Server, Server) {
    (nats::start("authorization { user: lobby, password: nats-M4RK-url }"), redis::start(&["--requirepass", "redis-M4RK"]))
}

/// An agent with a secret in everything that goes together; as many exchanges as there are.
fn full(name: &str, folder: &TempDir, nats_url: &str, redis: &Server) -> Builder {
    let tokens = folder.path().join("tokens.toml");
    fs::write(&tokens, "[[token]]\nname = \"reader\"\nsecret = \"file-M4RK-token\"\n").unwrap();
    let config = folder.path().join("lobbyd.toml");
    let services = folder.path().join("services").display().to_string();
    fs::write(&config, PROXY.replace("DIRECTORY", &services).replace("PORT", &port::free().to_string())).unwrap();
    daemon(name)
        .env("LOG", "trace,async_nats=trace")
        .env("DRIVER", "gossip,nats,redis")
        .env("TOKEN", "token-M4RK")
        .env("TOKENS_FILE", tokens.display())
        .env("GOSSIP_KEY", GOSSIP_KEY)
        .env("EXCHANGE_KEY", EXCHANGE_KEY)
        .env("NATS_URL", nats_url)
        .env("REDIS_PORT", redis.address.port())
        .env("REDIS_PASSWORD", "redis-M4RK")
        .arg("--config")
        .arg(config.display().to_string())
}

/// Every route of the manual that can be read without more than its path.
fn routes() -> Vec<String> {
    let page = include_str!("../../../../docs/rest.md");
    let all = page.split("GET /").skip(1).filter_map(|rest| rest.split(['`', ' ', '?', '&', '\n', '[']).next());
    let plain: BTreeSet<_> =
        all.filter(|path| !path.contains(':') && !path.contains('…')).map(|path| format!("/{path}")).collect();
    // Two are streams, which do not end; the health is asked apart, because everybody may know it.
    plain.into_iter().filter(|path| !["/v1/events", "/v1/agent/monitor", "/v1/health"].contains(&path.as_str())).collect()
}

/// Requests of all kinds: those that succeed, those of somebody with a wrong token, those that are none.
fn ask_all(agent: &Daemon) -> usize {
    let routes = routes();
    for path in &routes {
        for (header, value) in [
            ("Authorization", "Bearer token-M4RK"),
            ("X-Consul-Token", "file-M4RK-token"),
            ("Authorization", "Token wrong-M4RK"),
            ("X-Consul-Token", "wrong-M4RK"),
        ] {
            let answer = agent.request("GET", path, &[(header, value)], "");
            assert_eq!(answer.status == 403, value == "wrong-M4RK" || value.starts_with("Token"), "{path} {header}: {value}");
            shows_none(path, &answer.text());
        }
    }
    let good = [("Authorization", "Bearer token-M4RK")];
    for path in ["/v1/labels?token=wrong-M4RK", "/v1/labels?token=token-M4RK", "/v1/nowhere?token=token-M4RK"] {
        shows_none(path, &agent.request("POST", path, &[], "seen:1").text());
    }
    for (method, path, body) in [
        ("PUT", "/v1/agent/reload", ""),
        ("PUT", "/v1/agent/service/register", "{\"Name\": \"web\", \"Port\": 1}"),
        ("PUT", "/v1/agent/service/register", "no json"),
        ("PUT", "/v1/event/fire/deploy", "x"),
        ("DELETE", "/v1/labels", "none:such"),
    ] {
        shows_none(path, &agent.request(method, path, &good, body).text());
    }
    routes.len()
}

#[test]
fn no_secret_is_in_the_log_in_metrics_in_answers_or_in_proc() {
    let folder = TempDir::new().unwrap();
    let (nats, redis) = brokers();
    let url = |password: &str| format!("nats://lobby:{password}@{}", nats.address);
    let agent = full("a", &folder, &url("nats-M4RK-url"), &redis).start();
    // Its brokers refuse this one, each with the words that it has for that.
    let refused =
        full("b", &folder, &url("wrong-M4RK"), &redis).env("REDIS_PASSWORD", "wrong-M4RK").env("GOSSIP_JOIN", agent.gossip());
    let refused = refused.start();
    let headers = [("Authorization", "Bearer token-M4RK")];
    eventually(SOON, || {
        let links = agent.request("GET", "/v1/health", &headers, "").json();
        let text = links.to_string();
        expect(text.contains("nats") && links["warm"] == true, text)
    });
    refused.process.wait_for_log(SOON, "redis");
    let n_routes = ask_all(&agent);
    assert!(n_routes > 20, "the manual has only {n_routes} routes");
    // A broker that goes away makes for more words.
    drop(nats);
    eventually(SOON, || {
        let metrics = agent.request("GET", "/metrics", &headers, "").text();
        let lost =
            metrics.lines().any(|line| line.starts_with("lobby_reconnects_total{exchange=\"nats\"") && !line.ends_with(" 0"));
        expect(lost, metrics)
    });
    for agent in [&agent, &refused] {
        shows_none("/metrics", &agent.request("GET", "/metrics", &headers, "").text());
        shows_none("the command line", &fs::read_to_string(format!("/proc/{}/cmdline", agent.process.pid())).unwrap());
        let log = agent.process.log();
        assert!(log.contains("TRACE") && log.contains("DEBUG"), "the log is not at its most talkative:\n{log}");
        shows_none("the log", &log);
    }
}

#[test]
fn other_ways_to_log_in_at_a_broker_are_not_shown_either() {
    let (nats, redis) = brokers();
    for (variable, value) in [("NATS_TOKEN", "nats-M4RK-token"), ("NATS_PASSWORD", "nats-M4RK"), ("NATS_NKEY", NKEY)] {
        let folder = TempDir::new().unwrap();
        let agent = full("a", &folder, &nats::url(&nats), &redis).env("NATS_USER", "somebody").env(variable, value).start();
        // It has been refused, which it says.
        agent.process.wait_for_log(SOON, "nats");
        eventually(SOON, || {
            expect(shown(&agent.process.log()).is_empty() && agent.process.log().contains("WARN"), agent.process.log())
        });
        shows_none(variable, &agent.process.log());
    }
}

#[test]
fn no_secret_is_printed_with_the_configuration_or_with_its_faults() {
    let folder = TempDir::new().unwrap();
    let redis = redis::start(&[]);
    let url = "nats://lobby:nats-M4RK-url@127.0.0.1:1,nats-M4RK-token@127.0.0.1:2";
    let all = || {
        let builder = full("a", &folder, url, &redis);
        builder.env("NATS_PASSWORD", "M4RK").env("NATS_TOKEN", "M4RK").env("NATS_NKEY", NKEY)
    };
    let (code, printed) = all().arg("--print-config").run(SOON);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.matches("<hidden>").count() >= SECRETS.len() + 3, "{printed}");
    shows_none("--print-config", &printed);
    // Refused, each for another fault; what is wrong with a secret is told without it.
    for (variable, value) in [
        ("GOSSIP_KEY", "M4RK"),
        ("TOKEN", "M4RK \u{1}"),
        ("EXCHANGE_KEY", "M4RK"),
        ("NATS_NKEY", "M4RK"),
        ("NATS_URL", "nats://lobby:M4RK@:x"),
        ("PORT", "no port"),
    ] {
        let (_, said) = all().env(variable, value).arg("--check-config").run(SOON);
        shows_none(variable, &said);
    }
}

#[test]
fn the_manual_has_no_other_secret() {
    let page = include_str!("../../../../docs/configuration.md");
    let names = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let sounds = |name: &&str| ["TOKEN", "_KEY", "PASSWORD", "NKEY", "SECRET", "SEED"].iter().any(|end| name.ends_with(end));
    let found: BTreeSet<_> = names.filter(sounds).filter(|name| !FILES.contains(name)).collect();
    assert_eq!(found, BTreeSet::from(SECRETS));
}

/// The soft limit of core dumps of a process.
fn core_limit(limits: &str) -> Option<&str> {
    limits.lines().find_map(|line| line.strip_prefix("Max core file size")?.split_whitespace().next())
}

#[test]
fn a_crash_leaves_no_core_dump_and_commands_keep_their_limit() {
    let folder = TempDir::new().unwrap();
    let (out, script) = (folder.path().join("limit"), folder.path().join("script"));
    // The agent gives a command its limit back right after the start: the command may be ahead.
    let wait = "until grep -q 'core file size *409600' /proc/$$/limits; do :; done";
    fs::write(&script, format!("{wait}\ncat /proc/$$/limits > {0}.new\nmv {0}.new {0}\n", out.display())).unwrap();
    // Started with room for a core dump; the hard limit stays what it is.
    let mut agent = Daemon::build("prlimit", "a")
        .arg("--core=409600:")
        .arg(env!("CARGO_BIN_EXE_lobbyd"))
        .env("CALLBACK", format!("sh {}", script.display()))
        .env("CALLBACK_FIRST_RUN_DELAY", "0")
        .start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.process.pid())).unwrap();
    assert_eq!(core_limit(&limits), Some("1"), "{limits}");
    let of_command = eventually(SOON, || fs::read_to_string(&out).map_err(|err| format!("{err}\n{}", agent.process.log())));
    assert_eq!(core_limit(&of_command), Some("409600"), "{of_command}");
    agent.process.signal(Signal::ABORT);
    let status = agent.process.wait(Duration::from_secs(10));
    assert_eq!((status.signal(), status.core_dumped()), (Some(Signal::ABORT.as_raw()), false));
    let left = fs::read_dir(agent.folder())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("core"));
    assert_eq!(left.count(), 0);
}

/// `nobody`, on every Debian.
const NOBODY: &str = "65534";

#[test]
fn another_user_of_the_machine_reads_neither_environment_nor_data() {
    assert!(rustix::process::geteuid().is_root(), "this test changes its user: run it as root");
    let agent = daemon("a").env("GOSSIP_KEY", GOSSIP_KEY).env("TOKEN", "token-M4RK").start();
    // The folder of a test is closed; that of a real agent lies in one that everybody may enter.
    fs::set_permissions(agent.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    let read = |path: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "cat", path]);
        command.output().unwrap().status.success()
    };
    let of_process = |name: &str| format!("/proc/{}/{name}", agent.process.pid());
    assert!(read(&of_process("cmdline")), "what everybody may read is read");
    assert!(!read(&of_process("environ")) && !read(&of_process("mem")));
    let data = agent.folder().join("data");
    let files: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path().display().to_string()).collect();
    assert!(!files.is_empty());
    for file in files {
        assert!(!read(&file), "{file}");
    }
}

/// The manual says so: a command does not inherit secrets, but nothing keeps them from our own user.
#[test]
fn a_command_can_read_all_that_the_daemon_can() {
    let folder = TempDir::new().unwrap();
    let (out, script) = (folder.path().join("out"), folder.path().join("script"));
    fs::write(
        &script,
        format!("(env; tr '\\0' '\\n' < /proc/$PPID/environ | sed s/^/daemon:/) > {0}.new\nmv {0}.new {0}\n", out.display()),
    )
    .unwrap();
    let agent = daemon("a")
        .env("TOKEN", "token-M4RK")
        .env("CALLBACK", format!("sh {}", script.display()))
        .env("CALLBACK_FIRST_RUN_DELAY", "0")
        .start();
    let said = eventually(SOON, || fs::read_to_string(&out).map_err(|err| format!("{err}\n{}", agent.process.log())));
    assert_eq!(shown(&said), ["daemon:TOKEN=token-M4RK"]);
}
