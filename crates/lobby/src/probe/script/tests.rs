//! Scripts of a real shell: exit codes, deadlines, process groups, outputs without an end.

use super::*;
use crate::probe::tests::{check, check_within, eventually, text};
use lobby_core::check::{kind::Kind, output::Output};

fn shell(script: &str) -> Kind {
    kind(&["sh", "-c", script])
}

fn kind(args: &[&str]) -> Kind {
    Kind::Script { args: args.iter().map(|&arg| arg.to_owned()).collect() }
}

/// Whether a process is there and not only waits to be taken back.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn the_exit_code_is_the_result() {
    let cases = [
        ("exit 0", Status::Passing),
        ("exit 1", Status::Warning),
        ("exit 2", Status::Critical),
        ("exit 255", Status::Critical),
        ("kill -9 $$", Status::Critical),
        ("cat", Status::Passing),
    ];
    for (script, status) in cases {
        let verdict = check(&shell(script)).await;
        assert_eq!(verdict.status, status, "{script}");
        assert_eq!(verdict.output().tail.is_empty(), status == Status::Passing, "{script}: {verdict:?}");
    }
}

#[tokio::test]
async fn both_outputs_in_their_order() {
    let verdict = check(&shell("for n in 1 2 3; do echo out $n; echo err $n >&2; done; exit 1")).await;
    assert_eq!(text(&verdict), "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n");
    let verdict = check(&shell("exec >&- 2>&-; exit 1")).await;
    assert_eq!(verdict.status, Status::Warning, "an output that ends first does not end the run");
}

#[tokio::test]
async fn there_is_no_shell() {
    assert_eq!(text(&check(&kind(&["printf", "%s", "$HOME; echo x"])).await), "$HOME; echo x");
    let verdict = check(&kind(&["/nothing/here"])).await;
    assert_eq!(verdict.status, Status::Critical);
    assert!(text(&verdict).starts_with("cannot start /nothing/here: "), "{verdict:?}");
    assert_eq!(check(&kind(&[])).await.status, Status::Critical);
}

#[tokio::test]
async fn of_much_output_the_end_is_kept_and_all_is_counted() {
    let verdict = check_within(&shell("head -c 300000 /dev/zero; printf end"), Duration::from_secs(10), 5).await;
    assert_eq!((verdict.status, verdict.output()), (Status::Passing, Output { tail: "\0\0end", total: 300_003 }));
}

#[tokio::test]
async fn endless_output_ends_at_the_deadline() {
    let verdict = check_within(&shell("yes"), Duration::from_secs(1), 10).await;
    assert_eq!(verdict.status, Status::Critical);
    let text = text(&verdict);
    assert!(text.starts_with("killed: it took longer than 1s\n[last 10 of "), "{text}");
    assert!(text.ends_with("y\ny\ny\ny\ny\n") && text.len() < 200, "{text}");
}

#[tokio::test]
async fn at_the_deadline_the_whole_group_is_killed() {
    let verdict = check_within(&shell("sleep 600 & echo $!; echo $$; wait"), Duration::from_secs(2), 4096).await;
    assert_eq!(verdict.status, Status::Critical);
    let text = text(&verdict);
    let pids: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(pids.len(), 2, "{text}");
    eventually(|| !pids.iter().any(|pid| is_alive(pid))).await;
}

#[tokio::test]
async fn a_dropped_run_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pids");
    let script = shell(&format!("sleep 600 & echo $! $$. > {}; wait", path.display()));
    let mut pids = String::new();
    tokio::select! {
        verdict = check(&script) => panic!("{verdict:?}"),
        () = eventually(|| {
            pids = std::fs::read_to_string(&path).unwrap_or_default();
            pids.ends_with(".\n")
        }) => {}
    }
    let pids: Vec<&str> = pids.trim_end_matches(".\n").split(' ').collect();
    assert_eq!(pids.len(), 2);
    eventually(|| !pids.iter().any(|pid| is_alive(pid))).await;
}

#[tokio::test]
async fn a_child_that_holds_the_output_does_not_hold_up_the_run() {
    let verdict = check(&shell("sleep 20 & echo $!")).await;
    assert_eq!(verdict.status, Status::Passing);
    let pid = text(&verdict);
    assert!(is_alive(&pid), "what a command leaves behind on purpose goes on");
    let pid = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn any_bytes_are_output() {
    let verdict = check(&shell(r"printf 'a\377b'")).await;
    assert_eq!(verdict.output(), Output { tail: "a\u{fffd}b", total: 3 });
}
