//! The example of docs/exchanges.md under the contract.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use lobby_exchange::{Exchange, clock::Clock};
use lobby_testkit::TempDir;

use crate::contract::{self, Backend, KEEP_ALIVE, Wire};

#[path = "../../examples/dir_exchange.rs"]
#[expect(dead_code, unreachable_pub, reason = "it is a program of its own, of which only the exchange is used here")]
mod dir_exchange;

struct Folder(TempDir);

impl Folder {
    fn start() -> Self {
        let folder = Self(TempDir::new().unwrap());
        std::fs::create_dir(folder.path()).unwrap();
        folder
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("shared")
    }
}

impl Backend for Folder {
    fn exchange(&self) -> impl Exchange {
        dir_exchange::Dir {
            folder: self.path(),
            cluster: "lobby".into(),
            keep_alive: KEEP_ALIVE,
            look_every: Duration::from_millis(50),
            clock: Clock::start(),
        }
    }

    fn take_down(&mut self) {
        std::fs::rename(self.path(), self.0.path().join("away")).unwrap();
    }

    fn bring_back(&mut self) {
        std::fs::rename(self.0.path().join("away"), self.path()).unwrap();
    }
}

impl Wire for Folder {
    async fn inject(&self, bytes: &[u8]) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let idx = NEXT.fetch_add(1, Ordering::Relaxed);
        let fresh = self.0.path().join(format!("fresh-{idx}"));
        std::fs::write(&fresh, bytes).unwrap();
        std::fs::rename(fresh, self.path().join(format!("other-{idx}.json"))).unwrap();
    }
}

contract::contract!(Folder::start());
contract::wire_contract!(Folder::start());
