//! Commands: their form, environment, end and deadline, what they print, what they leave behind, and paths put into them.

use std::{fs, path::Path, time::Duration};

use lobby_testkit::{eventually_async, expect};
use rustix::process::test_kill_process;
use tempfile::TempDir;

use super::{path::with_path, *};

fn command(argv: &[&str]) -> CommandSettings {
    let argv = argv.iter().map(|word| (*word).to_owned()).collect();
    CommandSettings { argv, timeout: Duration::from_secs(60), env: Env::default() }
}

async fn output(argv: &[&str]) -> Result<String, CommandError> {
    run_captured(&command(argv), &Surroundings::default()).await
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

/// Whether it runs; one that ended and that nobody waited for does not.
fn lives(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    test_kill_process(pid).is_ok() && !stat.contains(") Z ")
}

#[tokio::test]
async fn one_text_with_blanks_is_for_the_shell() {
    assert_eq!(output(&["echo a  b; echo $((1+1))"]).await.unwrap(), "a b\n2\n");
    assert_eq!(output(&["echo", "a  b; $HOME"]).await.unwrap(), "a  b; $HOME\n");
    assert_eq!(output(&["pwd"]).await.unwrap().trim(), std::env::current_dir().unwrap().to_str().unwrap());
    for empty in [&[][..], &[""], &[" \t\n"]] {
        assert!(matches!(output(empty).await, Err(CommandError::Empty)), "{empty:?}");
    }
    let err = output(&["/nonexistent/program", "x"]).await.unwrap_err();
    assert!(matches!(&err, CommandError::Start { command, .. } if command == "/nonexistent/program x"), "{err}");
}

#[tokio::test]
async fn a_failure_tells_how_and_what_was_printed() {
    let err = output(&["echo one; echo two >&2; exit 3"]).await.unwrap_err();
    let CommandError::Exit { status, output: told, .. } = &err else { panic!("{err}") };
    assert_eq!((status.code(), told.as_str()), (Some(3), "one\ntwo\n"));
    assert!(err.to_string().contains("command exited with a non-zero exit status"), "{err}");
    let err = run(&command(&["kill -TERM $$"]), &Surroundings::default()).await.unwrap_err();
    assert!(matches!(err, CommandError::Exit { .. }) && err.to_string().contains("SIGTERM"), "{err}");
}

#[tokio::test]
async fn output_is_bounded_and_never_blocks() {
    let kept = output(&["head -c 5000000 /dev/zero; head -c 40000 /dev/zero >&2"]).await.unwrap();
    assert_eq!(kept.len(), 2 * OUTPUT_BYTES);
    assert_eq!(output(&["cat"]).await.unwrap(), "", "there is no input");
}

#[tokio::test(start_paused = true)]
async fn past_its_time_the_whole_group_is_killed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pid");
    let text = format!("sleep 1000 & echo $! > {}; echo started; wait", file.display());
    // A paused clock moves on while the command runs: it is waited for until it has started.
    let run = tokio::spawn(async move {
        let late = CommandSettings { timeout: Duration::from_secs(3600), ..command(&[&text]) };
        run_captured(&late, &Surroundings::default()).await
    });
    let sleeper = eventually_async(Duration::from_secs(10), || async {
        let text = fs::read_to_string(&file).unwrap_or_default();
        if text.ends_with('\n') { Ok(pid(&text)) } else { Err(text) }
    })
    .await;
    let err = run.await.unwrap().unwrap_err();
    let CommandError::Timeout { output, .. } = &err else { panic!("{err}") };
    assert_eq!(output, "started\n");
    eventually_async(Duration::from_secs(10), || async { expect(!lives(sleeper), sleeper) }).await;
}

#[tokio::test]
async fn a_run_that_is_dropped_is_killed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pid");
    let text = format!("sleep 1000 & echo $! > {}; wait", file.display());
    let run = tokio::spawn(async move { run(&command(&[&text]), &Surroundings::default()).await });
    let sleeper = eventually_async(Duration::from_secs(10), || async {
        let text = fs::read_to_string(&file).unwrap_or_default();
        if text.ends_with('\n') { Ok(pid(&text)) } else { Err(text) }
    })
    .await;
    assert!(lives(sleeper));
    run.abort();
    eventually_async(Duration::from_secs(10), || async { expect(!lives(sleeper), sleeper) }).await;
}

#[tokio::test]
async fn a_server_put_in_the_background_goes_on() {
    // In the same group, with the pipe of its output still open: as a daemon that does not detach itself.
    let server = pid(&output(&["sleep 1000 & echo $!"]).await.unwrap());
    assert!(lives(server));
    // What ends badly leaves it alone, too: a reload that failed must not stop the old server.
    let err = output(&["sleep 1000 & echo $!; exit 1"]).await.unwrap_err();
    let CommandError::Exit { output, .. } = err else { panic!("{err}") };
    let other = pid(&output);
    assert!(lives(other));
    for pid in [server, other] {
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }
}

#[tokio::test]
async fn it_leads_a_group_of_its_own_and_is_told_of() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let around = Surroundings { started: Some(|pid| STARTED.store(pid, Ordering::Relaxed)), ..Surroundings::default() };
    let told = run_captured(&command(&["echo $$; cut -d ' ' -f 5 /proc/$$/stat"]), &around).await.unwrap();
    let started = STARTED.load(Ordering::Relaxed);
    assert_eq!(told, format!("{started}\n{started}\n"));
}

