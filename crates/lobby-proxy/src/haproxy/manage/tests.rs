//! A real HAProxy: started, killed, adopted by the next supervisor, reloaded by its master.

use std::net::{SocketAddr, TcpStream};

use lobby_testkit::{eventually_async, expect};

use tokio::process::Command;

use super::{place::open_lock, *};
use crate::haproxy::master;
use crate::haproxy::{
    reload::way::{ReloadError, Way},
    stats::Status,
};

const WITHIN: Duration = Duration::from_secs(10);

fn program() -> PathBuf {
    "/usr/sbin/haproxy".into()
}

/// A folder with a file that listens; what is left of HAProxy ends with it.
struct Place {
    folder: tempfile::TempDir,
    settings: Haproxy,
    port: SocketAddr,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("haproxy.cfg");
        let settings = Haproxy { config_file_path: Some(file), program: Some(program()), manage: true, ..Haproxy::default() };
        let place = Self { folder, settings, port: lobby_testkit::port::free_address() };
        place.write("");
        place
    }

    fn write(&self, more: &str) {
        let text = format!(
            "defaults\n\tmode http\n\ttimeout client 1s\n\ttimeout server 1s\n\ttimeout connect 1s\n\
            frontend f\n\tbind {}\n\thttp-request return status 200\n{more}",
            self.port
        );
        std::fs::write(self.folder.path().join("haproxy.cfg"), text).unwrap();
    }

    fn supervise(&self) -> (Managed, Arc<Stats>) {
        let stats = Arc::new(Stats::default());
        (supervise(&self.settings, &Surroundings::default(), Arc::clone(&stats)).unwrap(), stats)
    }

    async fn serves(&self) {
        eventually_async(WITHIN, async || expect(TcpStream::connect(self.port).is_ok(), "refused")).await;
    }

    fn managing(&self) -> Managing {
        Managing::of(&self.settings, &Surroundings::default()).unwrap()
    }
}

fn is_ours(managing: &Managing, pid: u32) -> bool {
    managing.is_ours(pid, &managing.socket)
}

impl Drop for Place {
    fn drop(&mut self) {
        let managing = self.managing();
        let Written { pid, leaving, .. } = managing.written();
        // Workers end with their master.
        pid.into_iter()
            .chain(leaving)
            .filter(|pid| managing.is_ours(*pid, &managing.socket))
            .for_each(|pid| signal(pid, Signal::KILL));
    }
}

#[tokio::test]
async fn killed_it_serves_again_within_a_second_and_a_new_supervisor_adopts_it() {
    let place = Place::new();
    let (managed, stats) = place.supervise();
    place.serves().await;
    let first = managed.pid().unwrap();
    let killed = Instant::now();
    signal(first, Signal::KILL);
    let second = eventually_async(WITHIN, async || managed.pid().filter(|pid| *pid != first).ok_or(stats.status())).await;
    place.serves().await;
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    assert!(matches!(stats.status(), Status { starts: 2, crashes: 1, .. }), "{:?}", stats.status());
    drop(managed);

    let (managed, stats) = place.supervise();
    eventually_async(WITHIN, async || expect(managed.pid() == Some(second), managed.pid())).await;
    assert_eq!(stats.status().starts, 0, "adopted, not started twice");
    let killed = Instant::now();
    signal(second, Signal::KILL);
    eventually_async(WITHIN, async || managed.pid().filter(|pid| *pid != second).ok_or(stats.status())).await;
    place.serves().await;
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());

    let third = managed.pid().unwrap();
    eventually_async(WITHIN, async || master::processes(&place.managing().socket).await).await;
    let killed = Instant::now();
    assert!(Command::new("pkill").args(["-KILL", "-P", &third.to_string()]).status().await.unwrap().success(), "its worker");
    let last = eventually_async(WITHIN, async || managed.pid().filter(|pid| *pid != third).ok_or(stats.status())).await;
    place.serves().await;
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    drop(managed);
    release(&place.settings, &Surroundings::default()).await;
    eventually_async(WITHIN, async || expect(!is_ours(&place.managing(), last), "it runs")).await;
    assert!(!place.managing().pid_file.exists());
}

