//! Changes that are taken, refused or cut short, with checks that are plain commands of a shell.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::*;
use crate::nginx::File;

struct Case {
    folder: TempDir,
    nginx: Nginx,
}

impl Case {
    /// The check runs in the folder.
    fn new(check: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let check_command = Some(format!("cd {} && {check}", folder.path().display()));
        let nginx = Nginx { upstreams: Some(folder.path().to_owned()), check_command, ..Nginx::default() };
        Self { folder, nginx }
    }

    async fn put(&self, files: &[(&str, &str)]) -> Result<Put, PutError> {
        let file = |(name, text): &(&str, &str)| File { path: self.path(name), text: (*text).into() };
        let layout = Layout { files: files.iter().map(file).collect(), ..Layout::default() };
        self.files().put(&layout, &Surroundings::default()).await
    }

    /// As a new process has them.
    fn files(&self) -> Files {
        Files::new(&self.nginx).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// All files but those of the list and the mark.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name != LIST && name != MARK).collect();
        names.sort();
        names
    }
}

fn put(n_written: usize, n_removed: usize) -> Put {
    Put { n_written, n_removed }
}

#[tokio::test]
async fn what_is_there_is_left_alone_and_what_is_gone_is_removed_if_it_was_ours() {
    let case = Case::new("echo x >>checks");
    fs::write(case.path("hand.conf"), "theirs").unwrap();
    assert_eq!(case.put(&[("a.conf", "1"), ("stream/b.conf", "2")]).await.unwrap(), put(2, 0));
    assert!(case.files().is_reload_due(), "a later process knows");
    case.files().reloaded().unwrap();
    assert_eq!(case.put(&[("a.conf", "1"), ("stream/b.conf", "2")]).await.unwrap(), put(0, 0));
    assert!(!case.files().is_reload_due());
    assert_eq!(case.put(&[("a.conf", "3")]).await.unwrap(), put(1, 1));
    assert!(case.files().is_reload_due());
    assert_eq!(case.names(), ["a.conf", "checks", "hand.conf", "stream"]);
    assert_eq!((case.text("stream/b.conf"), case.text("a.conf")), (None, Some("3".into())));
    assert_eq!(case.text("checks").unwrap(), "x\nx\n", "one check a change, none without one");
    assert_eq!(case.put(&[]).await.unwrap(), put(0, 1));
    assert_eq!(case.names(), ["checks", "hand.conf", "stream"]);
}

#[tokio::test]
async fn a_change_that_is_refused_leaves_every_file_as_it_was() {
    let case = Case::new("if grep -rs broken *.conf; then exit 1; fi");
    case.put(&[("a.conf", "1"), ("b.conf", "2")]).await.unwrap();
    case.files().reloaded().unwrap();
    let err = case.put(&[("a.conf", "new"), ("c.conf", "broken")]).await.unwrap_err();
    assert!(matches!(err, PutError::Check { n_restored: 3, .. }), "{err}");
    assert!(err.to_string().contains("c.conf:broken"), "{err}");
    assert_eq!(case.names(), ["a.conf", "b.conf"]);
    assert_eq!((case.text("a.conf"), case.text("b.conf")), (Some("1".into()), Some("2".into())));
    assert!(!case.files().is_reload_due(), "nothing is new for nginx");
    // The file that came back is ours still.
    assert_eq!(case.put(&[("a.conf", "1")]).await.unwrap(), put(0, 1));
    // A reload that was due before stays due.
    case.put(&[("c.conf", "broken")]).await.unwrap_err();
    assert!(case.files().is_reload_due());
}

#[tokio::test]
async fn a_file_that_cannot_be_written_takes_the_others_back() {
    let case = Case::new("true");
    case.put(&[("a.conf", "1")]).await.unwrap();
    fs::create_dir(case.path("z.conf")).unwrap();
    let err = case.put(&[("a.conf", "2"), ("z.conf", "3")]).await.unwrap_err();
    assert!(matches!(err, PutError::Write(_)), "{err}");
    assert_eq!(case.text("a.conf"), Some("1".into()));
}

#[tokio::test]
async fn what_a_crash_left_unchecked_is_checked_by_the_next_process() {
    let case = Case::new("if grep -qs broken *.conf; then exit 1; fi");
    case.put(&[("a.conf", "1")]).await.unwrap();
    let mut target = Target::plain(case.path("a.conf"), None, None);
    target.keep_last(true);
    let _ = target.apply("broken".as_bytes().into(), &Surroundings::default()).await.unwrap();
    let err = case.put(&[("a.conf", "broken")]).await.unwrap_err();
    assert!(matches!(err, PutError::Check { .. }), "{err}");
    assert_eq!((case.text("a.conf"), case.names()), (Some("1".into()), vec!["a.conf".into()]));
}

#[tokio::test]
async fn a_list_that_is_damaged_stops_everything() {
    let case = Case::new("true");
    case.put(&[("a.conf", "1")]).await.unwrap();
    fs::write(case.path(LIST), "garbage").unwrap();
    assert!(matches!(case.put(&[]).await, Err(PutError::List(_))));
    assert_eq!(case.text("a.conf"), Some("1".into()));
}

#[test]
fn commands_are_nginx_own_unless_given() {
    let argv = |nginx: &Nginx| [check_command(nginx).argv.join(" "), reload_command(nginx).argv.join(" ")];
    let mut nginx = Nginx { upstreams: Some("/u".into()), ..Nginx::default() };
    assert_eq!(argv(&nginx), ["nginx -t", "nginx -s reload"]);
    nginx = Nginx { config_file_path: Some("/n.conf".into()), ..Nginx::default() };
    assert_eq!(argv(&nginx), ["nginx -t -c /n.conf", "nginx -s reload -c /n.conf"]);
    assert_eq!(Files::new(&nginx).unwrap().mark, Path::new("/.n.conf.lobby-reload"));
    nginx.check_command = Some("true".into());
    assert_eq!(check_command(&nginx).argv, ["sh", "-c", "true"]);
    assert!(Files::new(&Nginx::default()).is_none());
}

#[tokio::test]
async fn what_is_kept_is_neither_touched_nor_taken_for_ours() {
    let case = Case::new("true");
    let _ = case.put(&[("a.conf", "1"), ("b.conf", "2")]).await.unwrap();
    fs::write(case.path("hand.conf"), "theirs").unwrap();
    let kept = Layout { kept: vec![case.path("b.conf"), case.path("hand.conf")], ..Layout::default() };
    assert_eq!(case.files().put(&kept, &Surroundings::default()).await.unwrap(), put(0, 1));
    assert_eq!(case.names(), ["b.conf", "hand.conf"]);
    assert_eq!(case.put(&[]).await.unwrap(), put(0, 1));
    assert_eq!(case.names(), ["hand.conf"]);
}
