//! Runs end in time, are killed as a group, and are counted.

use super::*;
use crate::captured;

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).into()
}

fn job(command: &[String], input: Vec<u8>) -> Job<'_> {
    Job { runner: Runner::Hook, name: "test", command, timeout: Duration::from_secs(30), env: Vec::new(), input, keep: None }
}

async fn run(job: Job<'_>) -> (End, Option<Vec<u8>>) {
    tokio::time::timeout(Duration::from_secs(10), job.run()).await.expect("the run ends with its command")
}

async fn succeeds(script: &str, input: Vec<u8>) {
    assert_eq!(run(job(&shell(script), input)).await, (End::Succeeded, None));
}

#[tokio::test]
async fn the_last_words_of_a_command_reach_the_log() {
    let log = captured::Log::start();
    let folder = tempfile::tempdir().unwrap();
    for n in 0..10 {
        let path = folder.path().join(n.to_string());
        let script = format!("echo $$ > {}; echo word-{n}.; echo error-{n}. >&2", path.display());
        // Holds up this thread until the command has ended: then its end and its output are news at the same time.
        let hold_up = async {
            tokio::task::yield_now().await;
            let is_over = || {
                let pid = std::fs::read_to_string(&path).ok().filter(|pid| pid.ends_with('\n'))?;
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
                (stat.is_empty() || stat.contains(") Z ")).then_some(())
            };
            while is_over().is_none() {
                std::thread::yield_now();
            }
        };
        tokio::join!(succeeds(&script, Vec::new()), hold_up);
        let text = log.text();
        assert!(text.contains(&format!("word-{n}.")) && text.contains(&format!("error-{n}.")), "{n}: {text}");
    }
}

#[tokio::test]
async fn a_child_that_holds_the_pipes_does_not_hold_up_the_run() {
    // More input than a pipe takes, and nobody who reads it. The child ends itself.
    succeeds("exec 3<&0; sleep 20 <&3 & exit 0", vec![b'x'; 1 << 20]).await;
}

#[tokio::test]
async fn the_input_arrives_whole() {
    succeeds("test $(wc -c) = 1048576", vec![b'x'; 1 << 20]).await;
}

#[tokio::test]
async fn an_answer_is_kept_and_one_that_is_too_long_is_not_given() {
    let log = captured::Log::start();
    let command = shell("cat; echo aside >&2");
    for (n_bytes, is_kept) in [(0, true), (1000, true), (1001, false), (1 << 20, false)] {
        let input = vec![b'x'; n_bytes];
        let (end, answer) = run(Job { keep: Some(1000), ..job(&command, input.clone()) }).await;
        assert_eq!((end, answer), (End::Succeeded, is_kept.then_some(input)), "{n_bytes}");
    }
    assert!(log.text().contains("aside") && !log.text().contains("xx"), "{}", log.text());
}

#[tokio::test]
async fn the_log_says_for_whom_a_command_was_run() {
    let log = captured::Log::start();
    let command = shell("echo said; exit 3");
    for (runner, word) in [(Runner::Hook, "hook=test"), (Runner::Handler, "handler=test")] {
        run(Job { runner, ..job(&command, Vec::new()) }).await;
        assert_eq!(log.text().matches(word).count(), 2, "what it said and how it ended: {}", log.text());
    }
}

#[tokio::test]
async fn variables_are_set_and_every_end_has_its_name() {
    let command = shell("test \"$LOBBY_X\" = 'a b'");
    let with = Job { env: vec![("LOBBY_X".into(), "a b".into())], ..job(&command, Vec::new()) };
    assert_eq!(run(with).await.0, End::Succeeded);
    assert_eq!(run(job(&command, Vec::new())).await.0, End::Failed);
    assert_eq!(run(job(&["/nowhere/at-all".to_owned()], Vec::new())).await.0, End::Failed);
    let slow = shell("sleep 20");
    assert_eq!(run(Job { timeout: Duration::from_millis(50), ..job(&slow, Vec::new()) }).await.0, End::TimedOut);
}

#[test]
fn secrets_are_not_inherited() {
    let command = command("true", &[]);
    let removed: Vec<_> = command.as_std().get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
    for name in ["TOKEN", "LOBBY_TOKEN", "GOSSIP_KEY", "LOBBY_GOSSIP_KEY", "NATS_PASSWORD", "LOBBY_REDIS_PASSWORD"] {
        assert!(removed.iter().any(|removed| *removed == name), "{name} in {removed:?}");
    }
}