#[test]
fn the_environment_is_what_the_rules_leave() {
    let inherited = [("PATH", "/bin"), ("HOME", "/root"), ("CONSUL_HTTP_ADDR", "old"), ("SECRET", "s"), ("HIDDEN", "h")];
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let around = Surroundings {
        set: vec![("CONSUL_HTTP_ADDR".into(), "new".into()), ("BAD\0".into(), String::new()), (String::new(), "x".into())],
        unset: strings(&["SECRET"]),
        started: None,
    };
    let check = |env: Env, want: &[&str]| {
        let inherited = inherited.iter().map(|(name, value)| (name.into(), value.into()));
        // The last of a name wins.
        let found: std::collections::BTreeMap<_, _> = environment(&env, &around, inherited).into_iter().collect();
        let found: Vec<_> = found.iter().map(|(n, v)| format!("{}={}", n.to_str().unwrap(), v.to_str().unwrap())).collect();
        assert_eq!(found, want);
    };
    let env = Env { pristine: false, custom: strings(&["A=b=c", "broken", "X=\0"]), ..Env::default() };
    check(env, &["A=b=c", "CONSUL_HTTP_ADDR=new", "HIDDEN=h", "HOME=/root", "PATH=/bin"]);
    let env = Env { pristine: true, custom: strings(&["CONSUL_HTTP_ADDR=mine"]), ..Env::default() };
    check(env, &["CONSUL_HTTP_ADDR=mine"]);
    let env = Env { allowlist: strings(&["H*", "SECRET"]), denylist: strings(&["HID?EN"]), ..Env::default() };
    check(env, &["CONSUL_HTTP_ADDR=new", "HOME=/root"]);
}

#[tokio::test]
async fn a_path_is_a_word_whatever_it_contains() {
    let folder = TempDir::new().unwrap();
    for name in ["plain", "two words", "a'b\"c", "$(touch x);`id`\\", "line\nend", "-n", "\u{1f600}"] {
        let file = folder.path().join(name);
        fs::write(&file, name).unwrap();
        let forms: [&[&str]; 6] = [
            &["cat {{.Path}}"],
            &["cat < {{ .Path }} && true"],
            &["cat \"{{.Path}}\""],
            &["cat '{{.Path}}'"],
            &["cat", "{{.Path}}"],
            &["sh", "-c", "cat {{.Path}}"],
        ];
        for form in forms {
            let command = with_path(&command(form), &file).unwrap();
            assert_eq!(run_captured(&command, &Surroundings::default()).await.unwrap(), name, "{form:?}");
        }
    }
}

#[tokio::test]
async fn a_path_may_be_the_program() {
    let folder = TempDir::new().unwrap();
    for name in ["plain", "two words", "a'b"] {
        let file = folder.path().join(name);
        fs::copy("/bin/echo", &file).unwrap();
        let command = with_path(&command(&["{{.Path}}"]), &file).unwrap();
        assert_eq!(run_captured(&command, &Surroundings::default()).await.unwrap(), "\n");
    }
}

#[test]
fn a_path_that_cannot_be_a_word_is_refused() {
    for text in ["sh -c \"cat {{.Path}}\"", "echo `cat {{.Path}}`", "echo 'see {{.Path}} x'", "cat <<. {{.Path}}"] {
        assert!(with_path(&command(&[text]), Path::new("/plain/path")).is_ok(), "{text}");
        let refused = with_path(&command(&[text]), Path::new("/a path"));
        assert!(matches!(refused, Err(CommandError::Path { .. })), "{text}");
    }
    assert_eq!(with_path(&command(&["--file={{.Path}}", "x"]), Path::new("/a path")).unwrap().argv, ["--file=/a path", "x"]);
}

#[tokio::test]
async fn a_path_of_its_own_is_for_the_program_and_not_for_finding_it() {
    let env = Env { custom: vec!["PATH=$PATH:/nowhere".into()], ..Env::default() };
    for argv in [&["/bin/echo $PATH"][..], &["sh", "-c", "/bin/echo $PATH"]] {
        let command = CommandSettings { env: env.clone(), ..command(argv) };
        assert_eq!(run_captured(&command, &Surroundings::default()).await.unwrap(), "$PATH:/nowhere\n", "{argv:?}");
    }
    // What only that one has is found, too.
    let folder = TempDir::new().unwrap();
    fs::copy("/bin/echo", folder.path().join("only-here")).unwrap();
    let env = Env { custom: vec![format!("PATH={}", folder.path().display())], ..Env::default() };
    let command = CommandSettings { env, ..command(&["only-here", "x"]) };
    assert_eq!(run_captured(&command, &Surroundings::default()).await.unwrap(), "x\n");
}

#[tokio::test]
async fn those_in_the_background_are_bounded() {
    let held = BACKGROUND.try_acquire_many(IN_BACKGROUND as u32).unwrap();
    let background = CommandSettings { timeout: Duration::ZERO, ..command(&["true"]) };
    let err = run(&background, &Surroundings::default()).await.unwrap_err();
    assert!(matches!(&err, CommandError::TooMany { command } if command == "true"), "{err}");
    drop(held);
    run(&background, &Surroundings::default()).await.unwrap();
    eventually_async(Duration::from_secs(10), || async { expect(BACKGROUND.available_permits() == IN_BACKGROUND, ()) }).await;
}
