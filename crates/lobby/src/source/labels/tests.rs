//! Tests of the label task: what is read again when, and what survives a folder that cannot be written.

use std::{fs::FileTimes, time::Duration};

use lobby_core::limits;
use tempfile::TempDir;

use super::*;
use crate::node::UPDATES;

/// A label folder, a data folder and a task that is not running.
struct Bench {
    labels: TempDir,
    data: TempDir,
    updates: mpsc::Sender<Update>,
    sent: mpsc::Receiver<Update>,
}

impl Bench {
    fn new() -> Self {
        let (updates, sent) = mpsc::channel(UPDATES);
        Self { labels: tempfile::tempdir().unwrap(), data: tempfile::tempdir().unwrap(), updates, sent }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.labels.path().join(name)
    }

    /// Writes a file in place, as if it had been changed at this time.
    fn write(&self, name: &str, text: &str, changed: std::time::SystemTime) {
        fs::write(self.path(name), text).unwrap();
        let file = fs::File::options().write(true).open(self.path(name)).unwrap();
        file.set_times(FileTimes::new().set_modified(changed)).unwrap();
    }

    fn load(&self, config: LabelsConfig) -> Labels {
        let folder = Some(self.labels.path().to_owned());
        let config = LabelsConfig { folder, runtime_filename: "_runtime".into(), ..config };
        Labels::load(config, Some(self.data.path()), Arc::default())
    }

    /// Adds and removes runtime labels, without the node task that would be waited for.
    async fn change(labels: &mut Labels, added: &[&str], removed: &[&str]) {
        labels.runtime.extend(added.iter().map(|label| label.parse().unwrap()));
        labels.runtime.retain(|label| !removed.contains(&label.as_str()));
        labels.save().await.unwrap();
    }
}

fn texts(labels: &Labels) -> Vec<String> {
    labels.all().iter().map(ToString::to_string).collect()
}

fn now() -> std::time::SystemTime {
    std::time::UNIX_EPOCH + Duration::from_micros(lobby_exchange::clock::unix_micros())
}

fn long_ago() -> std::time::SystemTime {
    now() - Duration::from_secs(3600)
}

#[tokio::test]
async fn a_file_written_just_before_a_save_is_still_news() {
    let mut bench = Bench::new();
    let mut labels = bench.load(LabelsConfig::default());
    bench.write("late", "late:1\n", long_ago());
    Bench::change(&mut labels, &["added:1"], &[]).await;
    labels.look(&bench.updates).await;
    assert_eq!(texts(&labels), ["added:1", "late:1"]);
    assert!(matches!(bench.sent.try_recv(), Ok(Update::Labels(..))));
}

#[tokio::test]
async fn a_label_deleted_while_the_folder_cannot_be_written_stays_deleted() {
    let bench = Bench::new();
    bench.write("_runtime", "old:1\nold:2\n", long_ago());
    // Not even root can write a draft where a folder is.
    let draft = bench.path(&format!("._runtime.{}~", std::process::id()));
    fs::create_dir(&draft).unwrap();
    let mut labels = bench.load(LabelsConfig::default());
    Bench::change(&mut labels, &[], &["old:1"]).await;
    labels.reread().await;
    assert_eq!(texts(&labels), ["old:2"]);
    assert_eq!(texts(&bench.load(LabelsConfig::default())), ["old:2"], "after a restart too");

    fs::remove_dir(&draft).unwrap();
    Bench::change(&mut labels, &["new:1"], &[]).await;
    assert_eq!(fs::read_to_string(bench.path("_runtime")).unwrap(), "new:1\nold:2\n");
    bench.write("_runtime", "by-hand:1\n", long_ago());
    assert_eq!(texts(&bench.load(LabelsConfig::default())), ["by-hand:1"], "the runtime file counts again");
}

#[tokio::test]
async fn a_file_rewritten_in_place_within_one_tick_of_its_clock_is_read_again() {
    let bench = Bench::new();
    let changed = now();
    bench.write("a", "a:1\n", changed);
    let mut labels = bench.load(LabelsConfig::default());
    bench.write("a", "b:1\n", changed);
    labels.look(&bench.updates).await;
    assert_eq!(texts(&labels), ["b:1"]);
}

#[tokio::test]
async fn a_nudge_reads_files_that_look_the_same() {
    let mut bench = Bench::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    std::os::unix::fs::symlink(&target, bench.path("a")).unwrap();
    bench.write("a", "a:1\n", long_ago());
    let changed = fs::metadata(&target).unwrap().modified().unwrap();
    let labels = bench.load(LabelsConfig::default());
    bench.write("a", "b:1\n", changed);

    let (_commands_in, commands) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let task = tokio::spawn(labels.run(commands, bench.updates.clone(), CancellationToken::new(), stop.clone()));
    let told = async {
        loop {
            // Only inotify sees a hidden file. It may begin to look a moment after the task.
            fs::write(bench.path(".nudge"), "").unwrap();
            if let Ok(told) = tokio::time::timeout(Duration::from_millis(100), bench.sent.recv()).await {
                return told;
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(10), told).await.expect("inotify tells of the change");
    assert!(matches!(told, Some(Update::Labels(labels, None)) if labels == ["b:1".parse().unwrap()]));
    stop.cancel();
    task.await.unwrap();
}

#[test]
fn everything_refused_is_counted() {
    let bench = Bench::new();
    bench.write("bad", "b\u{1}d\n", long_ago());
    let many: String = (0..limits::LABELS).map(|n| format!("l:{n}\n")).collect();
    bench.write("many", &many, long_ago());
    let fixed = vec!["one:1".parse().unwrap(), "two:1".parse().unwrap()];
    let labels = bench.load(LabelsConfig { fixed, refused_fixed: 5, ..LabelsConfig::default() });
    labels.counted();
    assert_eq!(labels.stats.labels_refused.load(Ordering::Relaxed), 1 + 2 + 5);
}