#[tokio::test]
async fn with_another_key_for_its_socket_or_adopted_without_a_pid_file_it_is_ended_all_the_same() {
    let mut place = Place::new();
    let (own, folder) = (place.folder.path().join("own.sock"), place.folder.path().to_owned());
    place.settings.master_socket = Some(own.clone());
    let (managed, _) = place.supervise();
    place.serves().await;
    let pid = managed.pid().unwrap();
    eventually_async(WITHIN, async || master::processes(&own).await).await;
    drop(managed);
    std::fs::remove_file(place.managing().pid_file).unwrap();
    let (managed, _) = place.supervise();
    eventually_async(WITHIN, async || expect(managed.pid() == Some(pid), managed.pid())).await;
    drop(managed);
    let started = place.managing();
    place.settings = Haproxy { manage: false, master_socket: None, ..place.settings.clone() };
    assert_eq!(master_socket(&place.settings), Some(folder.join("haproxy-master.sock")));
    release(&place.settings, &Surroundings::default()).await;
    eventually_async(WITHIN, async || expect(!is_ours(&started, pid), "it runs")).await;
    assert!(!started.pid_file.exists());
}

#[tokio::test]
async fn a_file_that_says_daemon_does_not_end_it() {
    let place = Place::new();
    place.write("global\n\tdaemon\n");
    let (managed, stats) = place.supervise();
    place.serves().await;
    let master = eventually_async(WITHIN, async || master::processes(&place.managing().socket).await).await.master;
    assert_eq!(managed.pid(), Some(master));
    let status = stats.status();
    assert!(status.starts == 1 && status.crashes == 0, "{status:?}");
}

#[tokio::test]
async fn a_crash_loop_backs_off_and_a_new_file_ends_it() {
    let place = Place::new();
    place.write("nonsense\n");
    let (managed, stats) = place.supervise();
    let backoff = || stats.status().backoff_ms.unwrap_or(0);
    eventually_async(WITHIN, async || expect(backoff() >= 400, stats.status())).await;
    let status = stats.status();
    assert!(status.crashes >= 3 && status.managed_pid.is_none() && status.last_error.is_some(), "{status:?}");
    place.write("");
    managed.new_file();
    place.serves().await;
    eventually_async(WITHIN, async || expect(stats.status().backoff_ms.is_none(), stats.status())).await;
}

#[tokio::test]
async fn its_master_reloads_it_and_tells_of_a_file_that_it_does_not_take() {
    let place = Place::new();
    let (managed, _) = place.supervise();
    place.serves().await;
    let (way, around) = (Way::of(&place.settings).unwrap(), Surroundings::default());
    // A worker may serve before its master listens.
    let processes = async || eventually_async(WITHIN, async || master::processes(&place.managing().socket).await).await;
    let before = processes().await;
    way.go(&around).await.unwrap();
    let after = processes().await;
    assert_eq!((after.n_reloads, after.n_failed, after.n_workers), (before.n_reloads + 1, 0, 1));
    place.write("nonsense\n");
    let err = way.go(&around).await.unwrap_err();
    assert!(matches!(err, ReloadError::Master { err: master::MasterError::Refused { .. } }), "{err}");
    place.serves().await;
    place.write("");
    way.go(&around).await.unwrap();
    assert_eq!(managed.pid(), Some(after.master), "the master stays the same process");
    assert!(is_ours(&place.managing(), after.master), "also with the arguments of a reload");
}

#[tokio::test]
async fn without_a_master_a_new_process_takes_over() {
    let place = Place::new();
    let settings = Haproxy { manage: false, do_socket: false, ..place.settings.clone() };
    let way = Way::of(&settings).unwrap();
    let pid_file = place.folder.path().join("haproxy.cfg.pid");
    let pid = || std::fs::read_to_string(&pid_file).unwrap().trim().parse::<u32>().unwrap();
    way.go(&Surroundings::default()).await.unwrap();
    place.serves().await;
    let first = pid();
    way.go(&Surroundings::default()).await.unwrap();
    let second = pid();
    let is_there = |pid: u32| !std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty();
    eventually_async(WITHIN, async || expect(!is_there(first), "the old one runs")).await;
    place.serves().await;
    assert_ne!(first, second);
    signal(second, Signal::KILL);
}

#[tokio::test]
async fn another_master_socket_is_a_new_process_and_the_old_one_is_never_adopted_again() {
    let mut place = Place::new();
    let (managed, _) = place.supervise();
    place.serves().await;
    let (first, old) = (managed.pid().unwrap(), place.managing());
    eventually_async(WITHIN, async || master::processes(&old.socket).await).await;
    // Keeps the old one from ending.
    let _open = TcpStream::connect(place.port).unwrap();
    drop(managed);
    place.settings.master_socket = Some(place.folder.path().join("other.sock"));
    let (managed, stats) = place.supervise();
    let second = eventually_async(WITHIN, async || managed.pid().ok_or(stats.status())).await;
    assert_ne!(first, second);
    place.serves().await;
    assert!(is_ours(&place.managing(), second), "with its new socket");
    assert!(place.managing().written().leaving.iter().all(|pid| *pid == first), "{:?}", place.managing().written());
    eventually_async(WITHIN, async || expect(!is_ours(&old, first), "it runs")).await;
    place.serves().await;
}

