//! Folders that change: what is sent after which change, and what stays while a file is broken.

use std::fs;

use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::captured::Log;

/// Far above what any test needs.
const SOON: Duration = Duration::from_secs(20);

fn write(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) {
    fs::write(folder.path().join(name), text).unwrap();
}

fn service(name: &str) -> String {
    format!("[service]\nname = '{name}'\nport = 80\n")
}

/// The names of files with the ids of their instances.
fn summary(definitions: &Definitions) -> Vec<(String, Vec<String>)> {
    let ids = |file: &File| file.registrations.iter().map(|one| one.instance.id.to_string()).collect();
    definitions.files.iter().map(|file| (file.name.to_string(), ids(file))).collect()
}

fn pairs(expected: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    expected.iter().map(|(name, ids)| (String::from(*name), texts(ids))).collect()
}

/// Follows a folder of its own.
struct Follower {
    folder: TempDir,
    sent: mpsc::Receiver<Definitions>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Follower {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sender, sent) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let task = tokio::spawn(follow(folder.path().to_owned(), sender, stop.clone()));
        Self { folder, sent, stop, task }
    }

    async fn next(&mut self) -> Definitions {
        tokio::time::timeout(SOON, self.sent.recv()).await.expect("something is sent").expect("it goes on")
    }

    /// Waits until this is sent. Everything that was sent until then has had what `must_hold` says.
    async fn until(&mut self, expected: &[(&str, &[&str])], must_hold: impl Fn(&Definitions) -> bool) -> Definitions {
        loop {
            let definitions = self.next().await;
            assert!(must_hold(&definitions), "{definitions:?}");
            if summary(&definitions) == pairs(expected) {
                return definitions;
            }
        }
    }
}

#[test]
fn the_examples_are_good_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/services.d");
    let definitions = load(&folder);
    assert_eq!(summary(&definitions), pairs(&[("db.json", &["db", "db-metrics"]), ("web.toml", &["web-1"])]));
    assert_eq!((definitions.unread.len(), definitions.refused), (0, 0));
}

#[test]
fn load_reads_all_that_is_good() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(load(&folder.path().join("none")), Definitions::default());
    write(&folder, "b.toml", service("b"));
    write(&folder, "a.json", r#"{"services": [{"name": "a"}, {"name": "a2"}]}"#);
    write(&folder, "c.toml", "[service]\n");
    for name in ["x.txt", ".hidden.toml", "b.toml~", "toml"] {
        write(&folder, name, service("x"));
    }
    let log = Log::start();
    let definitions = load(folder.path());
    assert_eq!(summary(&definitions), pairs(&[("a.json", &["a", "a2"]), ("b.toml", &["b"])]));
    assert_eq!((&*definitions.unread, definitions.refused), (&["c.toml".into()][..], 1));
    assert_eq!(log.text(), "");
}

