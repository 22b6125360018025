//! Real processes: killed, not yet taken back, gone, never there, and others of the same id.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::*;
use proptest::prelude::*;

/// Far above what any test needs.
const SOON: Duration = Duration::from_secs(20);

/// A process that ends only when it is killed, and is killed at the end of the test.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn exits(watched: &Watched) {
    tokio::time::timeout(SOON, watched.exited()).await.expect("its end is told");
}

#[tokio::test]
async fn a_killed_process_is_noticed_before_it_is_taken_back() {
    let mut sleeper = Sleeper::start();
    let watched = open(sleeper.0.id()).unwrap();
    assert_eq!(watched.identity().pid, sleeper.0.id());
    tokio::select! {
        biased;
        () = watched.exited() => panic!("it lives"),
        () = tokio::task::yield_now() => {}
    }
    sleeper.0.kill().unwrap();
    exits(&watched).await;
    exits(&watched).await;
    // It is a zombie now: nobody has waited for it.
    assert_eq!(open(sleeper.0.id()).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(still(watched.identity()).unwrap_err().kind(), io::ErrorKind::NotFound);
    sleeper.0.wait().unwrap();
    assert_eq!(still(watched.identity()).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn several_may_wait_for_one_process() {
    let mut sleeper = Sleeper::start();
    let watched = open(sleeper.0.id()).unwrap();
    let kill = async {
        tokio::task::yield_now().await;
        sleeper.0.kill().unwrap();
    };
    tokio::join!(exits(&watched), exits(&watched), kill);
}

#[tokio::test]
async fn it_is_found_again_unless_it_is_another() {
    let sleeper = Sleeper::start();
    let process = open(sleeper.0.id()).unwrap().identity().clone();
    assert_eq!(still(&process).unwrap().identity(), &process);
    let others = [
        Process { start: process.start - 1, ..process.clone() },
        Process { boot: "00000000-0000-0000-0000-000000000000".into(), ..process.clone() },
        Process { pid: std::process::id(), ..process.clone() },
    ];
    for other in others {
        let err = still(&other).unwrap_err();
        assert_eq!((err.kind(), err.to_string()), (io::ErrorKind::NotFound, "another process has this id now".into()));
    }
}

#[tokio::test]
async fn what_is_no_process_is_refused_in_words() {
    // Ids end far below: at 4194304 on every Linux.
    let err = open(i32::MAX as u32).unwrap_err();
    assert_eq!((err.kind(), err.to_string()), (io::ErrorKind::NotFound, "no such process".into()));
    for pid in [0, i32::MAX as u32 + 1, u32::MAX] {
        let err = open(pid).unwrap_err();
        assert_eq!((err.kind(), err.to_string()), (io::ErrorKind::InvalidInput, "a process id is 1 to 2147483647".into()));
    }
}

#[tokio::test]
async fn a_thread_is_no_process() {
    let (send, thread) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let handle = std::thread::spawn(move || {
        send.send(fs::read_link("/proc/thread-self").unwrap()).unwrap();
        let _ = ended.recv();
    });
    let thread = thread.recv().unwrap();
    let err = open(thread.file_name().unwrap().to_str().unwrap().parse().unwrap()).unwrap_err();
    assert_eq!((err.kind(), err.to_string()), (io::ErrorKind::InvalidInput, "it is the id of a thread, not of a process".into()));
    drop(end);
    handle.join().unwrap();
}

#[test]
fn a_name_does_not_hide_the_start() {
    let rest = "S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1000 1 18446744073709551615";
    for name in [&b"sleep"[..], b"a b", b") S 1", b")) ((", b"", b"\xff("] {
        let stat = [b"42 (", name, b") ", rest.as_bytes()].concat();
        assert_eq!(start_of(&stat).unwrap(), 4711, "{}", name.escape_ascii());
    }
    for bad in ["", "42 (sleep)", "42 (sleep) S 1", "42 (sleep) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 x 1"] {
        assert_eq!(start_of(bad.as_bytes()).unwrap_err().kind(), io::ErrorKind::InvalidData, "{bad}");
    }
}

proptest! {
    #[test]
    fn no_bytes_of_stat_panic(stat in any::<Vec<u8>>()) {
        let _ = start_of(&stat);
    }
}
