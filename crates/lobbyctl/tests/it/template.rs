//! `template`, and the same through a link: what is printed, which status it ends with, and what signals do.
//!
//! What templates can say is tested in `lobby-template` and `lobby-render`; a fleet and a real haproxy are in `lobbyd`.

mod printed;
mod running;

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Output},
};

use expect_test::{Expect, expect};
use tempfile::TempDir;

use crate::{
    canned::Canned,
    program::{CLOSED, lobbyctl, stderr},
};

/// An empty folder, in which all programs run.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::with_prefix("template-").unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|err| format!("{name}: {err}"))
    }

    /// `lobbyctl template` with these flags; the daemon is at this port.
    fn command(&self, port: u16, flags: &[&str]) -> Command {
        let mut command = lobbyctl(port, &["template"]);
        command.args(flags).current_dir(self.0.path()).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command
    }

    fn run(&self, port: u16, flags: &[&str]) -> Output {
        self.command(port, flags).output().unwrap()
    }

    /// Exit status and what was said on standard error, without the times.
    #[track_caller]
    fn fails(&self, port: u16, flags: &[&str], code: i32, want: Expect) {
        let output = self.run(port, flags);
        want.assert_eq(&said(&output));
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
}

/// Standard error without the times; those have to be there.
fn said(output: &Output) -> String {
    let without = |line: &str| match line.split_once(" [") {
        Some((time, rest)) if time.len() == 24 && time.ends_with('Z') => format!("[{rest}\n"),
        _ => format!("{line}\n"),
    };
    stderr(output).lines().map(without).collect()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// An agent with two instances of `www`, and of nothing else.
fn agent() -> Canned {
    Canned::start(|request, _| {
        let instance = |id: &str, port: u16| {
            format!(
                r#"{{"Node":{{"Node":"n1","Address":"10.0.0.1"}},"Service":{{"ID":"{id}","Service":"www","Port":{port}}},"Checks":[]}}"#
            )
        };
        let body = match request.contains("/v1/health/service/www") {
            true => format!("[{},{}]", instance("www1", 8001), instance("www2", 8002)),
            false => "[]".to_owned(),
        };
        ("200 OK\r\nX-Consul-Index: 7\r\nX-Lobby-Warm: true".into(), body)
    })
}

const WWW: &str = "www:{{range service \"www\"}}\n  {{.ID}} {{.Address}}:{{.Port}}{{end}}\n";
const WWW_FILE: &str = "www:\n  www1 10.0.0.1:8001\n  www2 10.0.0.1:8002\n";

#[test]
fn help_and_version_are_on_standard_output() {
    let folder = Folder::new();
    let link = folder.path("consul-template");
    symlink(env!("CARGO_BIN_EXE_lobbyctl"), &link).unwrap();
    // A daemon's port that is none does not matter yet.
    let linked = |flag: &str| Command::new(&link).env_clear().env("PORT", "none").arg(flag).output().unwrap();
    for (output, name) in [(folder.run(CLOSED, &["-h"]), "lobbyctl template"), (linked("--help"), "consul-template")] {
        let text = stdout(&output);
        assert!(text.starts_with(&format!("Usage: {name} [flags]\n")), "{text}");
        for flag in ["  -template=SOURCE[:DESTINATION[:COMMAND]]\n", "  -once\n", "  -diff\n", "  -consul-addr=ADDRESS\n"] {
            assert!(text.contains(flag), "{flag}: {text}");
        }
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    }
    for output in [folder.run(CLOSED, &["-v"]), linked("-version"), folder.run(CLOSED, &["--version", "-once"])] {
        assert_eq!(stdout(&output), format!("consul-template v0.42.1 (lobbyctl {})\n", env!("CARGO_PKG_VERSION")));
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    }
}

#[test]
fn a_wrong_port_of_the_local_daemon_matters_where_that_is_asked() {
    let (folder, agent) = (Folder::new(), agent());
    folder.write("a.tmpl", WWW);
    let link = folder.path("consul-template");
    symlink(env!("CARGO_BIN_EXE_lobbyctl"), &link).unwrap();
    let run = |address: &str| {
        let mut command = Command::new(&link);
        command.env_clear().env("PORT", "tcp://x").env("CONSUL_HTTP_ADDR", address).current_dir(folder.0.path());
        command.args(["-once", "-template", "a.tmpl:a"]).output().unwrap()
    };
    let output = run("");
    assert_eq!(output.status.code(), Some(15), "{output:?}");
    expect![[r#"
        [ERR] (cli) invalid value 'tcp://x' for the variable PORT: invalid digit found in string
    "#]]
    .assert_eq(&said(&output));
    let output = run(&agent.address.to_string());
    assert_eq!((output.status.code(), folder.read("a")), (Some(0), WWW_FILE.to_owned()));
}

#[test]
fn a_wrong_command_line_ends_with_13() {
    let folder = Folder::new();
    folder.fails(
        CLOSED,
        &["-tempalte", "a:b"],
        13,
        expect![[r#"
        [ERR] (cli) unknown flag -tempalte: did you mean -template?
        hint: lobbyctl template -h shows all flags
    "#]],
    );
    folder.fails(
        CLOSED,
        &["-once", "rest"],
        13,
        expect![[r#"
        [ERR] (cli) "rest" is one word too many: expected flags only
        hint: lobbyctl template -h shows all flags
    "#]],
    );
    folder.fails(
        CLOSED,
        &["-wait", "5s:1s"],
        13,
        expect![[r#"
        [ERR] (cli) flag -wait: wait is "5s:1s": expected "MIN" or "MIN:MAX" in durations as "5s:10s", with MAX not below MIN
        hint: lobbyctl template -h shows all flags
    "#]],
    );
}

#[test]
fn a_wrong_configuration_ends_with_15() {
    let folder = Folder::new();
    folder.write("x.hcl", "template {\n  sauce = \"a\"\n}\n");
    folder.fails(
        CLOSED,
        &["-config", "x.hcl"],
        15,
        expect![[r#"
        [ERR] (cli) x.hcl: line 2: unknown key "template.sauce": did you mean `source`?
    "#]],
    );
    folder.fails(
        CLOSED,
        &["-config", "none.hcl"],
        15,
        expect![[r#"
        [ERR] (cli) cannot read none.hcl: No such file or directory (os error 2)
    "#]],
    );
    folder.fails(
        CLOSED,
        &["-template", "a"],
        15,
        expect![[r#"
        [ERR] (cli) template "a": missing destination: expected `destination`, unless nothing is written (-dry)
    "#]],
    );
    folder.fails(
        CLOSED,
        &["-template", "a:b", "-kill-signal", "SIGKILL"],
        15,
        expect![[r#"
        [ERR] (cli) cannot wait for signal 9: no process can take this signal
    "#]],
    );
    folder.fails(
        CLOSED,
        &["-template", "a:b", "-consul-addr", "ftp://x"],
        15,
        expect![[r#"
        [ERR] (cli) consul.address is "ftp://x": expected HOST:PORT, http://…, https://… or unix://PATH
    "#]],
    );
    let output = folder.command(CLOSED, &["-once"]).env("CT_LOCAL_CONFIG", "template = 7").output().unwrap();
    assert_eq!(output.status.code(), Some(15), "{output:?}");
    assert!(said(&output).starts_with("[ERR] (cli) CT_LOCAL_CONFIG: line 1: template is 7:"), "{output:?}");
}

#[test]
fn destinations_that_cannot_be_are_a_wrong_configuration() {
    let folder = Folder::new();
    folder.write("t", "text\n");
    folder.fails(
        CLOSED,
        &["-template", "t:f", "-template", "t:./f"],
        15,
        expect![[r#"
        [ERR] (cli) template 1 (t -> f) and template 2 (t -> ./f) have the same destination "./f": give each its own
    "#]],
    );
    folder.write("each.hcl", "template {\n source = \"t\"\n destination = \"d/{{.Name\"\n for_each = \"node\"\n}\n");
    folder.fails(
        CLOSED,
        &["-config", "each.hcl"],
        15,
        expect![[r#"
        [ERR] (cli) template "t": template: destination:1: unclosed action
    "#]],
    );
}

#[test]
fn templates_that_fail_end_with_14_and_say_where() {
    let folder = Folder::new();
    let agent = agent();
    folder.write("a.tmpl", "one\n{{range service \"www\"}}\n");
    let missing = expect![[r#"
        [ERR] (cli) template 1 (a.tmpl -> a): a.tmpl: parse: template: :3: unexpected EOF
    "#]];
    folder.fails(CLOSED, &["-template", "a.tmpl:a"], 14, missing);
    folder.write("a.tmpl", "{{range service \"www\"}}\n{{.Nonsense}}{{end}}\n");
    let output = folder.run(agent.address.port(), &["-once", "-template", "a.tmpl:a"]);
    assert_eq!(output.status.code(), Some(14), "{output:?}");
    let said = said(&output);
    assert!(
        said.starts_with(
            "[ERR] (cli) template 1 (a.tmpl -> a): a.tmpl: execute: template: :2:2: executing \"\" at <.Nonsense>: "
        ),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    folder.fails(
        CLOSED,
        &["-template", "none.tmpl:a"],
        14,
        expect![[r#"
        [ERR] (cli) template 1 (none.tmpl -> a): none.tmpl: cannot read the template: No such file or directory (os error 2)
    "#]],
    );
    assert!(!folder.path("a").exists());
}

#[test]
fn templates_are_only_parsed_where_no_more_was_asked() {
    let folder = Folder::new();
    folder.write("a.tmpl", "text\n");
    let output = folder.run(CLOSED, &["-parse-only", "-template", "a.tmpl:a"]);
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
    assert!(!folder.path("a").exists(), "nothing is written");
}

#[test]
fn once_renders_runs_the_command_and_ends() {
    let (folder, agent) = (Folder::new(), agent());
    folder.write("a.tmpl", WWW);
    let port = agent.address.port();
    let flags = ["-once", "-template", "a.tmpl:sub/a:echo ran; env | grep -e ^CONSUL_ -e TOKEN -e GOSSIP | sort"];
    let output = folder.command(port, &flags).env("TOKEN", "secret").env("LOBBY_GOSSIP_KEY", "key").output().unwrap();
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
    assert_eq!(stdout(&output), format!("ran\nCONSUL_HTTP_ADDR=http://127.0.0.1:{port}\nCONSUL_HTTP_TOKEN=secret\n"));
    assert_eq!(folder.read("sub/a"), WWW_FILE);
    assert!(
        agent.asked().iter().all(|asked| asked.to_lowercase().contains("authorization: token secret")),
        "{:?}",
        agent.asked()
    );
    let again = folder.run(port, &flags);
    assert_eq!((again.status.code(), stdout(&again)), (Some(0), String::new()), "nothing changed, nothing runs");
}

#[test]
fn the_agent_is_the_one_of_the_flag_of_the_environment_or_the_local_one() {
    let folder = Folder::new();
    folder.write("a.tmpl", WWW);
    let flags = ["-once", "-template", "a.tmpl:a"];
    for which in ["flag", "file", "variable", "door", "link"] {
        let agent = agent();
        let address = agent.address.to_string();
        folder.write("c.hcl", &format!("consul {{ address = \"{address}\" token = \"t\" }}"));
        let mut command = match which {
            "flag" => folder.command(CLOSED, &["-consul-addr", &format!("http://{address}"), "-config", "/dev/null"]),
            "file" => folder.command(CLOSED, &["-config", "c.hcl"]),
            "door" => folder.command(agent.address.port(), &[]),
            "link" => {
                let link = folder.path("consul-template");
                symlink(env!("CARGO_BIN_EXE_lobbyctl"), &link).unwrap();
                let mut command = Command::new(link);
                command.env_clear().env("PORT", agent.address.port().to_string()).current_dir(folder.0.path());
                command
            }
            _ => folder.command(CLOSED, &[]),
        };
        if which != "door" && which != "link" {
            command.env("CONSUL_HTTP_ADDR", if which == "variable" { &address } else { "127.0.0.1:1" });
            // The local daemon's is for no other.
            command.env("TOKEN", "local");
        }
        let output = command.args(flags).output().unwrap();
        assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()), "{which}");
        assert_eq!(folder.read("a"), WWW_FILE, "{which}");
        let asked = agent.asked().concat();
        assert!(!asked.contains("local"), "{which}: {asked}");
        assert_eq!(asked.contains("Token t"), which == "file", "{which}: {asked}");
        fs::remove_file(folder.path("a")).unwrap();
    }
}

#[test]
fn an_agent_that_stays_away_ends_it_with_14() {
    let folder = Folder::new();
    folder.write("a.tmpl", WWW);
    for retry in [&["-consul-retry-attempts=1", "-consul-retry-backoff=1ms"][..], &["-consul-retry=false"]] {
        let output = folder.run(CLOSED, &[retry, &["-template", "a.tmpl:a"]].concat());
        assert_eq!(output.status.code(), Some(14), "{output:?}");
        let said = said(&output);
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("[ERR] (cli) ") && last.contains("no lobbyd answers at http://127.0.0.1:1/: "), "{said}");
        assert_eq!(said.contains("[WARN] (runner)"), retry.len() == 2, "{said}");
    }
}

#[test]
fn a_socket_that_is_not_there_is_no_refused_connection() {
    let folder = Folder::new();
    folder.write("a.tmpl", WWW);
    let flags = ["-once", "-consul-retry=false", "-template", "a.tmpl:a"];
    let output = folder.command(CLOSED, &flags).env("SOCKET", "/no/such").output().unwrap();
    let said = said(&output);
    assert!(said.contains("no lobbyd answers at unix:/no/such: No such file or directory"), "{said}");
}

#[test]
fn a_command_that_fails_ends_it_with_14_and_a_program_with_its_own_status() {
    let (folder, agent) = (Folder::new(), agent());
    folder.write("a.tmpl", WWW);
    let port = agent.address.port();
    let output = folder.run(port, &["-once", "-template", "a.tmpl:a:exit 3 # or so"]);
    assert_eq!(output.status.code(), Some(14), "{output:?}");
    let text = said(&output);
    assert!(
        text.starts_with("[ERR] (cli) template 1 (a.tmpl -> a): command exited with a non-zero exit status: \"exit 3 # or so\""),
        "{text}"
    );
    let output = folder.run(port, &["-once", "-template", "a.tmpl:b", "-exec", "cat b; exit 5"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(5), WWW_FILE.to_owned()));
}