#[tokio::test]
async fn another_master_socket_and_a_lost_pid_file_are_no_second_process() {
    let mut place = Place::new();
    let (managed, _) = place.supervise();
    place.serves().await;
    let (first, old) = (managed.pid().unwrap(), place.managing());
    eventually_async(WITHIN, async || master::processes(&old.socket).await).await;
    drop(managed);
    std::fs::remove_file(&old.pid_file).unwrap();
    place.settings.master_socket = Some(place.folder.path().join("other.sock"));
    let (managed, stats) = place.supervise();
    let second = eventually_async(WITHIN, async || managed.pid().ok_or(stats.status())).await;
    assert_ne!(first, second);
    eventually_async(WITHIN, async || expect(!is_ours(&old, first), "it runs")).await;
    place.serves().await;
    // A worker has the arguments of its master.
    signal(second, Signal::KILL);
    let third = eventually_async(WITHIN, async || managed.pid().filter(|pid| *pid != second).ok_or(stats.status())).await;
    place.serves().await;
    assert_eq!(managed.pid(), Some(third));
}

#[tokio::test]
async fn a_supervisor_that_has_ended_holds_no_lock_and_what_it_noted_is_known_to_the_next() {
    let place = Place::new();
    let (managed, _) = place.supervise();
    place.serves().await;
    let (first, noted) = (managed.pid().unwrap(), changed(&place.managing().file));
    assert!(noted.is_some() && managed.file_changed() == noted);
    eventually_async(WITHIN, async || master::processes(&place.managing().socket).await).await;
    let is_locked = || open_lock(&place.managing().lock_file).unwrap().try_lock().is_err();
    let cut = timeout(STARTS * 2, async {
        tokio::select! {
            done = managed.replace() => panic!("{done:?}"),
            () = eventually_async(WITHIN, async || expect(is_locked(), "not locked")) => {}
        }
    });
    cut.await.unwrap();
    managed.end().await;
    assert!(!is_locked());
    let (managed, _) = place.supervise();
    let second = eventually_async(WITHIN, async || managed.pid().ok_or("none")).await;
    assert_ne!(first, second, "what was at work was done");
    assert_eq!(managed.file_changed(), noted);
    managed.end().await;
}

#[tokio::test]
async fn one_that_is_ending_is_not_adopted_when_it_is_managed_again() {
    let place = Place::new();
    place.write("\ttimeout client 30s\n\ttimeout http-request 30s\n");
    let (managed, _) = place.supervise();
    place.serves().await;
    let first = managed.pid().unwrap();
    eventually_async(WITHIN, async || master::processes(&place.managing().socket).await).await;
    let mut open = TcpStream::connect(place.port).unwrap();
    std::io::Write::write_all(&mut open, b"GET / HTTP/1.1\r\n").unwrap();
    sleep(LOOK).await;
    drop(managed);
    release(&Haproxy { manage: false, ..place.settings.clone() }, &Surroundings::default()).await;
    assert!(is_ours(&place.managing(), first), "one connection is open");
    let want = Written { socket: Some(place.managing().socket), leaving: vec![first], ..Written::default() };
    assert_eq!(place.managing().written(), want);
    let (managed, stats) = place.supervise();
    let second = eventually_async(WITHIN, async || managed.pid().ok_or(stats.status())).await;
    assert_ne!(first, second);
    place.serves().await;
    drop(open);
}

#[tokio::test]
async fn two_supervisors_at_once_start_one() {
    let place = Place::new();
    let (one, other) = (place.supervise(), place.supervise());
    let pid = eventually_async(WITHIN, async || one.0.pid().ok_or(one.1.status())).await;
    eventually_async(WITHIN, async || expect(other.0.pid() == Some(pid), other.0.pid())).await;
    assert_eq!(one.1.status().starts + other.1.status().starts, 1);
}

#[test]
fn the_pid_file_is_private_and_links_are_not_followed() {
    let place = Place::new();
    let (managing, precious) = (place.managing(), place.folder.path().join("precious"));
    std::fs::write(&precious, "x").unwrap();
    std::os::unix::fs::symlink(&precious, &managing.pid_file).unwrap();
    std::os::unix::fs::symlink(&precious, &managing.lock_file).unwrap();
    let file_changed = changed(&managing.file);
    managing.write(Some((7, file_changed)), Some(std::process::id()));
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "x");
    assert!(open_lock(&managing.lock_file).is_err());
    let leaving = vec![std::process::id()];
    let want = Written { pid: Some(7), socket: Some(managing.socket.clone()), file_changed, leaving };
    assert!(file_changed.is_some());
    assert_eq!(managing.written(), want);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::symlink_metadata(&managing.pid_file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}