#[tokio::test]
async fn changes_are_followed() {
    let mut follower = Follower::start();
    assert_eq!(follower.next().await, Definitions::default());
    write(&follower.folder, "a.toml", service("web"));
    follower.until(&[("a.toml", &["web"])], |_| true).await;
    write(&follower.folder, "a.toml", service("web2"));
    write(&follower.folder, "b.json", r#"{"service": {"name": "b"}}"#);
    follower.until(&[("a.toml", &["web2"]), ("b.json", &["b"])], |_| true).await;
    fs::remove_file(follower.folder.path().join("a.toml")).unwrap();
    follower.until(&[("b.json", &["b"])], |_| true).await;
    follower.stop.cancel();
    tokio::time::timeout(SOON, follower.task).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn a_broken_file_stays_what_it_was_until_it_is_good_again_or_gone() {
    let log = Log::start();
    let mut follower = Follower::start();
    write(&follower.folder, "a.toml", service("web"));
    follower.until(&[("a.toml", &["web"])], |_| true).await;
    let keeps = |definitions: &Definitions| summary(definitions).contains(&pairs(&[("a.toml", &["web"])])[0]);
    for broken in ["", "[serv", "[service]\nname = 'web'\nport = 70000\n"] {
        write(&follower.folder, "a.toml", broken);
        while {
            let definitions = follower.next().await;
            assert!(keeps(&definitions), "{definitions:?}");
            definitions.refused == 0
        } {}
        // What is good is not held up by what is broken.
        write(&follower.folder, "b.toml", service("b"));
        let all: &[(&str, &[&str])] = &[("a.toml", &["web"]), ("b.toml", &["b"])];
        assert_eq!(follower.until(all, keeps).await.refused, 1);
        fs::remove_file(follower.folder.path().join("b.toml")).unwrap();
        follower.until(&[("a.toml", &["web"])], keeps).await;
        write(&follower.folder, "a.toml", format!("# {broken:?}\n{}", service("web")));
        while follower.next().await.refused > 0 {}
    }
    assert_eq!(log.text().matches("a.toml: it is empty; what it said before stays").count(), 1, "{}", log.text());
    assert_eq!(log.text().lines().count(), 3, "{}", log.text());
    write(&follower.folder, "a.toml", "[serv");
    fs::remove_file(follower.folder.path().join("a.toml")).unwrap();
    follower.until(&[], |_| true).await;
}

/// Makes a file longer again and again, faster than a change is taken for over.
async fn grow(folder: &TempDir, times: usize) {
    for n in 1..=times {
        tokio::time::sleep(SETTLED * 4 / 5).await;
        write(folder, "a.toml", "x".repeat(n));
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_being_written_is_waited_for_but_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = Scan::default();
    write(&folder, "a.toml", "");
    let (scan, ()) = tokio::join!(look_settled(folder.path(), &nothing), grow(&folder, 10));
    assert!(scan.unwrap().still_shows(&folder.path().join("a.toml")));
    let start = tokio::time::Instant::now();
    tokio::select! {
        scan = look_settled(folder.path(), &nothing) => assert_eq!(scan.unwrap().paths().count(), 1),
        () = grow(&folder, 10 * SETTLES) => panic!("it waits for ever"),
    }
    let n_settles = start.elapsed().as_millis() / SETTLED.as_millis();
    assert!((SETTLES as u128..SETTLES as u128 + 5).contains(&n_settles), "{n_settles}");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_being_replaced_is_not_gone() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.toml", "");
    let before = look(folder.path()).unwrap();
    fs::remove_file(folder.path().join("a.toml")).unwrap();
    let (scan, ()) = tokio::join!(look_settled(folder.path(), &before), grow(&folder, 1));
    assert_eq!(scan.unwrap().paths().count(), 1);
    fs::remove_file(folder.path().join("a.toml")).unwrap();
    assert_eq!(look_settled(folder.path(), &before).await.unwrap(), Scan::default());
}

#[tokio::test]
async fn it_ends_when_nobody_listens() {
    let follower = Follower::start();
    drop(follower.sent);
    write(&follower.folder, "a.toml", service("web"));
    tokio::time::timeout(SOON, follower.task).await.expect("it ends").unwrap();
}

#[test]
fn problems_are_told_once_per_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    write(&folder, "a.toml", "[serv");
    let news = known.read(look(folder.path()));
    assert!(
        news.len() == 1
            && news[0].starts_with("service file a.toml: ")
            && news[0].ends_with("what an earlier run had of it stays"),
        "{news:?}"
    );
    assert_eq!(known.read(look(folder.path())), [""; 0]);
    write(&folder, "a.toml", "[serv]");
    assert_eq!(known.read(look(folder.path())).len(), 1, "another problem");
    write(&folder, "a.toml", service("a"));
    assert_eq!(known.read(look(folder.path())), [""; 0]);
    write(&folder, "a.toml", "[serv]");
    assert!(known.read(look(folder.path()))[0].ends_with("what it said before stays"));
    for n in 0..20 {
        write(&folder, &format!("b{n}.toml"), "x");
    }
    let news = known.read(look(folder.path()));
    assert_eq!((news.len(), known.definitions.refused), (PROBLEMS + 1, 21));
    assert_eq!(news[PROBLEMS], "service files: 10 more problems");
}

#[test]
fn what_has_changed_since_the_scan_waits_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    write(&folder, "a.toml", "[[services]]\nname = 'a'\n[[services]]\nname = 'b'\n");
    let scan = look(folder.path());
    known.read(scan);
    let scan = look(folder.path());
    write(&folder, "a.toml", "[[services]]\nname = 'a'\n");
    assert_eq!(known.read(scan), [""; 0]);
    assert_eq!(summary(&known.definitions), pairs(&[("a.toml", &["a", "b"])]));
    let scan = look(folder.path());
    fs::remove_file(folder.path().join("a.toml")).unwrap();
    assert_eq!(known.read(scan), [""; 0]);
    assert_eq!(summary(&known.definitions), pairs(&[("a.toml", &["a", "b"])]));
    known.read(look(folder.path()));
    assert_eq!(summary(&known.definitions), []);
}

#[test]
fn the_first_file_owns_an_id() {
    let folder = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    let check = "[check]\nid = 'x'\nname = 'x'\nttl = '1s'\n";
    write(&folder, "a.toml", service("web"));
    write(&folder, "b.toml", format!("{}{}{check}", service("web"), "[[services]]\nname = 'b'\n"));
    write(&folder, "c.toml", check);
    let news = known.read(look(folder.path()));
    let summed = summary(&known.definitions);
    assert_eq!(summed, pairs(&[("a.toml", &["web"]), ("b.toml", &["b"]), ("c.toml", &[])]));
    assert_eq!((news.len(), known.definitions.refused), (2, 2));
    assert_eq!(news[0], "service file b.toml: web is defined in a.toml already; that counts");
    let n_checks: Vec<_> = known.definitions.files.iter().map(|file| file.checks.len()).collect();
    assert_eq!(n_checks, [0, 1, 0]);
    fs::remove_file(folder.path().join("a.toml")).unwrap();
    known.read(look(folder.path()));
    assert_eq!(summary(&known.definitions)[0], pairs(&[("b.toml", &["web", "b"])])[0]);
}

#[test]
fn a_folder_that_cannot_be_read_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    write(&folder, "a.toml", service("web"));
    let unreadable = || look(&folder.path().join("a.toml"));
    assert_eq!(known.read(unreadable()).len(), 1);
    assert!(known.definitions.is_unreadable);
    known.read(look(folder.path()));
    assert!(!known.definitions.is_unreadable);
    assert_eq!(known.read(unreadable()).len(), 1);
    assert_eq!(summary(&known.definitions), pairs(&[("a.toml", &["web"])]));
    assert!(!known.definitions.is_unreadable);
    known.read(look(&folder.path().join("none")));
    assert_eq!(known.definitions, Definitions::default(), "a folder that is gone is empty");
}

#[test]
fn there_is_a_most_of_files() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..FILES {
        write(&folder, &format!("{n:04}.toml"), "check = []");
    }
    let mut known = Known::default();
    assert_eq!(known.read(look(folder.path())), [""; 0]);
    write(&folder, "9999.toml", "check = []");
    let news = known.read(look(folder.path()));
    assert_eq!(news, ["only the first 1024 service files in sorted order are read"]);
    assert_eq!((known.definitions.files.len(), known.definitions.refused), (FILES, 1));
}
